package tpm_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// wire stands between the driver and a TPM: it keeps what passes, and lets a test answer in the TPM's place or cut the connection.
type wire struct {
	path, tpm string

	mu      sync.Mutex
	traffic []byte
	hook    func(cc tpm2.TPMCC, forward func() []byte) (response []byte, cut bool) // nil to forward
}

func newWire(t *testing.T, s *swtpm.TPM) *wire {
	t.Helper()
	w := &wire{path: filepath.Join(t.TempDir(), "w"), tpm: s.Path()}
	l, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.serve(c)
		}
	}()
	return w
}

func (w *wire) uri() string { return "tpm:device=" + url.PathEscape(w.path) }

func (w *wire) set(hook func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// nth cuts the connection at the nth command cc from now on, before or after the TPM did it.
func (w *wire) nth(cc tpm2.TPMCC, n int, after bool) {
	w.set(func(got tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		if got != cc {
			return forward(), false
		}
		if n--; n != 0 {
			return forward(), false
		}
		if after {
			forward()
		}
		return nil, true
	})
}

func (w *wire) seen() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]byte(nil), w.traffic...)
}

func (w *wire) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("unix", w.tpm)
	if err != nil {
		return
	}
	defer up.Close()
	for {
		command, err := frame(c)
		if err != nil {
			return
		}
		forward := func() []byte {
			if _, err := up.Write(command); err != nil {
				return nil
			}
			r, _ := frame(up)
			return r
		}
		w.mu.Lock()
		hook := w.hook
		w.mu.Unlock()
		response, cut := []byte(nil), false
		if hook == nil {
			response = forward()
		} else {
			response, cut = hook(tpm2.TPMCC(binary.BigEndian.Uint32(command[6:])), forward)
		}
		w.mu.Lock()
		w.traffic = append(append(w.traffic, command...), response...)
		w.mu.Unlock()
		if cut || response == nil {
			return
		}
		if _, err := c.Write(response); err != nil {
			return
		}
	}
}

func frame(r io.Reader) ([]byte, error) {
	b := make([]byte, 10)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	b = append(b, make([]byte, binary.BigEndian.Uint32(b[2:])-10)...)
	_, err := io.ReadFull(r, b[10:])
	return b, err
}

// failure is a response with nothing but a code.
func failure(rc tpm2.TPMRC) []byte {
	b := []byte{0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[6:], uint32(rc))
	return b
}
