package tpm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
)

const (
	headerLen   = 10      // tag, size, response code (part 1, 18.7)
	responseMax = 1 << 13 // bytes of a response; TPM_PT_MAX_RESPONSE_SIZE is 4,096 in every known TPM

	retryFirst = 10 * time.Millisecond
	retryLast  = 500 * time.Millisecond
	retries    = 20 // some eight seconds
)

// errLost stands for a connection that broke.
var errLost = fmt.Errorf("tpm: %w: connection lost", hsm.ErrUnavailable)

// link is a connection to a TPM. After an error, or a command that nobody waited for, it is broken for good.
type link struct {
	conn    io.ReadWriteCloser
	managed bool // a resource manager keeps our objects apart from others', and flushes them when we leave
	broken  bool
}

// dial opens the device or socket. Errors: ErrNoToken, ErrUnavailable.
func dial(ctx context.Context, path string) (*link, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tpm: %w: %s is not there; enable the TPM in the firmware's setup, or correct device= in the URI",
			hsm.ErrNoToken, path)
	}
	if err != nil {
		return nil, fmt.Errorf("tpm: %w: %w", hsm.ErrUnavailable, err)
	}
	l := &link{managed: strings.Contains(path, "tpmrm")}
	switch mode := st.Mode(); {
	case mode&os.ModeSocket != 0:
		l.conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
	case mode&os.ModeCharDevice != 0:
		l.conn, err = openDevice(path)
	default:
		return nil, fmt.Errorf("tpm: %w: %s is neither a device nor a socket", hsm.ErrNoToken, path)
	}
	switch {
	case err == nil:
		return l, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("tpm: %w: %w; add the node's user to the group of the device (tss)", hsm.ErrUnavailable, err)
	case errors.Is(err, syscall.EBUSY):
		return nil, fmt.Errorf("tpm: %w: %w; another program holds it: use the resource manager /dev/tpmrm0", hsm.ErrUnavailable, err)
	}
	return nil, fmt.Errorf("tpm: %w: %w", hsm.ErrUnavailable, err)
}

// send does one command, again where the TPM asks for it (part 2, 6.6.3: warnings of a busy TPM).
func (l *link) send(ctx context.Context, command []byte) ([]byte, error) {
	wait := retryFirst
	for try := 1; ; try++ {
		response, err := l.exchange(ctx, command)
		if err != nil || try > retries || !busy(response) {
			return response, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wait = min(2*wait, retryLast)
	}
}

func busy(response []byte) bool {
	switch tpm2.TPMRC(binary.BigEndian.Uint32(response[6:headerLen])) {
	case tpm2.TPMRCRetry, tpm2.TPMRCYielded, tpm2.TPMRCTesting, tpm2.TPMRCNVRate:
		return true
	}
	return false
}

// exchange sends a command and waits for the response or the end of ctx, which breaks the link.
func (l *link) exchange(ctx context.Context, command []byte) ([]byte, error) {
	if l.broken {
		return nil, errLost
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	type result struct {
		response []byte
		err      error
	}
	done := make(chan result, 1)
	go func() {
		response, err := roundTrip(l.conn, command)
		done <- result{response, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			l.close()
			return nil, fmt.Errorf("%w: %w", errLost, r.err)
		}
		return r.response, nil
	case <-ctx.Done():
		l.close()
		return nil, ctx.Err()
	}
}

// roundTrip relies on one thing of devices: a read gives the whole response, or what fits.
func roundTrip(c io.ReadWriter, command []byte) ([]byte, error) {
	if _, err := c.Write(command); err != nil {
		return nil, err
	}
	response := make([]byte, responseMax)
	n, err := io.ReadAtLeast(c, response, headerLen)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint32(response[2:6]))
	if size < headerLen || size > responseMax || n > size {
		return nil, fmt.Errorf("a response of %d bytes, %d came", size, n)
	}
	if _, err := io.ReadFull(c, response[n:size]); err != nil {
		return nil, err
	}
	return response[:size], nil
}

func (l *link) close() {
	if !l.broken {
		l.broken = true
		_ = l.conn.Close()
	}
}

// device is a character device, read and written with blocking calls: os.File would make it non-blocking, and then the kernel's
// driver answers reads with nothing instead of waiting (drivers/char/tpm/tpm-dev-common.c).
type device struct {
	mu     sync.Mutex // held in every call, so that the descriptor is not closed, and used again by others, under one
	fd     int
	closed bool
	path   string
}

func openDevice(path string) (*device, error) {
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &device{fd: fd, path: path}, nil
}

func (d *device) call(op string, f func(int, []byte) (int, error), b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		if d.closed {
			return 0, &fs.PathError{Op: op, Path: d.path, Err: fs.ErrClosed}
		}
		n, err := f(d.fd, b)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, &fs.PathError{Op: op, Path: d.path, Err: err}
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// Read gives what the TPM answered.
func (d *device) Read(b []byte) (int, error) { return d.call("read", syscall.Read, b) }

// Write sends a command.
func (d *device) Write(b []byte) (int, error) { return d.call("write", syscall.Write, b) }

// Close does not wait for a call that hangs; the descriptor is closed after it.
func (d *device) Close() error {
	go func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.closed {
			d.closed = true
			_ = syscall.Close(d.fd)
		}
	}()
	return nil
}
