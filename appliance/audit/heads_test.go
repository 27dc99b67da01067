package audit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/internal/durable"
)

// Goal: a whole log is held against what is known of it, as Open holds its end: one that was deleted, that lost its count, that was cut
// with its count, or that is another, is told from one that never was. Method: a log of 5 entries and the head that it had, changed so.
func TestVerifyHeads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 5)
	head := a.Head()
	record(t, a, 1)
	a.Close()
	other := filepath.Join(t.TempDir(), "audit.log")
	b := mustOpen(t, other)
	record(t, b, 7)
	record(t, b, 7)
	b.Close()
	without := func(names ...string) string {
		to := copyLog(t, path)
		for _, name := range names {
			if err := os.Remove(filepath.Join(filepath.Dir(to), name)); err != nil {
				t.Fatal(err)
			}
		}
		return to
	}
	none := filepath.Join(t.TempDir(), "audit.log")
	for name, x := range map[string]struct {
		path  string
		heads []Head
		want  error
	}{
		"as it is":                   {path, []Head{head, {}}, nil},
		"nothing is known":           {path, nil, nil},
		"none, and none is known":    {none, []Head{{}, {}}, os.ErrNotExist},
		"none, though it had a head": {none, []Head{head}, durable.ErrCorrupt},
		"deleted":                    {without("audit.log"), nil, durable.ErrCorrupt},
		"a copy without its count":   {without("audit.acked"), nil, nil},
		"without its count":          {without("audit.acked"), []Head{head}, durable.ErrCorrupt},
		"another":                    {other, []Head{head}, durable.ErrCorrupt},
	} {
		if _, err := Verify(x.path, nil, x.heads...); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
}
