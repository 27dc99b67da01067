package plugin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/internal/durable"
)

// Goal: no driver begins on a full disk, where SoftHSM, at its login, would cut the file of its token and not write it; with space it
// begins by itself. Method: a disk that says it is full, of the token or of the socket, before the token is opened.
func TestFullDisk(t *testing.T) {
	s := newSoft(t)
	c, full := s.config(nil), ""
	c.Dir = t.TempDir()
	c.Free = func(dir string) (int64, error) {
		if full != "" && strings.Contains(dir, full) {
			return 1 << 20, nil
		}
		return 1 << 30, nil
	}
	for _, full = range []string{"tokens", c.Dir} {
		_, err := openErr(t.Context(), plugin.Driver(c), s.uri, hsm.Options{})
		if !errors.Is(err, durable.ErrFull) || !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("%s: %v", full, err)
		}
	}
	full = ""
	tok := open(t, c, s.uri, hsm.Options{})
	if err := tok.GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
}
