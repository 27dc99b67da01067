package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"github.com/luxfi/mpcd/vault"
)

// Goal: a store opens again, with all that it held, after a compaction whose entry in the manifest could not be made durable, and whose
// tables Badger has removed; and a table that is gone otherwise is still told. Method: the manifest gets the entry that such a compaction
// leaves, and entries of damage: of a new table alone, and of one that replaces a table which is gone too.
func TestUndo(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for i := range 100 {
		put(t, s, fmt.Sprint(i), string(make([]byte, 900)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := manifest(smallOptions(filepath.Join(dir, dbDir), nil))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	var was uint64
	for was = range tables {
	}
	create := &pb.ManifestChange{Id: 9999, Op: pb.ManifestChange_CREATE, Level: 5}
	remove := func(id uint64) *pb.ManifestChange { return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE} }
	for name, c := range map[string]struct {
		set  []*pb.ManifestChange
		gone bool // the table that is replaced
		ok   bool
	}{
		"failed compaction":    {[]*pb.ManifestChange{create, remove(was)}, false, true},
		"a new table alone":    {[]*pb.ManifestChange{create}, false, false},
		"what it replaced too": {[]*pb.ManifestChange{create, remove(was)}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, dir)
			path := filepath.Join(dir, dbDir, badger.ManifestFilename)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			payload, err := proto.Marshal(&pb.ManifestChangeSet{Changes: c.set})
			if err != nil {
				t.Fatal(err)
			}
			whole := binary.BigEndian.AppendUint32(bytes.Clone(b), uint32(len(payload)))
			whole = append(binary.BigEndian.AppendUint32(whole, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli))), payload...)
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			if c.gone {
				if err := os.Remove(filepath.Join(dir, dbDir, fmt.Sprintf("%06d.sst", was))); err != nil {
					t.Fatal(err)
				}
			}
			s, err := Open(Config{Dir: dir, Key: testKey(1)})
			if !c.ok {
				if !errors.Is(err, vault.ErrCorrupt) {
					t.Errorf("opened: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dir, undoneManifest)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("it was taken back: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for i := range 100 {
				if v, err := s.Get(t.Context(), fmt.Append(nil, i)); err != nil || len(v) != 900 {
					t.Errorf("%d: %d bytes, %v", i, len(v), err)
				}
			}
			if kept, err := os.ReadFile(filepath.Join(dir, undoneManifest)); err != nil || !bytes.Equal(kept, whole) {
				t.Errorf("the manifest as it was is not kept: %v", err)
			}
		})
	}
}

// Goal: what fails in a goroutine of Badger's ends the process before Badger goes on by what it believes it wrote. Method: Badger logs an
// error, and something else.
func TestBackground(t *testing.T) {
	var why error
	s, err := Open(Config{Dir: t.TempDir(), Key: testKey(1), Crash: func(err error) { why = err }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log := s.db.Opts().Logger
	log.Warningf("a cache is small: %d", 1)
	log.Errorf("Unable to read: Key: %v, error %v", 1, errors.New("a read"))
	if s.failure.Err() != nil || why != nil {
		t.Errorf("failed for what is no error: %v", why)
	}
	cause := errors.New("the disk")
	log.Warningf("While running doCompact: %v\n", cause)
	if !errors.Is(why, cause) || !errors.Is(why, vault.ErrBroken) {
		t.Fatalf("ended for %v", why)
	}
	<-s.Failed()
	if err := s.Batch(t.Context(), []vault.Pair{{Key: []byte("k"), Value: []byte("v")}}, nil); !errors.Is(err, vault.ErrBroken) {
		t.Errorf("it writes on: %v", err)
	}
}

// talker is a logger of Badger's that does something whenever Badger says how it gets on.
type talker struct {
	badgerLogger
	do func()
}

func (l talker) Infof(string, ...any) { l.do() }

// failing is closed on a disk that fails.
type failing struct{ io.Closer }

func (f failing) Close() error {
	return errors.Join(f.Closer.Close(), errors.New("remove LOCK: input/output error"))
}

// Goal: a disk that fails while the store is opened is told as that, and not as a damaged store, also where Badger keeps the words of the
// failure alone, where it would end the process with them, and where it would try the write again without end. Method: such words, and
// others; Badger opens a database and says them meanwhile, or does not go on.
func TestDiskFailure(t *testing.T) {
	for _, words := range []string{"open x.mem: no space left on device", "sync db: disk quota exceeded", "open x: read-only file system",
		"truncate x.vlog: input/output error\nerror while truncation"} {
		for _, err := range []error{errors.New(words), fmt.Errorf("read: %w", syscall.EIO)} {
			if err := openError("dir", err); errors.Is(err, vault.ErrCorrupt) || diskFailure(err) == nil || !errors.Is(err, diskFailure(err)) {
				t.Errorf("%q: %v", words, err)
			}
		}
	}
	if err := openError("dir", errors.New("manifest has bad magic")); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("damage: %v", err)
	}
	s := mustOpen(t, t.TempDir())
	s.lock = failing{s.lock}
	if err := s.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("closed: %v", err)
	}
	var heard []error
	s = &Store{crash: func(err error) { heard = append(heard, err) }}
	words := func() { log.Print(" err: open DISCARD: input/output error") }
	db, err := s.openBadger(badger.DefaultOptions("").WithInMemory(true).WithLogger(talker{do: words}))
	if db == nil && !errors.Is(err, syscall.EIO) { // it may be through before it is given up
		t.Fatal(err)
	}
	n := len(heard)
	if n == 0 || !errors.Is(heard[0], syscall.EIO) || errors.Is(heard[0], vault.ErrCorrupt) {
		t.Errorf("before the process would have ended: %v", heard)
	}
	if words(); len(heard) > n {
		t.Error("it is heard after the opening")
	}
	s, hold := &Store{}, make(chan struct{})
	defer close(hold)
	_, err = s.openBadger(badger.DefaultOptions("").WithInMemory(true).WithLogger(talker{do: func() {
		s.background(errors.New("checksum mismatch"))
		if err := s.failure.Err(); err != nil {
			t.Errorf("damage that the opening itself will tell: %v", err)
		}
		s.background(errors.New("error flushing memtable: input/output error"))
		select {
		case <-hold:
		case <-time.After(5 * time.Second): // it was not given up
		}
	}}))
	if !errors.Is(err, syscall.EIO) || errors.Is(err, vault.ErrBroken) {
		t.Errorf("a write that is tried again without end: %v", err)
	}
}
