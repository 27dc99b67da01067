package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/luxfi/mpcd/internal/durable"
)

// preflight finds the damage at which Badger would panic in a goroutine of its own, or end the process: in key registry, manifest, every
// block of every table, the logs it reads while it opens; and logs emptied behind the last, which Badger would take for new ones. It only
// reads.
func preflight(o badger.Options) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in badger: %v", p)
		}
	}()
	if len(o.EncryptionKey) > 0 {
		found, err := exists(filepath.Join(o.Dir, badger.KeyRegistryFileName))
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("file %s is missing", badger.KeyRegistryFileName)
		}
		if err := checkRegistry(filepath.Join(o.Dir, badger.KeyRegistryFileName)); err != nil {
			return err
		}
	}
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true, EncryptionKey: o.EncryptionKey})
	if err != nil {
		return err
	}
	defer registry.Close()
	tables, err := manifest(o)
	if err != nil {
		return err
	}
	for _, kind := range logKinds {
		if _, err := unsized(o.Dir, kind); err != nil {
			return err
		}
		if err := checkLogs(o.Dir, kind); err != nil {
			return err
		}
	}
	if err := checkDiscard(o.Dir); err != nil {
		return err
	}
	for id, t := range tables {
		key, err := registry.DataKey(t.KeyID)
		if err != nil {
			return fmt.Errorf("key registry: %w", err)
		}
		if err := checkTable(table.NewFilename(id, o.Dir), key); err != nil {
			return err
		}
	}
	return nil
}

// Badger's logs, by the ends of their names.
const (
	aheadLog = ".mem"
	valueLog = ".vlog"
)

var logKinds = []string{aheadLog, valueLog}

// unsized is the path of the last log of a kind where that has no byte: a process killed between making the file and sizing it leaves one.
// "" if it has some. An earlier log without a byte is damaged.
func unsized(dir, kind string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*"+kind))
	if err != nil {
		return "", err
	}
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		if info.Size() > 0 {
			continue
		}
		if i < len(paths)-1 {
			return "", fmt.Errorf("log %s is empty", filepath.Base(path))
		}
		return path, nil
	}
	return "", nil
}

// logHeaderLen: Badger's logs begin with the number of their data key (8) and a nonce (12).
const logHeaderLen = 20

// finishLogs makes a log without records of one that has no byte, with which Badger refuses to open. Not removed, so that its number is
// never given to another log: if it had records and lost them, what points at them finds nothing. Where it may have been the last value
// log, lost tells that every value must be read: of values, nothing else tells at an opening that they are gone.
func finishLogs(o badger.Options) (lost bool, err error) {
	for _, kind := range logKinds {
		path, err := unsized(o.Dir, kind)
		if err != nil {
			return false, err
		}
		if path == "" {
			continue
		}
		if err := os.Truncate(path, logHeaderLen); err != nil {
			return false, err
		}
		lost = lost || kind == valueLog
	}
	return lost, nil
}

// manifest is the list of tables that belong to the database.
func manifest(o badger.Options) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m.Tables, nil
}

// asideDir holds what Badger may change or delete while it opens, until the database has been found whole.
const asideDir = "db.before-open"

// setAside keeps the manifest, the write-ahead logs and the last value log, which Badger cuts off at the first bad entry, and moves tables
// the manifest does not list, which Badger deletes. Where an earlier opening left something aside, that is kept instead.
func setAside(dir string, o badger.Options) error {
	aside := filepath.Join(dir, asideDir)
	if found, err := exists(aside); err != nil || found {
		return err
	}
	listed, err := manifest(o)
	if err != nil {
		return err
	}
	if err := os.Mkdir(aside+".tmp", 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	var keep []string
	for _, pattern := range []string{badger.ManifestFilename, "*.mem", "*.sst"} {
		names, err := filepath.Glob(filepath.Join(o.Dir, pattern))
		if err != nil {
			return err
		}
		keep = append(keep, names...)
	}
	if logs, _ := filepath.Glob(filepath.Join(o.Dir, "*.vlog")); len(logs) > 0 {
		keep = append(keep, logs[len(logs)-1]) // the one that Badger cuts
	}
	for _, path := range keep {
		to := filepath.Join(aside+".tmp", filepath.Base(path))
		if filepath.Ext(path) == ".sst" {
			id, ok := table.ParseFileID(filepath.Base(path))
			if _, known := listed[id]; known || !ok {
				continue
			}
			err = os.Rename(path, to)
		} else {
			err = copyUsed(path, to)
		}
		if err != nil {
			return err
		}
	}
	if err := os.Rename(aside+".tmp", aside); err != nil {
		return err
	}
	return durable.SyncDir(dir)
}

// copyUsed copies a file without the zeros at its end.
func copyUsed(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return os.WriteFile(to, b[:n], 0o600)
}
