package tpm_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// Goal: a character device works like a socket: that is what /dev/tpmrm0 is, which a test machine need not have. Method: a
// pseudo-terminal in raw mode whose other side is swtpm.
func TestDevice(t *testing.T) {
	s := emulator(t)
	path := terminal(t, s)
	tok := stocked(t, "tpm:device="+url.PathEscape(path))
	works(t, tok)
	empty(t, tok)
	must(t, tok.Close())
	_, err := tok.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrUnavailable, "closed")
}

// terminal makes a device that speaks with the emulator.
func terminal(t *testing.T, s *swtpm.TPM) string {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	fd := int(master.Fd())
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	path := fmt.Sprintf("/dev/pts/%d", n)
	slave, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) // held open, so that the settings stay
	must(t, err)
	settings, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	must(t, err)
	settings.Iflag, settings.Oflag, settings.Lflag = 0, 0, 0
	settings.Cc[unix.VMIN], settings.Cc[unix.VTIME] = 1, 0
	must(t, unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, settings))
	up, err := net.Dial("unix", s.Path())
	must(t, err)
	t.Cleanup(func() { _, _, _ = up.Close(), slave.Close(), master.Close() })
	go func() {
		for {
			command, err := frame(master)
			if err != nil {
				return
			}
			if _, err := up.Write(command); err != nil {
				return
			}
			response, err := frame(up)
			if err != nil {
				return
			}
			if _, err := master.Write(response); err != nil {
				return
			}
		}
	}()
	return path
}
