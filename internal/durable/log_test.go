package durable

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func open(t testing.TB, path string, c LogConfig) *Log {
	t.Helper()
	l, err := OpenLog(path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func contents(t testing.TB, l *Log) []string {
	t.Helper()
	var out []string
	for r, err := range l.Records(Place{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Seq != uint64(len(out)+1) {
			t.Fatalf("record %d where %d should stand", r.Seq, len(out)+1)
		}
		out = append(out, string(r.Data))
	}
	return out
}

// Goal: what was acknowledged is read back in order, after reopening too. Method: single records and batches, then both ways
// of reading.
func TestLogRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path, LogConfig{})
	var want []string
	for i := range 10 {
		batch := [][]byte{}
		for j := range i%3 + 1 {
			s := fmt.Sprintf("record %d.%d", i, j)
			batch, want = append(batch, []byte(s)), append(want, s)
		}
		first, err := l.AppendBatch(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if int(first) != len(want)-len(batch)+1 {
			t.Fatalf("first %d", first)
		}
	}
	if got := contents(t, l); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), []byte("x")); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
	l = open(t, path, LogConfig{})
	if got := contents(t, l); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("reopened: got %v", got)
	}
	if l.Torn() != 0 || l.End().Seq != uint64(len(want)+1) {
		t.Fatalf("torn %d, next %d", l.Torn(), l.End())
	}
	var places []Place
	for r := range l.Records(Place{}) {
		places = append(places, r.Frame)
	}
	l.Close()
	for i, at := range places { // from every frame on, by both ways of reading
		l = open(t, path, LogConfig{From: at})
		n := int(at.Seq)
		for r, err := range l.Records(at) {
			if err != nil || r.Seq != uint64(n) || r.Frame != places[n-1] || string(r.Data) != want[n-1] {
				t.Fatalf("from record %d: %d is %q in %v: %v", i+1, r.Seq, r.Data, r.Frame, err)
			}
			n++
		}
		if n != len(want)+1 || l.End().Seq != uint64(n) {
			t.Fatalf("from record %d: to %d of %d", i+1, n-1, len(want))
		}
		l.Close()
	}
}

// Goal: a log that ends before what was acknowledged is damaged, and not called torn; nothing in it changes. Method: the last frame cut,
// flipped and gone, of a log of which three records, or two, were acknowledged; a place that no frame begins at.
func TestLogAcked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := open(t, path, LogConfig{})
	var ends []Place
	for _, s := range []string{"first", "second", "third"} {
		if _, err := l.Append(t.Context(), []byte(s)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.End())
	}
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-1] ^= 1
	for what, b := range map[string][]byte{"cut": whole[:len(whole)-1], "flipped": flipped, "gone": whole[:ends[1].Offset]} {
		p := filepath.Join(dir, what)
		write(t, p, b)
		if _, err := OpenLog(p, LogConfig{Acked: 3}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
		if after, _ := os.ReadFile(p); !bytes.Equal(after, b) {
			t.Errorf("%s: the file was changed", what)
		}
		torn, err := ScanLog(p, Place{}, func(Record) error { return nil })
		if err != nil || torn != int64(len(b))-ends[1].Offset {
			t.Errorf("%s: %d bytes torn, %v", what, torn, err)
		}
		if l := open(t, p, LogConfig{Acked: 2}); fmt.Sprint(contents(t, l)) != "[first second]" {
			t.Errorf("%s, of two that were acknowledged: %v", what, contents(t, l))
		}
	}
	open(t, path, LogConfig{Acked: 3, From: ends[1]}).Close()
	for _, from := range []Place{{ends[1].Offset + 1, 3}, {ends[1].Offset, 2}, {int64(len(whole)) + 1, 4}, {1, 1}} {
		if _, err := OpenLog(path, LogConfig{From: from, Acked: 3}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("from %v: %v", from, err)
		}
	}
}

// Goal: limits hold at their edge. Method: the largest record and batch pass, one byte more does not, nor do empty ones.
func TestLogLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path, LogConfig{})
	full := make([][]byte, 4)
	for i := range full {
		full[i] = make([]byte, MaxRecord-recordHeaderLen)
	}
	for name, c := range map[string]struct {
		batch [][]byte
		ok    bool
	}{
		"largest record":  {[][]byte{make([]byte, MaxRecord)}, true},
		"larger record":   {[][]byte{make([]byte, MaxRecord+1)}, false},
		"empty record":    {[][]byte{{}}, false},
		"empty batch":     {nil, false},
		"largest batch":   {full, true},
		"larger batch":    {append(full[:3:3], make([]byte, MaxRecord-recordHeaderLen+1)), false},
		"smallest record": {[][]byte{{0}}, true},
	} {
		if _, err := l.AppendBatch(t.Context(), c.batch); (err == nil) != c.ok || (err != nil && !errors.Is(err, ErrTooLarge)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.Close()
	open(t, path, LogConfig{})
}

// Goal: many appenders share an fsync, and each gets the number its record has. Method: count syncs of a disk that holds the
// first until all others wait.
func TestLogGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int64
		gate := make(chan struct{})
		path := filepath.Join(t.TempDir(), "log")
		open(t, path, LogConfig{}).Close()
		l := open(t, path, LogConfig{Hook: func(f File) File { return &gatedFile{f, gate, &syncs} }})
		const n = 64
		seqs := make([]uint64, n)
		add := func(i int) {
			seq, err := l.Append(context.Background(), fmt.Appendf(nil, "r%d", i))
			if err != nil {
				t.Error(err)
			}
			seqs[i] = seq
		}
		go add(0)
		synctest.Wait() // its commit runs
		for i := 1; i < n; i++ {
			go add(i)
		}
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if s := syncs.Load(); s != 2 {
			t.Errorf("%d syncs for %d records, want 2", s, n)
		}
		got := contents(t, l)
		for i, seq := range seqs {
			if got[seq-1] != fmt.Sprintf("r%d", i) {
				t.Errorf("record %d has number of %q", i, got[seq-1])
			}
		}
	})
}

type gatedFile struct {
	File
	gate  chan struct{}
	syncs *atomic.Int64
}

func (f *gatedFile) Sync() error {
	<-f.gate
	f.syncs.Add(1)
	return f.File.Sync()
}

// Goal: a caller who gives up while waiting leaves nothing behind; one whose commit runs gets its outcome. Method: cancel
// behind a held commit.
func TestLogCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var syncs atomic.Int64
		path := filepath.Join(t.TempDir(), "log")
		open(t, path, LogConfig{}).Close()
		l := open(t, path, LogConfig{Hook: func(f File) File { return &gatedFile{f, gate, &syncs} }})
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := l.Append(ctx, []byte("first")); first <- err }()
		synctest.Wait() // its commit runs
		go func() { _, err := l.Append(ctx, []byte("second")); second <- err }()
		synctest.Wait()
		cancel()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("second: %v", err)
		}
		close(gate)
		if err := <-first; err != nil {
			t.Errorf("first: %v", err)
		}
		if _, err := l.Append(ctx, []byte("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("late: %v", err)
		}
		if got := contents(t, l); fmt.Sprint(got) != "[first]" {
			t.Errorf("got %v", got)
		}
	})
}

// Goal: after a power cut at any byte, every acknowledged record is there and an unacknowledged batch is there whole or not at
// all. Method: cut at each byte count of the same run, reopen, compare; append once more.
func TestLogPowerCut(t *testing.T) {
	run := func(path string, f *faulty) (acked int) {
		l, err := OpenLog(path, LogConfig{Hook: f.Hook})
		if err != nil {
			return 0
		}
		defer l.Close()
		for i := range 4 {
			if _, err := l.AppendBatch(t.Context(), [][]byte{fmt.Appendf(nil, "a%d", i), fmt.Appendf(nil, "b%d", i)}); err != nil {
				if _, err := l.Append(t.Context(), []byte("x")); !errors.Is(err, ErrBroken) {
					t.Errorf("append after a failed write: %v", err)
				}
				return acked
			}
			acked += 2
		}
		return acked
	}
	dir := t.TempDir()
	for n := int64(0); ; n++ {
		path := filepath.Join(dir, fmt.Sprint(n))
		f := cutAfter(n)
		acked := run(path, f)
		l := open(t, path, LogConfig{})
		got := contents(t, l)
		if len(got) < acked || len(got) > acked+2 || len(got)%2 != 0 {
			t.Fatalf("cut at %d: acknowledged %d, found %v", n, acked, got)
		}
		if _, err := l.Append(t.Context(), []byte("on")); err != nil {
			t.Fatal(err)
		}
		l.Close()
		if !f.Cut() {
			if acked != 8 {
				t.Fatalf("acknowledged %d without a cut", acked)
			}
			return
		}
	}
}

// Goal: only a torn tail is cut off; damage before it is ErrCorrupt and the file stays as it is. Method: flip every byte of a
// file of three frames, and zero any subset of sectors of a last frame that spans several.
func TestLogDamage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := open(t, path, LogConfig{})
	var ends []int64
	for _, s := range []string{"first", "second", "third"} {
		if _, err := l.Append(t.Context(), []byte(s)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.size)
	}
	l.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := bytes.Clone(whole)
		bad[i] ^= 0x40
		p := filepath.Join(dir, "bad")
		write(t, p, bad)
		l, err := OpenLog(p, LogConfig{})
		if int64(i) < ends[1] {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d flipped: %v", i, err)
			}
			if after, _ := os.ReadFile(p); !bytes.Equal(after, bad) {
				t.Fatalf("byte %d flipped: file was changed", i)
			}
			continue
		}
		if err != nil {
			t.Fatalf("byte %d flipped, torn tail: %v", i, err)
		}
		if got := contents(t, l); fmt.Sprint(got) != "[first second]" || l.Torn() != ends[2]-ends[1] {
			t.Fatalf("byte %d flipped: %v, torn %d", i, got, l.Torn())
		}
		l.Close()
		if kept, err := os.ReadFile(p + ".torn"); err != nil || !bytes.Equal(kept, bad[ends[1]:]) {
			t.Fatalf("byte %d flipped: tail not kept aside: %v", i, err)
		}
	}

	l = open(t, path, LogConfig{})
	batch := make([][]byte, 20)
	for i := range batch {
		batch[i] = bytes.Repeat([]byte{byte(i + 1)}, 200)
	}
	if _, err := l.AppendBatch(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	l.Close()
	whole, _ = os.ReadFile(path)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		bad := bytes.Clone(whole)
		hit := false
		for s := (ends[2] + 511) / 512 * 512; s < int64(len(bad)); s += 512 {
			if rng.IntN(2) == 0 {
				clear(bad[s:min(s+512, int64(len(bad)))])
				hit = true
			}
		}
		p := filepath.Join(dir, "bad")
		write(t, p, bad)
		l := open(t, p, LogConfig{})
		if got := contents(t, l); hit && len(got) != 3 {
			t.Fatalf("lost sectors: %d records", len(got))
		}
		l.Close()
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Goal: frames that are whole but do not belong are ErrCorrupt. Method: drop, repeat and swap frames; take one of another log;
// damage followed by more than a frame.
func TestLogOrder(t *testing.T) {
	dir := t.TempDir()
	build := func(name string) ([]byte, [3][]byte) {
		p := filepath.Join(dir, name)
		l := open(t, p, LogConfig{})
		var f [3][]byte
		for i := range f {
			from := l.size
			if _, err := l.Append(t.Context(), fmt.Appendf(nil, "record %d", i)); err != nil {
				t.Fatal(err)
			}
			b, _ := os.ReadFile(p)
			f[i] = b[from:]
		}
		l.Close()
		b, _ := os.ReadFile(p)
		return b[:fileHeaderLen], f
	}
	head, f := build("a")
	_, g := build("b")
	for name, file := range map[string][]byte{
		"dropped":    bytes.Join([][]byte{head, f[0], f[2]}, nil),
		"no first":   bytes.Join([][]byte{head, f[1], f[2]}, nil),
		"repeated":   bytes.Join([][]byte{head, f[0], f[0], f[1]}, nil),
		"swapped":    bytes.Join([][]byte{head, f[1], f[0], f[2]}, nil),
		"foreign":    bytes.Join([][]byte{head, f[0], g[1], f[1]}, nil),
		"long tail":  bytes.Join([][]byte{head, f[0], make([]byte, frameHeaderLen+maxPayload+1)}, nil),
		"half":       head[:fileHeaderLen-1],
		"empty":      {},
		"other file": []byte("#!/bin/sh\necho this is something else entirely\n"),
	} {
		p := filepath.Join(dir, "bad")
		write(t, p, file)
		if _, err := OpenLog(p, LogConfig{}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: one process at a time. Method: open twice.
func TestLogLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	open(t, path, LogConfig{})
	if _, err := OpenLog(path, LogConfig{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
}

// Goal: no file makes the reader panic, and reading settles: without its torn tail a file reads the same and to its end.
// Method: fuzz the bytes behind a sound header, seeded with real frames and pieces of them.
func FuzzReader(f *testing.F) {
	id := fileID{1, 2, 3, 4, 5, 6, 7, 8}
	mk := func(first uint64, records ...string) []byte {
		b := make([]byte, frameHeaderLen)
		for _, r := range records {
			b = appendRecord(b, []byte(r))
		}
		putFrameHeader(b, id, len(records), first)
		return b
	}
	one, two := mk(1, "a", "b"), mk(3, "c")
	f.Add([]byte{})
	f.Add(one)
	f.Add(append(bytes.Clone(one), two...))
	f.Add(append(bytes.Clone(one), two[:len(two)-1]...))
	f.Add(append(bytes.Clone(one[:10]), two...))
	lying := mk(1, "a")
	putFrameHeader(lying, id, 2, 1)
	f.Add(lying)
	walk := func(b []byte) (records []string, end int64, err error) {
		r, err := newReader(bytes.NewReader(b), int64(len(b)))
		for err == nil {
			var fr frame
			if fr, err = r.frame(); err == nil {
				err = fr.each(func(_ uint64, data []byte) bool {
					records = append(records, string(data))
					return true
				})
			}
		}
		return records, r.off, err
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = append(fileHeader(id), b...)
		before, end, err := walk(b)
		if errors.Is(err, ErrCorrupt) {
			return
		}
		if err != io.EOF && err != errTorn {
			t.Fatal(err)
		}
		after, again, err := walk(b[:end])
		if err != io.EOF || again != end || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("%v then %v: %v", before, after, err)
		}
	})
}

// BenchmarkLogAppend: one appender, and 64 who share their fsyncs.
func BenchmarkLogAppend(b *testing.B) {
	record := make([]byte, 512)
	for _, par := range []int{1, 64} {
		b.Run(fmt.Sprintf("appenders=%d", par), func(b *testing.B) {
			l := open(b, filepath.Join(b.TempDir(), "log"), LogConfig{})
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range par {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						if _, err := l.Append(context.Background(), record); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
