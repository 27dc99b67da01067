package plugin

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/internal/secret"
)

// pinPage is a file without a name, in memory, that holds a PIN which the node handed over: drivers read PINs from files
// (hsm.ReadPIN), and may do so again when they reconnect. Nobody but this process can open it.
type pinPage struct {
	file *os.File
	size int
}

// newPINPage moves the PIN into a page, and wipes pin.
func newPINPage(pin []byte) (*pinPage, error) {
	defer secret.Wipe(pin)
	fd, err := unix.MemfdCreate("pin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("hsm plugin: no memory for the PIN: %w", err)
	}
	p := &pinPage{file: os.NewFile(uintptr(fd), "pin"), size: len(pin)}
	if err := unix.Fchmod(fd, 0o600); err != nil {
		p.wipe()
		return nil, fmt.Errorf("hsm plugin: memory for the PIN: %w", err)
	}
	if _, err := p.file.Write(pin); err != nil {
		p.wipe()
		return nil, fmt.Errorf("hsm plugin: memory for the PIN: %w", err)
	}
	return p, nil
}

// source is the pin-source for it.
func (p *pinPage) source() string { return fmt.Sprintf("file:/proc/self/fd/%d", p.file.Fd()) }

// wipe zeroes the PIN and gives the page back. It does nothing on nil.
func (p *pinPage) wipe() {
	if p == nil {
		return
	}
	_, _ = p.file.WriteAt(make([]byte, p.size), 0)
	_ = p.file.Close()
}
