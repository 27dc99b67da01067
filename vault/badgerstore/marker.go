package badgerstore

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

const (
	markerFile = "MPCD-STORE"
	ackedFile  = "ACKED"
	lockFile   = "LOCK"
	// dbDir keeps Badger's own files apart from ours.
	dbDir = "db"

	// A marker says how far the making of the store came. Until it is ready nothing was acknowledged.
	markerNew   = "mpcd store 1 new\n"
	markerReady = "mpcd store 1 ready\n"
)

// contents is what a directory holds.
type contents int

const (
	nothing contents = iota // no store
	begun                   // a store whose making was cut short: it holds nothing acknowledged
	ready                   // a store
)

// inspect reads the marker and holds it against the files. vault.ErrCorrupt where they contradict each other.
func inspect(dir string) (contents, error) {
	db, err := exists(filepath.Join(dir, dbDir))
	if err != nil {
		return 0, err
	}
	manifest, err := exists(filepath.Join(dir, dbDir, "MANIFEST"))
	if err != nil {
		return 0, err
	}
	b, err := durable.ReadFile(filepath.Join(dir, markerFile), 64)
	switch {
	case errors.Is(err, os.ErrNotExist) && !db:
		return nothing, nil
	case errors.Is(err, os.ErrNotExist):
		return 0, fmt.Errorf("badgerstore: %s has a database, but its file %s is missing: %w", dir, markerFile, vault.ErrCorrupt)
	case err != nil && !errors.Is(err, durable.ErrTooLarge):
		return 0, err
	case string(b) == markerNew:
		return begun, nil
	case string(b) != markerReady:
		return 0, fmt.Errorf("badgerstore: %s in %s is not of this program or version: %w", markerFile, dir, vault.ErrCorrupt)
	case !manifest:
		return 0, fmt.Errorf("badgerstore: a store must be in %s, but its database is gone; is the right disk mounted? %w", dir, vault.ErrCorrupt)
	}
	return ready, nil
}

// needed are the files of a store without which it is not opened; beside them SALT, where a password makes its key.
var needed = []string{markerFile, ackedFile, filepath.Join(dbDir, badger.ManifestFilename),
	filepath.Join(dbDir, badger.KeyRegistryFileName)}

// CheckFiles tells, beside who has it open, whether the files are there without which the store in dir is not opened: vault.ErrCorrupt if
// they are not.
func CheckFiles(dir string) error {
	if _, err := inspect(dir); err != nil {
		return err
	}
	for _, name := range needed {
		if there, err := exists(filepath.Join(dir, name)); err != nil || !there {
			return cmp.Or(err, fmt.Errorf("badgerstore: %s has no %s: %w", dir, name, vault.ErrCorrupt))
		}
	}
	return nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("badgerstore: %w", err)
	}
	return true, nil
}

// begin prepares the directory for Badger to make its database.
func begin(dir string) error {
	if err := durable.WriteFile(filepath.Join(dir, markerFile), []byte(markerNew), 0o600); err != nil {
		return err
	}
	return restart(dir)
}

// restart clears away a database whose making was cut short. Only for a marker that says so.
func restart(dir string) error {
	for _, name := range []string{dbDir, ackedFile} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("badgerstore: %w", err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, dbDir), 0o700); err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	return durable.CreateCounter(filepath.Join(dir, ackedFile))
}

// finish declares the store made: from now on it must be there.
func finish(dir string) error {
	if err := durable.SyncDir(filepath.Join(dir, dbDir)); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, markerFile), []byte(markerReady), 0o600)
}

// isLock tells Badger's complaint about a second process from others; it has no sentinel.
func isLock(err error) bool { return strings.Contains(err.Error(), "Cannot acquire directory lock") }
