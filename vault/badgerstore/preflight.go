package badgerstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/luxfi/mpcd/internal/durable"
)

// preflight finds the damage at which Badger would panic in a goroutine of its own, or end the process: in key registry, manifest, every
// block of every table, the logs it reads while it opens; and write-ahead logs that lost what is nowhere else. It only reads.
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
		return fmt.Errorf("%s: %w", badger.KeyRegistryFileName, err)
	}
	defer registry.Close()
	tables, err := manifest(o)
	if err != nil {
		return err
	}
	if err := errors.Join(checkLogs(o.Dir, aheadLog), checkLogs(o.Dir, valueLog), checkDiscard(o.Dir)); err != nil {
		return err
	}
	var last uint64 // commit in a table
	for id, t := range tables {
		key, err := registry.DataKey(t.KeyID)
		if err != nil {
			return fmt.Errorf("key registry: %w", err)
		}
		version, err := checkTable(table.NewFilename(id, o.Dir), key)
		if err != nil {
			return err
		}
		last = max(last, version)
	}
	return checkEmptied(o.Dir, last, registry)
}

// Badger's logs, by the ends of their names.
const (
	aheadLog = ".mem"
	valueLog = ".vlog"
)

// logs are the logs of a kind, oldest first, and those of them that have no byte: of the last a process was killed between making and
// sizing it, of an earlier one between emptying and removing it, which Badger does with a log that nothing needs any more.
func logs(dir, kind string) (all, empty []string, err error) {
	if all, err = filepath.Glob(filepath.Join(dir, "*"+kind)); err != nil {
		return nil, nil, err
	}
	for _, path := range all {
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, err
		}
		if info.Size() == 0 {
			empty = append(empty, path)
		}
	}
	return all, empty, nil
}

// checkEmptied tells an emptied write-ahead log whose commits stand in a table, the last of which is given, from one that lost them: the
// next log with records begins with the commit behind that. Where no log has records the count of what was acknowledged tells (checkSeq).
func checkEmptied(dir string, last uint64, registry *badger.KeyRegistry) error {
	all, empty, err := logs(dir, aheadLog)
	if err != nil || len(empty) == 0 {
		return err
	}
	hole := ""
	for _, path := range all {
		if slices.Contains(empty, path) {
			hole = path
			continue
		}
		first, err := firstCommit(path, registry)
		switch {
		case err != nil:
			return err
		case hole != "" && first > last+1:
			return fmt.Errorf("log %s is empty, and what was written to it stands nowhere else", filepath.Base(hole))
		case first > 0:
			hole = ""
		}
	}
	return nil
}

// logHeaderLen: Badger's logs begin with the number of their data key (8) and a nonce (12).
const logHeaderLen = 20

// finishLogs makes logs without records of those that have no byte, with which Badger refuses to open. They are not removed here, so that
// the number of a last one is never given to another log: if it had records and lost them, what points at them finds nothing. Where one may
// have been a value log with records, lost tells that every value must be read: of values, nothing else tells at an opening that they are
// gone.
func finishLogs(o badger.Options) (lost bool, err error) {
	for _, kind := range []string{aheadLog, valueLog} {
		_, empty, err := logs(o.Dir, kind)
		if err != nil {
			return false, err
		}
		for _, path := range empty {
			if err := os.Truncate(path, logHeaderLen); err != nil {
				return false, err
			}
			lost = lost || kind == valueLog
		}
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
