package badgerstore

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// Goal: a disk on which no more files can be made refuses writes before any is lost, at the opening too, and heals. Method: a disk that
// says how many are left.
func TestInodes(t *testing.T) {
	left := int64(filesLeast)
	c := Config{Dir: t.TempDir(), Key: testKey(1), Inodes: func(string) (int64, error) { return left, nil }}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	write := func() error { return s.Batch(t.Context(), []vault.Pair{{Key: []byte("k"), Value: []byte("v")}}, nil) }
	if err := write(); err != nil {
		t.Error(err)
	}
	left--
	if err := write(); !errors.Is(err, durable.ErrInodes) || !errors.Is(s.Writable(), durable.ErrInodes) {
		t.Errorf("a file too few: %v, %v", err, s.Writable())
	}
	left++
	if err := write(); err != nil {
		t.Errorf("it does not heal: %v", err)
	}
	left = filesToClose
	if err := s.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
	if _, err := Open(c); !errors.Is(err, durable.ErrInodes) {
		t.Errorf("opening: %v", err)
	}
}
