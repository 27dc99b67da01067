package badgerstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// Badger maps its logs and tables and writes to the maps: a page that finds no place on the disk ends the process (SIGBUS), and nobody can
// step in between. So the logs it writes to are given their place as soon as they are there, and nothing is written while there is less
// room than all that a commit can set off: a new write-ahead log (4 MiB), a new value log (8 MiB, and a batch of 8 MiB), and the tables of
// flushes and compactions under way (some 2 MiB each).
const (
	roomLeast = 64 << 20
	// roomToClose is what closing writes: the last memtable as a table.
	roomToClose = 8 << 20
	// filesLeast is more files than a commit can set off, filesToClose than closing makes.
	filesLeast   = 32
	filesToClose = 4
)

// room is why nothing may be written: vault.ErrFull if there is too little space, durable.ErrMoved if the database is not where it was
// opened, or a file is away that the next start needs: what is acknowledged would not be in the copy with which the node starts next. What
// Badger is at then, a flush or a compaction, goes on in the directory that it opened.
func (s *Store) room() error {
	err := s.place(roomLeast, filesLeast)
	if err == nil && s.opened.Load() {
		err = errors.Join(s.acked.Check(), durable.Present(s.needs...))
	}
	if err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	return nil
}

// place holds the database against where it was opened, and its disk against the room that is needed. Before it is open there is the disk.
func (s *Store) place(least, files int64) error {
	if s.held != nil {
		if err := s.held.Check(); err != nil {
			return err
		}
	}
	return durable.Room{Dir: s.dir, Least: least, Files: files, Free: s.free, Inodes: s.inodes}.Check()
}

// Writable returns why nothing can be written now, nil if something may.
func (s *Store) Writable() error {
	if err := s.failure.Err(); err != nil {
		return err
	}
	return s.room()
}

// allocate gives the logs that Badger writes to their place on the disk, each once.
func (s *Store) allocate() error {
	for kind, next := range map[string]*string{aheadLog: &s.allocated[0], valueLog: &s.allocated[1]} {
		path, err := newest(s.files, kind, *next)
		if err != nil {
			return err
		}
		if path == *next {
			continue
		}
		if err := durable.Allocate(path); err != nil {
			if durable.IsFull(err) {
				err = fmt.Errorf("%w: %w", vault.ErrFull, err)
			}
			return fmt.Errorf("badgerstore: %w", err)
		}
		if *next != "" && kind == valueLog {
			s.release()
		}
		*next = path
	}
	return nil
}

// release gives back the memory of what was written, each time a value log is full: Badger keeps all its files mapped, so a node under
// load would have all receipts in its memory that it ever made. They are seldom read again; blocks and indexes of tables have caches of
// their own.
func (s *Store) release() {
	_ = durable.Release(filepath.Join(s.dir, dbDir), valueLog, ".sst") // it is about memory only
}

// newest is the path of the log of a kind with the highest number, given the one that was it before, "" for not known. That may be gone,
// and others that came after it too: a purge makes more than one.
func newest(dir, kind, before string) (string, error) {
	if _, err := os.Lstat(before); before == "" || errors.Is(err, fs.ErrNotExist) {
		paths, err := filepath.Glob(filepath.Join(dir, "*"+kind))
		if err != nil || len(paths) == 0 {
			return "", err
		}
		before = paths[len(paths)-1]
	}
	for {
		var n int
		if _, err := fmt.Sscanf(filepath.Base(before), "%d"+kind, &n); err != nil {
			return "", fmt.Errorf("badgerstore: %s: %w", before, err)
		}
		width := len(filepath.Base(before)) - len(kind)
		after := filepath.Join(dir, fmt.Sprintf("%0*d%s", width, n+1, kind))
		_, err := os.Lstat(after)
		if errors.Is(err, fs.ErrNotExist) {
			return before, nil
		}
		if err != nil {
			return "", err
		}
		before = after
	}
}
