package badgerstore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/luxfi/mpcd/internal/durable"
)

// keyCheckFile tells a wrong key from damage, which to Badger are the same: a hash of SALT (32) and a MAC under the store's key (32). A
// store of before has none until it was opened once; where it was changed itself it is written anew, since it decides nothing.
const keyCheckFile = "KEYCHECK"

type keyCheck struct {
	dir string
	key []byte // nil of a store that is not encrypted
}

func (k keyCheck) path() string { return filepath.Join(k.dir, keyCheckFile) }

// now is what the file says of the key and the salt at hand.
func (k keyCheck) now() (salt, mac []byte, err error) {
	b, err := durable.ReadFile(filepath.Join(k.dir, saltFile), SaltLen)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, durable.ErrTooLarge) {
		return nil, nil, err
	}
	sum := sha256.Sum256(b)
	h := hmac.New(sha256.New, k.key)
	h.Write([]byte("mpcd/v1/badgerstore/keycheck"))
	return sum[:], h.Sum(nil), nil
}

// explain tells of Badger's complaint about the key whether it is damage.
func (k keyCheck) explain(err error) error {
	if !errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return err
	}
	kept, rerr := durable.ReadFile(k.path(), 2*sha256.Size)
	salt, mac, nerr := k.now()
	if rerr != nil || nerr != nil || len(kept) != 2*sha256.Size {
		return err
	}
	switch {
	case hmac.Equal(kept[sha256.Size:], mac):
		return damaged(badger.KeyRegistryFileName, "the key is the right one and does not open it")
	case !bytes.Equal(kept[:sha256.Size], salt):
		return damaged(saltFile, "it is not the one the store was made with")
	}
	return err
}

// keep writes down what opened the store.
func (k keyCheck) keep() error {
	if k.key == nil {
		return nil
	}
	salt, mac, err := k.now()
	if err != nil {
		return err
	}
	want := append(salt, mac...)
	kept, err := durable.ReadFile(k.path(), 2*sha256.Size)
	if err == nil && bytes.Equal(kept, want) {
		return nil
	}
	if err := durable.WriteFile(k.path(), want, 0o600); err != nil {
		return fmt.Errorf("badgerstore: %w", err)
	}
	return nil
}
