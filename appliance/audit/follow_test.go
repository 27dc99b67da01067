package audit

import (
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: who follows a log hears of each entry once, in its order, also over restarts: what was noted as read is not read again, what was
// not is; who comes new hears of what comes. Method: a log of growing length and followers of it, opened again and again.
func TestFollow(t *testing.T) {
	a := mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
	defer a.Close()
	record(t, a, 3)
	s := vaulttest.NewMemory()
	open := func(names ...string) []*Follower {
		t.Helper()
		fs, err := Follow(t.Context(), a, s, names...)
		if err != nil {
			t.Fatal(err)
		}
		return fs
	}
	wants := func(what string, f *Follower, seqs ...uint64) {
		t.Helper()
		es, err := f.Next(2)
		if err != nil || len(es) != min(len(seqs), 2) || f.Behind() != uint64(len(seqs)) {
			t.Fatalf("%s: %d entries, %d behind, %v; want %v", what, len(es), f.Behind(), err, seqs)
		}
		for i, e := range es {
			if e.Seq != seqs[i] {
				t.Fatalf("%s: entry %d, want %d", what, e.Seq, seqs[i])
			}
		}
	}
	wants("a new one", open("x")[0])
	record(t, a, 3)
	fs := open("x", "y")
	wants("one of before", fs[0], 4, 5, 6)
	wants("a new one beside it", fs[1])
	fs[0].Pass(4)
	wants("passed", fs[0], 5, 6)
	wants("passed and not kept", open("x", "y")[0], 4, 5, 6)
	if err := fs[0].Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants("passed and kept", open("x", "y")[0], 5, 6)
	open("y")
	wants("forgotten meanwhile", open("x", "y")[0])

	shorter := mustOpen(t, filepath.Join(t.TempDir(), "audit.log"))
	defer shorter.Close()
	record(t, shorter, 1)
	a = shorter
	wants("of a longer log", open("x")[0])
	if err := s.Batch(t.Context(), []vault.Pair{{Key: []byte(followedPrefix + "x"), Value: []byte("junk")}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Follow(t.Context(), a, s, "x"); problem.As(err).Code != problem.Integrity {
		t.Errorf("a damaged record: %v", err)
	}
}
