package badgerstore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

func testKey(b byte) *secret.Bytes { return secret.From(bytes.Repeat([]byte{b}, KeyLen)) }

func mustOpen(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Config{Dir: dir, Key: testKey(1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s *Store, key, value string) {
	t.Helper()
	if err := s.Batch(t.Context(), []vault.Pair{{Key: []byte(key), Value: []byte(value)}}, nil); err != nil {
		t.Fatal(err)
	}
}

// Goal: the store keeps the contract. Method: the suite.
func TestSuite(t *testing.T) {
	vaulttest.RunStore(t, func(t *testing.T, dir string) vault.Store { return mustOpen(t, dir) })
}

// copyDir is a disk as a crash leaves it: copied while the store is open.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// Goal: keys that do not fit are told apart and nothing is changed. Method: another key, none, a short one; then the right one.
func TestWrongKey(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	put(t, s, "a", "1")
	s.Close()
	if _, err := Open(Config{Dir: dir, Key: testKey(2)}); !errors.Is(err, ErrWrongKey) {
		t.Errorf("other key: %v", err)
	}
	for _, k := range []*secret.Bytes{nil, secret.New(0), secret.New(16)} {
		if _, err := Open(Config{Dir: dir, Key: k}); !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("no key: %v", err)
		}
	}
	if v, err := mustOpen(t, dir).Get(t.Context(), []byte("a")); err != nil || string(v) != "1" {
		t.Errorf("%q %v", v, err)
	}
}

// Goal: one process at a time. Method: open twice.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir)
	if _, err := Open(Config{Dir: dir, Key: testKey(1)}); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("%v", err)
	}
}

// Goal: what was acknowledged is there after a crash. Method: copy the open directory, open the copy.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 20 {
		put(t, s, fmt.Sprint(i), fmt.Sprint(i))
		put(t, s, fmt.Sprint("large", i), string(bytes.Repeat([]byte{byte(i)}, valueThreshold+100)))
	}
	c := mustOpen(t, copyDir(t, dir))
	for i := range 20 {
		if v, err := c.Get(t.Context(), []byte(fmt.Sprint(i))); err != nil || string(v) != fmt.Sprint(i) {
			t.Errorf("%d: %q %v", i, v, err)
		}
		if v, err := c.Get(t.Context(), []byte(fmt.Sprint("large", i))); err != nil || len(v) != valueThreshold+100 {
			t.Errorf("large %d: %d bytes, %v", i, len(v), err)
		}
	}
}

// snapshot is all names and contents of a directory but those that any opening touches.
func files(t testing.TB, dir string) map[string]string {
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, p))
		out[p] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Goal: a store that lost a file never starts afresh, and nothing is deleted. Method: remove each file of ours, the database,
// its manifest and its key registry, in a closed store; then change ours.
func TestMissingFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Salt(dir); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	put(t, s, "a", "1")
	s.Close()
	for _, name := range []string{markerFile, ackedFile, dbDir, dbDir + "/MANIFEST", dbDir + "/KEYREGISTRY"} {
		c := copyDir(t, dir)
		if err := os.RemoveAll(filepath.Join(c, name)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(Config{Dir: c, Key: testKey(1)})
		if !errors.Is(err, vault.ErrCorrupt) && !errors.Is(err, ErrWrongKey) {
			t.Errorf("without %s: %v", name, err)
		}
		for _, kept := range []string{".sst", ".vlog"} {
			if m, _ := filepath.Glob(filepath.Join(c, dbDir, "*"+kept)); len(m) == 0 && name != dbDir {
				t.Errorf("without %s: %s files were deleted", name, kept)
			}
		}
	}
	for _, name := range []string{markerFile, ackedFile} {
		for _, content := range []string{"", "x", "mpcd store 2 ready\n", string(bytes.Repeat([]byte{7}, 5000))} {
			c := copyDir(t, dir)
			if err := os.WriteFile(filepath.Join(c, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			before := files(t, c)
			if _, err := Open(Config{Dir: c, Key: testKey(1)}); !errors.Is(err, vault.ErrCorrupt) {
				t.Errorf("%s is %.20q: %v", name, content, err)
			}
			if after := files(t, c); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("%s is %.20q: files were changed", name, content)
			}
		}
	}
	for _, damage := range []func(string) error{os.Remove, func(p string) error { return os.Truncate(p, 5) }} {
		c := copyDir(t, dir)
		if err := damage(filepath.Join(c, saltFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Salt(c); !errors.Is(err, vault.ErrCorrupt) {
			t.Errorf("salt: %v", err)
		}
	}
}

// Goal: files of the database that were cut, emptied or put back from earlier are ErrCorrupt at Open or at the first read of
// what they held; never a store that lacks acknowledged writes. Method: each file of a crashed and of a closed store, cut at
// several places, and the whole database put back from before the last write.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 10 {
		put(t, s, fmt.Sprint("key", i), fmt.Sprint("value", i))
		put(t, s, fmt.Sprint("large", i), string(bytes.Repeat([]byte{byte(i)}, valueThreshold+100)))
	}
	crashed := copyDir(t, dir)
	put(t, s, "last", "write")
	newer := copyDir(t, dir)
	s.Close()

	sound := func(dir string) error {
		s, err := Open(Config{Dir: dir, Key: testKey(1)})
		if err != nil {
			return err
		}
		defer s.Close()
		for i := range 10 {
			for _, k := range []string{"key", "large"} {
				v, err := s.Get(t.Context(), []byte(fmt.Sprint(k, i)))
				if err != nil {
					return err
				}
				if k == "key" && string(v) != fmt.Sprint("value", i) || k == "large" &&
					!bytes.Equal(v, bytes.Repeat([]byte{byte(i)}, valueThreshold+100)) {
					return fmt.Errorf("%s%d is %.20q", k, i, v)
				}
			}
		}
		return nil
	}
	told, unnoticed := 0, 0
	for state, from := range map[string]string{"crashed": crashed, "closed": dir} {
		for name, content := range files(t, from) {
			if filepath.Dir(name) != dbDir || len(content) == 0 {
				continue
			}
			used := len(bytes.TrimRight([]byte(content), "\x00"))
			for _, at := range []int{0, used / 2, max(0, used-1)} {
				c := copyDir(t, from)
				if err := os.Truncate(filepath.Join(c, name), int64(at)); err != nil {
					t.Fatal(err)
				}
				// Sound, or told: a cut may have hit nothing that matters. One in a write-ahead log with records does.
				err := sound(c)
				if err != nil && !errors.Is(err, vault.ErrCorrupt) && !errors.Is(err, ErrWrongKey) {
					t.Errorf("%s: %s cut at %d of %d: %v", state, name, at, used, err)
				}
				if err == nil && state == "crashed" && filepath.Ext(name) == ".mem" && used > 1000 {
					t.Errorf("%s: %s cut at %d of %d went unnoticed", state, name, at, used)
				}
				if err == nil {
					unnoticed++
				} else {
					told++
				}
			}
		}
	}
	t.Logf("%d cuts told, %d without effect", told, unnoticed)
	if err := os.RemoveAll(filepath.Join(newer, dbDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(newer, dbDir), os.DirFS(filepath.Join(crashed, dbDir))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: newer, Key: testKey(1)}); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("database put back: %v", err)
	}
}

// Goal: a process killed between making a log and sizing it, or between emptying one and removing it, leaves a store that opens with all it
// held, again and again. Method: files without a byte, of the next and of an older number, beside the logs of a crashed store.
func TestUnsizedLog(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	put(t, s, "a", "1")
	put(t, s, "b", string(make([]byte, 2*valueThreshold)))
	crashed := copyDir(t, dir)
	for _, name := range []string{"00099.mem", "000099.vlog", "00000.mem", "000000.vlog"} {
		c1 := copyDir(t, crashed)
		if err := os.WriteFile(filepath.Join(c1, dbDir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s, err := Open(Config{Dir: c1, Key: testKey(1)})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			put(t, s, "c", "3")
			for k, n := range map[string]int{"a": 1, "b": 2 * valueThreshold, "c": 1} {
				if v, err := s.Get(t.Context(), []byte(k)); err != nil || len(v) != n {
					t.Errorf("%s: %s has %d bytes: %v", name, k, len(v), err)
				}
			}
			s.Close()
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: of an emptied log that is not the last it is told whether all that was written to it stands elsewhere, as when Badger was about to
// remove it, or was lost; the latter at every opening. Method: a store whose first log's commits stand in a table, and one where they do
// not, each with the log of later commits; a value log with values, and without.
func TestEmptiedEarlierLog(t *testing.T) {
	db := func(dir, name string) string { return filepath.Join(dir, dbDir, name) }
	empty := func(path string) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 20 {
		put(t, s, fmt.Sprint("key", i), "value")
	}
	before := copyDir(t, dir) // commits in 00001.mem
	moved := copyDir(t, dir)
	s = mustOpen(t, moved)
	put(t, s, "large", string(make([]byte, 2*valueThreshold)))
	put(t, s, "last", "write")
	after := copyDir(t, moved) // in a table, and later ones in 00002.mem
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	lost := copyDir(t, before)
	for _, name := range []string{"00002.mem", "KEYREGISTRY"} {
		copyFile(t, db(after, name), db(lost, name))
	}
	later := copyDir(t, after)
	s = mustOpen(t, later)
	put(t, s, "later", "still")
	for _, name := range []string{"00003.mem", "KEYREGISTRY"} { // of one commit, and 00002.mem is not in a table
		copyFile(t, db(later, name), db(after, name))
	}
	values := copyDir(t, moved) // in the value log before the last
	empty(db(lost, "00001.mem"))
	empty(db(after, "00001.mem"))
	empty(db(after, "000001.vlog")) // which had no value
	empty(db(values, "000002.vlog"))
	empty(db(values, "000009.vlog"))
	for range 2 {
		if _, err := Open(Config{Dir: lost, Key: testKey(1)}); !errors.Is(err, vault.ErrCorrupt) || !strings.Contains(err.Error(), "00001.mem") {
			t.Errorf("lost commits: %v", err)
		}
		if _, err := Open(Config{Dir: values, Key: testKey(1)}); !errors.Is(err, vault.ErrCorrupt) {
			t.Errorf("lost values: %v", err)
		}
		s, err := Open(Config{Dir: after, Key: testKey(1)})
		if err != nil {
			t.Fatal(err)
		}
		for k, n := range map[string]int{"key0": 5, "key19": 5, "large": 2 * valueThreshold, "last": 5, "later": 5} {
			if v, err := s.Get(t.Context(), []byte(k)); err != nil || len(v) != n {
				t.Errorf("%s has %d bytes: %v", k, len(v), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Goal: a value log that was emptied, the last one too, is told at every opening, and what the opening changed stays aside. Method: the
// value log of a crashed store, cut to no byte.
func TestEmptiedValueLog(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	put(t, s, "large", string(make([]byte, 2*valueThreshold)))
	crashed := copyDir(t, dir)
	paths, err := filepath.Glob(filepath.Join(crashed, dbDir, "*"+valueLog))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%v %v", paths, err)
	}
	if err := os.Truncate(paths[len(paths)-1], 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := Open(Config{Dir: crashed, Key: testKey(1)}); !errors.Is(err, vault.ErrCorrupt) {
			t.Errorf("opened: %v", err)
		}
	}
	if found, err := exists(filepath.Join(crashed, asideDir)); err != nil || !found {
		t.Errorf("nothing is kept aside: %v", err)
	}
}

// Goal: a store whose making was cut short is made anew, and only that. Method: the state after each step of the making.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	if err := begin(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, dbDir, "MANIFEST"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	put(t, s, "a", "1")
	s.Close()
	if v, err := mustOpen(t, dir).Get(t.Context(), []byte("a")); err != nil || string(v) != "1" {
		t.Errorf("%q %v", v, err)
	}
}

// Goal: purged values leave the files, live ones stay. Method: a store without Badger's encryption, whose files are scanned.
func TestPurgeFiles(t *testing.T) {
	dir := t.TempDir()
	s, err := open(Config{Dir: dir}, smallOptions(filepath.Join(dir, dbDir), nil))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, "gone", "wrapped key one")
	put(t, s, "stays", "wrapped key two")
	if err := s.Batch(t.Context(), nil, [][]byte{[]byte("gone")}); err != nil {
		t.Fatal(err)
	}
	has := func(value string) bool {
		for name, content := range files(t, dir) {
			// The value log keeps no value below the threshold.
			if bytes.Contains([]byte(content), []byte(value)) {
				t.Logf("%q is in %s", value, name)
				return true
			}
		}
		return false
	}
	if !has("wrapped key one") {
		t.Fatal("the scan finds nothing even before the purge")
	}
	if err := s.Purge(t.Context(), [][]byte{[]byte("gone")}); err != nil {
		t.Fatal(err)
	}
	if has("wrapped key one") || !has("wrapped key two") {
		t.Error("purge kept what it should drop, or dropped what it should keep")
	}
}

// Goal: the key depends on password, salt and kind, and weak input is refused. Method: vectors of difference, limits.
func TestKeyFromPassword(t *testing.T) {
	salt, other := bytes.Repeat([]byte{1}, SaltLen), bytes.Repeat([]byte{2}, SaltLen)
	seen := map[string]bool{}
	for _, c := range []struct {
		pw    string
		human bool
		salt  []byte
	}{
		{"sixteen bytes pw", false, salt}, {"sixteen bytes pw", false, other}, {"sixteen bytes pX", false, salt},
		{"sixteen bytes pw", true, salt}, {"sixteen bytes pw", true, other},
	} {
		k, err := KeyFromPassword(c.pw, c.human, c.salt)
		if err != nil || k.Len() != KeyLen || seen[string(k.Bytes())] {
			t.Errorf("%v: %v", c, err)
			continue
		}
		seen[string(k.Bytes())] = true
	}
	for _, c := range []struct {
		pw    string
		human bool
		salt  []byte
	}{{"", false, salt}, {"", true, salt}, {"fifteen bytes p", false, salt}, {"elevenbytes", true, salt}, {"sixteen bytes pw", false, nil}} {
		if _, err := KeyFromPassword(c.pw, c.human, c.salt); !errors.Is(err, vault.ErrInvalid) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// BenchmarkBatch: one writer, and 32 who share their fsyncs.
func BenchmarkBatch(b *testing.B) {
	for _, par := range []int{1, 32} {
		b.Run(fmt.Sprintf("writers=%d", par), func(b *testing.B) {
			s := mustOpen(b, b.TempDir())
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range par {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						put(b, s, fmt.Sprint(w), "0123456789abcdef")
					}
				})
			}
			wg.Wait()
		})
	}
}

func BenchmarkPurge(b *testing.B) {
	s := mustOpen(b, b.TempDir())
	for i := range 1000 {
		put(b, s, fmt.Sprint("other", i), "0123456789abcdef")
	}
	for i := 0; b.Loop(); i++ {
		k := []byte(fmt.Sprint("key", i))
		put(b, s, string(k), "x")
		if err := s.Batch(b.Context(), nil, [][]byte{k}); err != nil {
			b.Fatal(err)
		}
		if err := s.Purge(b.Context(), [][]byte{k}); err != nil {
			b.Fatal(err)
		}
	}
}

// Goal: damage that Badger would tidy away is still there afterwards. Method: a write-ahead log cut inside, an opening that
// fails, then the log put back from what was kept aside; and tables the manifest does not list.
func TestKeptAside(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	put(t, s, "a", "1")
	put(t, s, "b", "2")
	crashed := copyDir(t, dir)
	mems, _ := filepath.Glob(filepath.Join(crashed, dbDir, "*.mem"))
	for _, m := range mems {
		b, _ := os.ReadFile(m)
		if used := len(bytes.TrimRight(b, "\x00")); used > 60 {
			b[50] ^= 1
			if err := os.WriteFile(m, b, 0o600); err != nil {
				t.Fatal(err)
			}
			defer func() {
				kept, err := os.ReadFile(filepath.Join(crashed, asideDir, filepath.Base(m)))
				if err != nil || !bytes.Equal(kept, b[:used]) {
					t.Fatalf("log not kept aside: %v", err)
				}
				b[50] ^= 1
				if err := os.WriteFile(m, b, 0o600); err != nil {
					t.Fatal(err)
				}
				if v, err := mustOpen(t, crashed).Get(t.Context(), []byte("b")); err != nil || string(v) != "2" {
					t.Errorf("after the repair: %q %v", v, err)
				}
				if found, _ := exists(filepath.Join(crashed, asideDir)); found {
					t.Error("aside stays after a sound opening")
				}
			}()
		}
	}
	stray := filepath.Join(crashed, dbDir, "000999.sst")
	if err := os.WriteFile(stray, []byte("unlisted"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: crashed, Key: testKey(1)}); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("open: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(crashed, asideDir, "000999.sst")); err != nil || string(b) != "unlisted" {
		t.Errorf("unlisted table: %q %v", b, err)
	}
}
