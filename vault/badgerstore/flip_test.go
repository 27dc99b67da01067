package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/vault"
)

// flips per file; 60 were tried once (436 told, 126 without effect).
const flips = 4

// Goal: no flipped byte in any file yields a changed or missing value without an error, or a panic. Method: random bytes of
// each file of a crashed and of a closed store, with a fixed seed.
func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	want := map[string]string{}
	for i := range 10 {
		for _, size := range []int{10, valueThreshold + 100} {
			k, v := fmt.Sprint("key", i, size), string(bytes.Repeat([]byte{byte(i + 1)}, size))
			want[k] = v
			put(t, s, k, v)
		}
	}
	crashed := copyDir(t, dir)
	s.Close()
	read := func(dir string) error {
		s, err := Open(Config{Dir: dir, Key: testKey(1)})
		if err != nil {
			return err
		}
		defer s.Close()
		for k, v := range want {
			got, err := s.Get(t.Context(), []byte(k))
			if err != nil {
				return err
			}
			if string(got) != v {
				return fmt.Errorf("%s: %d bytes that were never stored", k, len(got))
			}
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(1, 2))
	told, harmless := 0, 0
	for state, from := range map[string]string{"crashed": crashed, "closed": dir} {
		for name, content := range files(t, from) {
			used := len(bytes.TrimRight([]byte(content), "\x00"))
			for range min(used, flips) {
				at := rng.IntN(used)
				c := copyDir(t, from)
				bad := []byte(content)
				bad[at] ^= 1 << rng.IntN(8)
				if err := os.WriteFile(filepath.Join(c, name), bad, 0o600); err != nil {
					t.Fatal(err)
				}
				err := read(c)
				switch {
				case err == nil:
					harmless++
				case errors.Is(err, vault.ErrCorrupt) || errors.Is(err, ErrWrongKey):
					told++
				default:
					t.Errorf("%s: %s byte %d of %d: %v", state, name, at, used, err)
				}
				os.RemoveAll(c)
			}
		}
	}
	t.Logf("%d flips told, %d without effect", told, harmless)
}
