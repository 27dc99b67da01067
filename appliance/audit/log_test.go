package audit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/luxfi/mpcd/internal/durable"
)

func mustOpen(t testing.TB, path string, options ...Option) *Log {
	t.Helper()
	a, err := Open(path, "n", time.Now, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// record appends n entries, some of them together.
func record(t testing.TB, a *Log, n int) {
	t.Helper()
	for i := 0; i < n; {
		var events []Event
		for range min(n-i, 1+i%7) {
			events = append(events, Event{"e", map[string]string{"i": fmt.Sprint(a.Len(), i)}})
			i++
		}
		if err := a.Append(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
}

// all reads every entry, by pages.
func all(a *Log, page int) (es []Entry, err error) {
	for {
		more, err := a.Entries(uint64(len(es)), page)
		if err != nil || len(more) == 0 {
			return es, err
		}
		es = append(es, more...)
	}
}

// copyLog copies a log with the files beside it.
func copyLog(t testing.TB, path string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(filepath.Dir(path))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(to, filepath.Base(path))
}

func change(t testing.TB, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: what was recorded is read back in order, by pages of any size, also after reopening, and the head is the same in every way of
// computing it. Method: logs of sizes around whole blocks.
func TestLog(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 700, 1024} {
		path := filepath.Join(t.TempDir(), "audit.log")
		a := mustOpen(t, path)
		record(t, a, n)
		head := a.Head()
		for range 2 {
			for _, page := range []int{1000, 100, 7} {
				es, err := all(a, page)
				if err != nil || len(es) != n {
					t.Fatalf("%d of %d entries: %v", len(es), n, err)
				}
				for i, e := range es {
					if e.Seq != uint64(i+1) {
						t.Fatalf("entry %d where %d should stand", e.Seq, i+1)
					}
				}
			}
			if v, err := Verify(path, nil); err != nil || v.Head != head || v.Acked != uint64(n) {
				t.Fatalf("%d: %+v, %v", n, v, err)
			}
			_ = a.Close()
			if a = mustOpen(t, path, Mark(head)); a.Head() != head || a.Torn() != 0 {
				t.Fatalf("%d: another head after reopening", n)
			}
		}
		record(t, a, 5)
		if es, err := all(a, 50); err != nil || len(es) != n+5 {
			t.Errorf("%d entries: %v", len(es), err)
		}
	}
}

// Goal: no byte of the log or of the files beside it can be changed without being told, or it changes nothing: at the opening, when the
// entry is read, and by Verify. Method: every 211th byte, and those at the end, flipped in each file of a log of two blocks and a half, and
// every byte of the checkpoint.
func TestFlippedBytes(t *testing.T) {
	c := newSealed(t)
	path, a := c.path, c.log
	c.grow(t, 600)
	mark := a.Head()
	_ = a.Close()
	told := 0
	for _, name := range []string{"audit.log", "audit.tree", "audit.acked", "audit.checkpoint"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		step := 211
		if name == "audit.checkpoint" {
			step = 1
		}
		for i := 0; i < len(b); i += min(step, max(1, len(b)-i-40)) {
			p := copyLog(t, path)
			change(t, filepath.Join(filepath.Dir(p), name), func(b []byte) []byte { b[i] ^= 0x10; return b })
			_, verr := Verify(p, c.v)
			a, err := Open(p, "n", time.Now, Mark(mark))
			if err == nil {
				var es []Entry
				if es, err = all(a, 100); err == nil && len(es) != 600 {
					t.Fatalf("%s byte %d: %d entries", name, i, len(es))
				}
				_ = a.Close()
			}
			if name == "audit.log" && (!errors.Is(err, durable.ErrCorrupt) || !errors.Is(verr, durable.ErrCorrupt)) {
				t.Fatalf("%s byte %d: %v; verify: %v", name, i, err, verr)
			}
			if name == "audit.checkpoint" && (err != nil || !errors.Is(verr, durable.ErrCorrupt)) {
				t.Fatalf("%s byte %d: %v; verify: %v", name, i, err, verr)
			}
			if err != nil {
				told++
			}
			os.RemoveAll(filepath.Dir(p))
		}
	}
	t.Logf("%d told", told)
}

// Goal: a log that was cut, deleted, put back or rewritten as a whole is told, with all the files beside it or without. Method: each of
// them done to a copy; and what only a crash does, a tail that nobody acknowledged, is cut off and told as such.
func TestReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 300)
	older := copyLog(t, path)
	record(t, a, 10)
	mark := a.Head()
	_ = a.Close()
	other := filepath.Join(t.TempDir(), "audit.log")
	b := mustOpen(t, other)
	record(t, b, 400)
	_ = b.Close()
	remove := func(names ...string) func(string) {
		return func(p string) {
			for _, n := range names {
				if err := os.Remove(filepath.Join(filepath.Dir(p), n)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cut := func(n int) func(string) {
		return func(p string) { change(t, p, func(b []byte) []byte { return b[:len(b)-n] }) }
	}
	for what, c := range map[string]struct {
		from   string
		damage func(string)
		mark   Head
	}{
		"cut":                        {path, cut(20), Head{}},
		"deleted":                    {path, remove("audit.log"), Head{}},
		"deleted, all":               {path, remove("audit.log", "audit.acked", "audit.tree"), mark},
		"count deleted":              {path, remove("audit.acked"), mark},
		"put back":                   {older, func(string) {}, mark},
		"rewritten, longer":          {other, func(string) {}, mark},
		"rewritten, and no blocks":   {other, remove("audit.tree"), mark},
		"rewritten, taken over anew": {other, remove("audit.tree", "audit.acked"), mark},
	} {
		p := copyLog(t, c.from)
		c.damage(p)
		before, _ := os.ReadFile(p)
		if _, err := Open(p, "n", time.Now, Mark(c.mark)); !errors.Is(err, durable.ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if after, _ := os.ReadFile(p); !bytes.Equal(after, before) {
			t.Errorf("%s: the log was changed", what)
		}
	}
	if _, err := Open(copyLog(t, other), "n", time.Now, Mark(mark), Mark(Head{})); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("rewritten, by the first of two heads: %v", err)
	}
	p := copyLog(t, path)
	change(t, p, func(b []byte) []byte { return append(b, "half a frame"...) })
	if v, err := Verify(p, nil); err != nil || v.Torn != 12 {
		t.Errorf("torn: %+v, %v", v, err)
	}
	if a := mustOpen(t, p, Mark(mark)); a.Torn() != 12 || a.Len() != 310 {
		t.Errorf("torn: %d bytes, %d entries", a.Torn(), a.Len())
	}
}

// Goal: neither an opening nor a page reads what is before it, and a log of before, or blocks that do not hold, are read as a whole once.
// Method: an old entry is damaged: the log opens and gives the last page, not the first; the files beside it are removed: it does not open.
// Then the same with a sound log.
func TestReadsOnlyWhatIsAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 2000)
	head := a.Head()
	_ = a.Close()
	p := copyLog(t, path)
	change(t, p, func(b []byte) []byte { b[5000] ^= 1; return b })
	a = mustOpen(t, p, Mark(head))
	if es, err := a.Entries(1900, 50); err != nil || len(es) != 50 || es[0].Seq != 1901 {
		t.Errorf("last page: %d, %v", len(es), err)
	}
	if _, err := a.Entries(0, 50); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("first page: %v", err)
	}
	_ = a.Close()
	for _, q := range []string{p, path} {
		for _, name := range []string{"tree", "acked"} {
			if err := os.Remove(beside(q, name)); err != nil {
				t.Fatal(err)
			}
		}
		a, err := Open(q, "n", time.Now)
		if q == p {
			if !errors.Is(err, durable.ErrCorrupt) {
				t.Errorf("a damaged log was taken over: %v", err)
			}
			continue
		}
		if err != nil || a.Head() != head {
			t.Fatalf("a log of before was not taken over: %v", err)
		}
		_ = a.Close()
	}
	if n, err := durable.ReadCounter(beside(path, "acked")); err != nil || n != 2000 {
		t.Errorf("taken over with %d acknowledged, %v", n, err)
	}
	for what, damage := range map[string]func([]byte) []byte{
		"a flipped bit": func(b []byte) []byte { b[3] ^= 1; return b },
		"another hash": func(b []byte) []byte {
			x, _ := decodeBlock(6, b[6*blockSize:7*blockSize])
			x.hash[0] ^= 1
			return append(b[:6*blockSize], x.encode(6)...)
		},
		"another place": func(b []byte) []byte {
			x, _ := decodeBlock(6, b[6*blockSize:7*blockSize])
			x.at.Offset++
			return append(b[:6*blockSize], x.encode(6)...)
		},
		"none": func([]byte) []byte { return nil },
	} {
		change(t, beside(path, "tree"), damage)
		a, err := Open(path, "n", time.Now, Mark(head))
		if err != nil || a.Head() != head {
			t.Errorf("blocks with %s: %v", what, err)
			continue
		}
		_ = a.Close()
	}
}

// sealedLog is a log whose checkpoints a key signs.
type sealedLog struct {
	path string
	log  *Log
	key  *ecdsa.PrivateKey
	v    Verifier
}

func newSealed(t *testing.T) *sealedLog {
	path := filepath.Join(t.TempDir(), "audit.log")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier("treasury", "n", &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &sealedLog{path, mustOpen(t, path), key, v}
}

func (c *sealedLog) sign(m []byte) ([]byte, error) {
	sum := sha256.Sum256(m)
	r, s, err := ecdsa.Sign(rand.Reader, c.key, sum[:])
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), err
}

// grow records entries and leaves a checkpoint over them.
func (c *sealedLog) grow(t *testing.T, n int) []byte {
	record(t, c.log, n)
	b, err := SignHead(c.log.Head(), c.v, c.sign)
	if err == nil {
		err = c.log.KeepCheckpoint(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Goal: an entry and the growth of the log are proved to who knows the node's key alone. Method: proofs of entries in the first, an
// inner and the last block, from an older checkpoint; each part of a proof changed; and what no proof can be made of.
func TestProof(t *testing.T) {
	c := newSealed(t)
	path, v, a := c.path, c.v, c.log
	old := c.grow(t, 300)
	c.grow(t, 500)
	head := a.Head()
	record(t, a, 3)
	for _, seq := range []uint64{1, 300, 512, 513, 800} {
		p, err := Prove(path, v, seq, old)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = ParseProof(b); err != nil {
			t.Fatal(err)
		}
		if x, err := p.Check(v, old); err != nil || x.Entry.Seq != seq || x.Under != head || x.Since.Size != 300 {
			t.Errorf("%d: %+v %v", seq, x, err)
		}
		for what, spoil := range map[string]func(*Proof){
			"entry":       func(p *Proof) { p.Entry[len(p.Entry)-1] ^= 1 },
			"number":      func(p *Proof) { p.Seq++ },
			"path":        func(p *Proof) { p.Inclusion[0][0] ^= 1 },
			"growth":      func(p *Proof) { p.Consistency[0][0] ^= 1 },
			"checkpoint":  func(p *Proof) { p.Checkpoint = p.Since },
			"other since": func(p *Proof) { p.Since = p.Checkpoint },
		} {
			var bad Proof
			if err := json.Unmarshal(b, &bad); err != nil {
				t.Fatal(err)
			}
			if spoil(&bad); seq <= 300 && what == "checkpoint" {
				continue // which has the entry under it too; the path is another
			}
			if _, err := bad.Check(v, nil); !errors.Is(err, durable.ErrCorrupt) {
				t.Errorf("%d, another %s: %v", seq, what, err)
			}
		}
	}
	for _, seq := range []uint64{1, 300, 512, 513, 800} {
		p, err := a.Prove(seq)
		if err != nil {
			t.Fatal(err)
		}
		if x, err := p.Check(v, nil); err != nil || x.Entry.Seq != seq || x.Under != head {
			t.Errorf("%d of the log that is open: %+v %v", seq, x, err)
		}
	}
	for seq, want := range map[uint64]error{0: ErrNoEntry, 801: ErrNoCheckpoint, 804: ErrNoEntry} {
		if _, err := Prove(path, v, seq, nil); !errors.Is(err, want) {
			t.Errorf("entry %d: %v", seq, err)
		}
		if _, err := a.Prove(seq); !errors.Is(err, want) {
			t.Errorf("entry %d of the log that is open: %v", seq, err)
		}
	}
	foreign, err := note.Sign(&note.Note{Text: fmt.Sprintf("other\n800\n%s\n", base64.StdEncoding.EncodeToString(head.Root[:]))},
		&signer{v, c.sign})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCheckpoint(foreign, v); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("a head of another origin, by the same key: %v", err)
	}
	stranger, err := NewVerifier("treasury", "m", &c.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(path, stranger); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("a checkpoint of another node: %v", err)
	}
	_ = a.Close()
	other := filepath.Join(t.TempDir(), "audit.log")
	b := mustOpen(t, other)
	record(t, b, 900)
	_ = b.Close()
	change(t, path, func([]byte) []byte { b, _ := os.ReadFile(other); return b })
	if err := os.Remove(beside(path, "tree")); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(path, v); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("a log rewritten under its checkpoint: %v", err)
	}
	n := 0
	if err := Export(other, nil, 250, 520, func(e Entry) error { n++; return nil }); err != nil || n != 271 {
		t.Errorf("%d exported, %v", n, err)
	}
}

// Goal: an entry is found by about when it was made, without reading the log, wherever it stands; what was made long after is not searched
// for. Method: 12,000 entries, a thousand a second; some of them by their time, one by a time a little before, one that is not there, one
// that is too far on; a log of no entries, and one before the clock.
func TestFind(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	begin := now
	a, err := Open(filepath.Join(t.TempDir(), "audit.log"), "n", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	is := func(i int) func(Entry) bool { return func(e Entry) bool { return e.Facts["i"] == fmt.Sprint(i) } }
	if _, err := a.Find(begin, is(0)); !errors.Is(err, ErrNoEntry) {
		t.Errorf("in an empty log: %v", err)
	}
	for i := 0; i < 12000; now = now.Add(time.Second) {
		events := make([]Event, 1000)
		for k := range events {
			events[k] = Event{"e", map[string]string{"i": fmt.Sprint(i)}}
			i++
		}
		if err := a.Append(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		i    int
		from time.Duration
		want uint64 // 0 for none
	}{
		{0, 0, 1}, {999, 0, 1000}, {1000, time.Second, 1001}, {1000, 0, 1001},
		{5000, 5 * time.Second, 5001}, {5511, 5 * time.Second, 5512}, {11999, 11 * time.Second, 12000},
		{0, -time.Hour, 1}, {999, time.Second, 0}, {11999, time.Hour, 0}, {11999, 0, 0}, {12000, 0, 0}, {7000, 0, 7001},
	} {
		e, err := a.Find(begin.Add(row.from), is(row.i))
		if row.want == 0 && !errors.Is(err, ErrNoEntry) || row.want > 0 && (err != nil || e.Seq != row.want) {
			t.Errorf("%d from %v on: %d %v, want %d", row.i, row.from, e.Seq, err, row.want)
		}
	}
}

// Goal: who keeps a checkpoint is shown that the log has grown from it, and from no other, and that a proof says nothing that is not looked
// at. Method: a proof of growth; the same without it; another kept checkpoint; junk; fields that are no proof's, or are there twice.
func TestGrowth(t *testing.T) {
	c := newSealed(t)
	path, v, first, second, third := c.path, c.v, c.grow(t, 300), c.grow(t, 500), c.grow(t, 3)
	p, err := Prove(path, v, 7, second)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := p.Check(v, second); err != nil || x.Since.Size != 800 || x.Under.Size != 803 {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := p.Check(v, first); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("another checkpoint: %v", err)
	}
	for what, since := range map[string][]byte{"junk": []byte("junk"), "nothing": {}} {
		if _, err := p.Check(v, since); !errors.Is(err, ErrCheckpoint) || errors.Is(err, durable.ErrCorrupt) {
			t.Errorf("%s kept: %v", what, err)
		}
		if _, err := Prove(path, v, 7, since); !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s to prove from: %v", what, err)
		}
	}
	if p, err := Prove(path, v, 7, third); err != nil || len(p.Consistency) != 0 {
		t.Errorf("from the last: %v", err)
	}
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	for was, is := range map[string]string{`{"seq":7`: `{"extra":1,"seq":7`, `"seq":7`: `"seq":6,"seq":7`, `"seq"`: `"Seq"`} {
		if _, err := ParseProof([]byte(strings.Replace(string(b), was, is, 1))); err == nil {
			t.Errorf("%s is read", is)
		}
	}
	p.Since, p.Consistency = "", nil
	if x, err := p.Check(v, nil); err != nil || x.Since.Size != 0 {
		t.Errorf("a proof of the entry alone: %+v, %v", x, err)
	}
	if _, err := p.Check(v, second); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("no growth is shown: %v", err)
	}
}

// Goal: a token that was replaced makes no log look changed, and who has kept a checkpoint of the old key is shown growth from it; nobody
// else takes that key's word. Method: a log with a checkpoint of a key, then with one of another; proofs across the change, and one whose
// last checkpoint is of the old key.
func TestTokenReplaced(t *testing.T) {
	c := newSealed(t)
	first := c.grow(t, 300)
	past, err := Prove(c.path, c.v, 7, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if c.v, err = NewVerifier("treasury", "n", &c.key.PublicKey); err != nil {
		t.Fatal(err)
	}
	if x, err := Verify(c.path, c.v); err != nil || !x.OtherKey || x.Checkpoint.Size != 0 {
		t.Errorf("before the new key has signed: %+v, %v", x, err)
	}
	if _, err := Prove(c.path, c.v, 7, first); !errors.Is(err, ErrNoCheckpoint) {
		t.Errorf("a proof under the old key: %v", err)
	}
	if _, err := past.Check(c.v, nil); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("one of before: %v", err)
	}
	c.grow(t, 5)
	p, err := Prove(c.path, c.v, 7, first)
	if err != nil {
		t.Fatal(err)
	}
	if x, err := p.Check(c.v, first); err != nil || x.Since.Size != 300 {
		t.Errorf("to who has kept the old one: %+v, %v", x, err)
	}
	if _, err := p.Check(c.v, nil); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("to who has not: %v", err)
	}
	if x, err := Verify(c.path, c.v); err != nil || x.OtherKey || x.Checkpoint.Size != 305 {
		t.Errorf("after it: %+v, %v", x, err)
	}
	forged := bytes.Replace(first, []byte("\n300\n"), []byte("\n299\n"), 1)
	if _, err := Prove(c.path, c.v, 7, forged); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("from what the log never was: %v", err)
	}
}

// Goal: where nobody counted what was acknowledged, nobody is told that what a copy lacks never was. Method: a log with its count, and
// without.
func TestCounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 3)
	_ = a.Close()
	if x, err := Verify(path, nil); err != nil || !x.Counted || x.Acked != 3 {
		t.Errorf("%+v, %v", x, err)
	}
	if err := os.Remove(beside(path, "acked")); err != nil {
		t.Fatal(err)
	}
	if x, err := Verify(path, nil); err != nil || x.Counted {
		t.Errorf("%+v, %v", x, err)
	}
}

// Goal: whoever changes an old entry, and all checksums with it, is told when the entry is read, and when the log is read as a whole.
// Method: the frames of a log written anew, with one letter of entry 5 changed, which leaves every other byte where it was.
func TestFlippedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	a := mustOpen(t, path)
	record(t, a, 900)
	head := a.Head()
	_ = a.Close()
	forged := filepath.Join(t.TempDir(), "audit.log")
	log, err := durable.OpenLog(forged, durable.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var frame [][]byte
	var at durable.Place
	write := func() {
		if _, err := log.AppendBatch(t.Context(), frame); err != nil {
			t.Fatal(err)
		}
		frame = nil
	}
	if _, err := durable.ScanLog(path, durable.Place{}, func(r durable.Record) error {
		if r.Frame != at && frame != nil {
			write()
		}
		b := bytes.Clone(r.Data)
		if r.Seq == 5 {
			b[bytes.LastIndexByte(b, 'e')] = 'f'
		}
		frame, at = append(frame, b), r.Frame
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	write()
	_ = log.Close()
	b, err := os.ReadFile(forged)
	if err != nil {
		t.Fatal(err)
	}
	change(t, path, func([]byte) []byte { return b })
	a = mustOpen(t, path, Mark(head))
	if _, err := a.Entries(0, 10); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("page: %v", err)
	}
	if es, err := a.Entries(600, 10); err != nil || len(es) != 10 {
		t.Errorf("another page: %v", err)
	}
	_ = a.Close()
	if _, err := Verify(path, nil); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("verify: %v", err)
	}
	if _, err := Open(forged, "n", time.Now); !errors.Is(err, durable.ErrCorrupt) {
		t.Errorf("taken over: %v", err)
	}
}

// BenchmarkOpen opens a log, BenchmarkPage reads its last page of 100: with -audit.entries 10000000 the figures of docs/AUDIT.md.
var entries = flag.Int("audit.entries", 100_000, "how long the log of BenchmarkOpen and BenchmarkPage is")

func benchmarkLog(b *testing.B) (string, Head) {
	path := filepath.Join(b.TempDir(), "audit.log")
	a := mustOpen(b, path)
	for n := 0; n < *entries; {
		var events []Event
		for range min(groupMax, *entries-n) {
			events = append(events, Event{"share.sign", map[string]string{"intent": fmt.Sprintf("%064x", n), "wallet": "w_ltwbv6qon2ahbnh3"}})
			n++
		}
		if err := a.Append(b.Context(), events...); err != nil {
			b.Fatal(err)
		}
	}
	_ = a.Close()
	return path, a.Head()
}

func BenchmarkOpen(b *testing.B) {
	path, head := benchmarkLog(b)
	for b.Loop() {
		a, err := Open(path, "n", time.Now, Mark(head))
		if err != nil {
			b.Fatal(err)
		}
		_ = a.Close()
	}
}

func BenchmarkPage(b *testing.B) {
	path, head := benchmarkLog(b)
	a := mustOpen(b, path, Mark(head))
	for i := 0; b.Loop(); i++ {
		after := uint64(i*7919) % uint64(*entries-100)
		if es, err := a.Entries(after, 100); err != nil || len(es) != 100 {
			b.Fatal(len(es), err)
		}
	}
}

// Goal: a log in whose place a copy was put keeps nothing beside that copy, which would hold it to entries that it does not have, and says
// so. Method: the directory, and the file alone, taken away and replaced by a copy: not writable, no checkpoint; put back it is. So
// it is with the count of what was acknowledged, without which the next start gives the log up.
func TestMovedWhileOpen(t *testing.T) {
	for _, what := range []string{"data", "data/audit.log"} {
		root := t.TempDir()
		path, aside := filepath.Join(root, what), filepath.Join(root, "aside")
		if err := os.Mkdir(filepath.Join(root, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		a := mustOpen(t, filepath.Join(root, "data/audit.log"))
		record(t, a, 5)
		refused := func() {
			t.Helper()
			if err := a.Writable(); !errors.Is(err, durable.ErrMoved) {
				t.Errorf("writable: %v", err)
			}
			if err := a.KeepCheckpoint([]byte("x")); !errors.Is(err, durable.ErrMoved) {
				t.Errorf("checkpoint: %v", err)
			}
		}
		move := func(from, to string) {
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		move(path, aside)
		refused()
		move(aside, path)
		if err := errors.Join(a.Writable(), a.KeepCheckpoint([]byte("x"))); err != nil {
			t.Errorf("put back: %v", err)
		}
		acked := filepath.Join(root, "data/audit.acked")
		move(acked, aside)
		if err := a.Writable(); !errors.Is(err, durable.ErrMoved) || !strings.Contains(err.Error(), "audit.acked") {
			t.Errorf("its count is away: %v", err)
		}
		if move(aside, acked); a.Writable() != nil {
			t.Errorf("its count is back: %v", a.Writable())
		}
		move(path, aside)
		if out, err := exec.Command("cp", "-a", aside, path).CombinedOutput(); err != nil {
			t.Fatal(err, string(out))
		}
		refused()
	}
}
