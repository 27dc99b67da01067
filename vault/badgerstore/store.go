package badgerstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

// ErrWrongKey: the database is encrypted with another key.
var ErrWrongKey = errors.New("wrong store key")

// Config says where a store is and what opens it.
type Config struct {
	// Dir is a directory of the store's own; made if it is not there.
	Dir string
	// Key encrypts the database, KeyLen bytes (KeyFromPassword). Lent until Open returns; Badger keeps a copy in its heap.
	Key *secret.Bytes
	// Logger gets Badger's warnings and errors; nil drops them.
	Logger *slog.Logger
	// Crash ends the process. It is called with the reason, by whoever meets it, where a write has failed of which nobody knows the outcome:
	// Badger's goroutines go on writing by what they believe they wrote, and what they make of that need not open again. nil leaves it to the
	// caller, who learns of it by Failed.
	Crash func(error)
	// Free tells the free space on the disk of a directory, in bytes; nil asks the file system.
	Free func(dir string) (int64, error)
	// Inodes tells how many files may be made there, as Free does of bytes.
	Inodes func(dir string) (int64, error)
	// Needs are files of its owner's without which the store will not be opened again: nothing is written while one is away that was there
	// when it was opened.
	Needs []string
}

// What the store keeps in Badger: its own keys under 'i', the caller's under 'u'.
const (
	userPrefix = 'u'
	seqKey     = "i/seq"
)

// Store is a vault.Store and vault.Purger on Badger.
type Store struct {
	dir   string
	lock  io.Closer
	held  *durable.Held // the database's directory
	files string        // a path of it, by which its files are made: it leads to no copy that takes its place
	db    *badger.DB
	acked *durable.Counter
	needs []string                    // files without which it is not opened again
	free  func(string) (int64, error) // as Config.Free
	// inodes is as Config.Inodes
	inodes func(string) (int64, error)
	group  *durable.Group[*batch]

	// Used by one commit at a time.
	seq       uint64
	allocated [2]string // the newest write-ahead log and value log, which have their place on the disk

	// failure is why nothing is written any more, nor Badger closed: the outcome of a write is unknown, or a read of a mapped file failed
	// inside Badger, whose locks it may have left behind.
	failure durable.Failure
	crash   func(error)
	opened  atomic.Bool // it was found whole: what Badger logs from now on is of writes

	mu     sync.RWMutex // held for reading while the database is read
	closed bool
}

var (
	_ vault.Store  = (*Store)(nil)
	_ vault.Purger = (*Store)(nil)
)

type batch struct {
	puts    []vault.Pair
	deletes [][]byte
}

// Open opens the store in dir, or makes one in a directory that has none. ErrWrongKey, vault.ErrLocked if another process has
// it, vault.ErrCorrupt if files are missing, damaged, or behind what was acknowledged.
func Open(c Config) (*Store, error) {
	if c.Key == nil || c.Key.Len() != KeyLen {
		return nil, fmt.Errorf("badgerstore: a key of %d bytes is needed: no key, no start: %w", KeyLen, vault.ErrInvalid)
	}
	o := smallOptions(filepath.Join(c.Dir, dbDir), c.Logger).WithEncryptionKey(append([]byte(nil), c.Key.Bytes()...))
	return open(c, o)
}

// smallOptions keep a store of shares small: about 20 MB on disk, some 20 MB of memory.
func smallOptions(dir string, logger *slog.Logger) badger.Options {
	return badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithDetectConflicts(false). // one writer
		WithNumVersionsToKeep(1).
		WithCompression(options.None). // sealed bytes do not shrink
		WithMemTableSize(2 << 20).
		WithNumMemtables(2).
		WithBaseTableSize(2 << 20).
		WithNumCompactors(2).
		WithValueLogFileSize(4 << 20). // twice as much is given its place on the disk
		WithValueThreshold(valueThreshold).
		WithBlockCacheSize(4 << 20). // Badger panics without one when it encrypts
		WithIndexCacheSize(8 << 20).
		WithChecksumVerificationMode(options.OnTableAndBlockRead).
		WithVerifyValueChecksum(true).
		WithMetricsEnabled(false).
		WithLogger(badgerLogger{to: logger})
}

// valueThreshold: larger values, receipts above all, go to the value log, where no compaction rewrites them; wrapped DEKs are
// smaller, stay in the tables and are erased there. It also lets the largest batch fit a transaction (15 % of a memtable).
const valueThreshold = 1 << 10

func open(c Config, o badger.Options) (*Store, error) {
	dir := c.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	lock, err := durable.LockFile(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("badgerstore: is another mpcd running? %w", err)
	}
	s := &Store{dir: dir, lock: lock, needs: slices.Clone(c.Needs), free: c.Free, inodes: c.Inodes, crash: c.Crash}
	s.group = durable.NewGroup(vault.MaxBatchBytes, (*batch).weight, s.commit)
	if err := s.open(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Store) open(o badger.Options) error {
	found, err := inspect(s.dir)
	if err != nil {
		return err
	}
	if err := s.room(); err != nil { // for the opening writes, whatever there is
		return err
	}
	switch found {
	case nothing:
		err = begin(s.dir)
	case begun:
		err = restart(s.dir)
	}
	if err != nil {
		return err
	}
	if s.acked, err = durable.OpenCounter(filepath.Join(s.dir, ackedFile)); err != nil {
		return fmt.Errorf("badgerstore: %s of %s cannot be read: %w", ackedFile, s.dir, unread(err))
	}
	known := keyCheck{dir: s.dir, key: o.EncryptionKey}
	if err := s.hold(o.Dir); err != nil {
		return err
	}
	look := false
	if found == ready {
		if err := undoFailed(o); err != nil {
			return openError(s.dir, err)
		}
		if err := preflight(o); err != nil {
			return openError(s.dir, known.explain(err))
		}
		if look, err = exists(filepath.Join(s.dir, asideDir)); err != nil { // an earlier opening did not find it whole
			return err
		}
		if err := setAside(s.dir, o); err != nil {
			return fmt.Errorf("badgerstore: %s: keep files aside: %w", s.dir, err)
		}
		lost, err := finishLogs(o)
		if err != nil {
			return fmt.Errorf("badgerstore: %s: finish the last logs: %w", s.dir, err)
		}
		look = look || lost
	}
	logger := o.Logger.(badgerLogger)
	logger.failed, logger.named = s.background, s.named
	if s.db, err = s.openBadger(o.WithLogger(logger).WithDir(s.files).WithValueDir(s.files)); err != nil {
		return openError(s.dir, placed{err, s})
	}
	if err := errors.Join(s.allocate(), durable.Allocate(filepath.Join(s.files, discardFile))); err != nil {
		return err
	}
	if err := s.checkSeq(); err != nil {
		return err
	}
	if look {
		if err := s.Iterate(context.Background(), nil, func(_, _ []byte) error { return nil }); err != nil {
			return fmt.Errorf("%w: a value log lost records (%s there has what the opening changed)", err, asideDir)
		}
	}
	if err := known.keep(); err != nil {
		return err
	}
	if found != ready {
		err = finish(s.dir)
	} else {
		err = os.RemoveAll(filepath.Join(s.dir, asideDir))
	}
	for _, name := range append(needed, saltFile) {
		s.needs = append(s.needs, filepath.Join(s.dir, name))
	}
	s.needs = slices.DeleteFunc(s.needs, func(path string) bool { return durable.Present(path) != nil }) // not all stores have all of them
	s.opened.Store(err == nil)
	return err
}

// hold keeps the database's directory, whatever comes to stand where it is now.
func (s *Store) hold(dir string) (err error) {
	if s.held, err = durable.Hold(dir); err == nil {
		s.files, err = s.held.Path()
	}
	return err
}

// named has what Badger says name its directory as the operator knows it.
func (s *Store) named(said string) string {
	if s.files == "" {
		return said
	}
	return strings.ReplaceAll(said, s.files+"/", filepath.Join(s.dir, dbDir)+"/")
}

// placed is an error of Badger's in those words.
type placed struct {
	error
	s *Store
}

func (p placed) Error() string { return p.s.named(p.error.Error()) }
func (p placed) Unwrap() error { return p.error }

// opening is held while a database is opened: the log of the process, which is listened to meanwhile, is one for all.
var opening sync.Mutex

// openBadger opens the database, unless a write of its goroutines fails: Badger would try it again without end.
func (s *Store) openBadger(o badger.Options) (*badger.DB, error) {
	opening.Lock()
	defer opening.Unlock()
	type opened struct {
		db  *badger.DB
		err error
	}
	done := make(chan opened, 1)
	defer log.SetOutput(log.Writer())
	log.SetOutput(lastWords{log.Writer(), s.fail})
	go func() {
		db, err := tryBadger(o)
		done <- opened{db, err}
	}()
	select {
	case d := <-done:
		return d.db, d.err
	case <-s.failure.Done():
		return nil, s.failure.Err()
	}
}

// tryBadger turns Badger's panics on damaged files into errors.
func tryBadger(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in badger: %v", p)
		}
	}()
	if db, err = badger.Open(o); err != nil {
		return nil, err // what Badger returns beside an error cannot be closed
	}
	return db, nil
}

func openError(dir string, err error) error {
	switch {
	case diskFailure(err) != nil:
		return fmt.Errorf("badgerstore: the database in %s does not open: %w", dir, told(err))
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return fmt.Errorf("badgerstore: the database in %s was encrypted with another key; check the password provider and its key ID, and "+
			"that %s is the store's own; nothing was changed: %w",
			dir, saltFile, ErrWrongKey)
	case isLock(err):
		return fmt.Errorf("badgerstore: %s: is another mpcd running? %w", dir, vault.ErrLocked)
	}
	return fmt.Errorf("badgerstore: the database in %s does not open: %w: %w", dir, vault.ErrCorrupt, err)
}

// checkSeq holds the number of the last commit in the database against the last that was acknowledged.
func (s *Store) checkSeq() error {
	err := s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(seqKey))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(v []byte) error {
			if len(v) != 8 {
				return fmt.Errorf("%s of %d bytes", seqKey, len(v))
			}
			s.seq = binary.BigEndian.Uint64(v)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("badgerstore: %s: %w", s.dir, unread(err))
	}
	if acked := s.acked.Value(); s.seq < acked {
		return fmt.Errorf("badgerstore: the database in %s ends at commit %d, but %d was acknowledged: files were cut or put back "+
			"(%s there has what the opening changed): %w",
			s.dir, s.seq, acked, asideDir, vault.ErrCorrupt)
	}
	return nil
}

func userKey(k []byte) []byte { return append([]byte{userPrefix}, k...) }

// reading keeps Close away; the caller unlocks s.mu if it returns nil.
func (s *Store) reading(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	if s.closed {
		s.mu.RUnlock()
		return fmt.Errorf("badgerstore: %w", vault.ErrClosed)
	}
	return nil
}

// view reads the database. What cannot be read of its mapped files, because the disk fails or they were cut meanwhile, is an error here,
// and not the end of the process.
func (s *Store) view(f func(*badger.Txn) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if fault, ok := p.(interface{ Addr() uintptr }); ok {
			err = fmt.Errorf("badgerstore: %s: %w", s.dir, unmapped(fault.Addr()))
			s.fail(fmt.Errorf("%w: %w", vault.ErrBroken, err))
		} else if p != nil {
			panic(p)
		}
	}()
	return s.db.View(f)
}

// Get implements vault.Store.
func (s *Store) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := s.reading(ctx); err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	var out []byte
	err := s.view(func(txn *badger.Txn) error {
		item, err := txn.Get(userKey(key))
		if err != nil {
			return err
		}
		if isErased(item) {
			return badger.ErrKeyNotFound
		}
		if out, err = item.ValueCopy(nil); err != nil {
			return err
		}
		out, err = decodeValue(out)
		return err
	})
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, fmt.Errorf("badgerstore: key %q: %w", key, vault.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("badgerstore: key %q: %w", key, unread(err))
	}
	return out, nil
}

// Iterate implements vault.Store.
func (s *Store) Iterate(ctx context.Context, prefix []byte, f func(key, value []byte) error) error {
	if err := s.reading(ctx); err != nil {
		return err
	}
	defer s.mu.RUnlock()
	return s.view(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.Prefix, o.PrefetchValues = userKey(prefix), false // which would be read in goroutines of Badger
		it := txn.NewIterator(o)
		defer it.Close()
		var stored []byte
		for it.Rewind(); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			if isErased(item) {
				continue
			}
			var err error
			if stored, err = item.ValueCopy(stored); err != nil {
				return corrupt(item, err)
			}
			value, err := decodeValue(stored)
			if err != nil {
				return corrupt(item, err)
			}
			if err := f(item.KeyCopy(nil)[1:], value); err != nil {
				return err
			}
		}
		return nil
	})
}

func corrupt(item *badger.Item, err error) error {
	return fmt.Errorf("badgerstore: key %q: %w", item.Key()[1:], unread(err))
}

// unread is why something was not read: the disk failed, or what is there is damaged.
func unread(err error) error {
	if errors.Is(err, vault.ErrUnread) || errors.Is(err, vault.ErrCorrupt) {
		return err
	}
	if failed := diskFailure(err); failed != nil {
		return fmt.Errorf("%w: %w", vault.ErrUnread, told(err))
	}
	return fmt.Errorf("%w: %w", vault.ErrCorrupt, err)
}

// unmapped is why a page of a mapped file could not be had: the file was cut since, or else its disk fails. What is at the address, the
// system tells in /proc/self/maps: from-to mode offset device inode path.
func unmapped(at uintptr) error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("%w: a mapped file, at %#x", vault.ErrUnread, at)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var mode, device, path string
		var offset, inode int64
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d %s", &from, &to, &mode, &offset, &device, &inode, &path); n < 7 || at < from || at >= to {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && offset+int64(at-from) >= info.Size() {
			return fmt.Errorf("%w: %s ends before what is read of it", vault.ErrCorrupt, path)
		}
		return fmt.Errorf("%w: %s", vault.ErrUnread, path)
	}
	return fmt.Errorf("%w: a mapped file, at %#x", vault.ErrUnread, at)
}

// closeDB closes the database, or leaves it as a crash leaves it, with all that was acknowledged: without room, if the disk fails, or if
// another directory stands where the database was.
func (s *Store) closeDB() error {
	if err := s.place(roomToClose, filesToClose); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	select {
	case err := <-done:
		return err
	case <-s.failure.Done(): // it tries again without end
		return s.failure.Err()
	}
}

// Close implements vault.Store.
func (s *Store) Close() error {
	return s.group.Idle(func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed {
			return nil
		}
		s.closed = true
		var errs []error
		if s.db != nil && s.failure.Err() == nil {
			errs = append(errs, s.closeDB())
		}
		s.failure.Set(fmt.Errorf("badgerstore: %w", vault.ErrClosed))
		if s.acked != nil {
			errs = append(errs, s.acked.Close())
		}
		err := errors.Join(append(errs, s.held.Close(), s.lock.Close())...)
		if err != nil {
			return fmt.Errorf("badgerstore: close %s: %w", s.dir, told(err))
		}
		return nil
	})
}
