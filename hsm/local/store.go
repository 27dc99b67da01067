package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	keysFile    = "keys.json"
	keysVersion = 1
	keysMax     = 10_000 // most keys of a token
	fileMax     = 4 << 20
)

// file is what keys.json holds.
type file struct {
	Version int         `json:"version"`
	Keys    []storedKey `json:"keys"`
}

// storedKey is one key; its secret is a seed (Ed25519), a scalar (P-256) or an AES key, 32 bytes each.
type storedKey struct {
	ID     string      `json:"id"`
	Type   hsm.KeyType `json:"type"`
	Secret []byte      `json:"secret"`
}

// lock takes the directory for this token; the kernel gives it back with the file.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("local: %w: %w", hsm.ErrUnavailable, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("local: %w: %s is in use by another token or process; close it first", hsm.ErrUnavailable, dir)
	}
	return f, nil
}

// readKeys reads keys.json; a directory without it is an empty token.
func readKeys(dir string) (map[string]*key, error) {
	path := filepath.Join(dir, keysFile)
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return map[string]*key{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("local: %w: %w", hsm.ErrUnavailable, err)
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("local: %w: %s must be a file of mode 0600, it has %v", hsm.ErrUnavailable, path, st.Mode())
	}
	b, err := durable.ReadFile(path, fileMax)
	if err != nil {
		return nil, fmt.Errorf("local: %w: %w", hsm.ErrUnavailable, err)
	}
	defer secret.Wipe(b)
	keys, err := parseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("local: %w: %s: %w", hsm.ErrUnavailable, path, err)
	}
	return keys, nil
}

func parseKeys(b []byte) (map[string]*key, error) {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, errors.New("damaged, not JSON of ours; mend the file, or remove it and every key in it")
	}
	if f.Version != keysVersion {
		return nil, fmt.Errorf("version %d, this program reads %d", f.Version, keysVersion)
	}
	if len(f.Keys) > keysMax {
		return nil, fmt.Errorf("%d keys, at most %d", len(f.Keys), keysMax)
	}
	keys := map[string]*key{}
	for _, s := range f.Keys {
		k, err := newKey(s.Type, secret.From(s.Secret))
		if err == nil && (s.ID == "" || keys[s.ID] != nil) {
			err = errors.New("no ID, or one that is taken")
			k.secret.Wipe()
		}
		if err != nil {
			wipeAll(keys)
			return nil, fmt.Errorf("key %q: %w", s.ID, err)
		}
		keys[s.ID] = k
	}
	return keys, nil
}

// writeKeys replaces keys.json and waits for the disk.
func writeKeys(dir string, keys map[string]*key) error {
	f := file{Version: keysVersion}
	for id, k := range keys {
		f.Keys = append(f.Keys, storedKey{ID: id, Type: k.kind, Secret: k.secret.Bytes()})
	}
	sort.Slice(f.Keys, func(i, j int) bool { return f.Keys[i].ID < f.Keys[j].ID })
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	defer secret.Wipe(b)
	if err := durable.WriteFile(filepath.Join(dir, keysFile), b, 0o600); err != nil {
		return fmt.Errorf("local: %w: %w", hsm.ErrUnavailable, err)
	}
	return nil
}

func wipeAll(keys map[string]*key) {
	for _, k := range keys {
		k.secret.Wipe()
	}
}
