package badgerstore

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/argon2"

	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

const (
	// KeyLen is the length of a store's key, in bytes: AES-256.
	KeyLen = 32
	// SaltLen is the length of a salt, in bytes.
	SaltLen = 32
	// MinMachineSecret is the shortest secret taken for one a machine made, in bytes.
	MinMachineSecret = 16
	// MinPassphrase is the shortest passphrase of a human, in bytes.
	MinPassphrase = 12

	saltFile = "SALT"
)

// Argon2id parameters: the second recommendation of RFC 9106 §4, for machines that cannot spare 2 GiB.
const (
	argonTime      = 3
	argonMemoryKiB = 64 << 10
	argonThreads   = 4
)

// KeyFromPassword derives the key of a store from what the password provider yields; the caller wipes it. A secret that a
// machine made is expanded by HKDF-SHA256 (RFC 5869). A human's passphrase goes through Argon2id (RFC 9106), which takes about
// 0.1 s and 64 MiB. Too short a password is vault.ErrInvalid. The password itself, a Go string, cannot be wiped.
func KeyFromPassword(password string, human bool, salt []byte) (*secret.Bytes, error) {
	if len(salt) < 16 {
		return nil, fmt.Errorf("badgerstore: salt of %d bytes, at least 16 needed: %w", len(salt), vault.ErrInvalid)
	}
	if human {
		if len(password) < MinPassphrase {
			return nil, fmt.Errorf("badgerstore: passphrase shorter than %d bytes; choose a longer one: %w", MinPassphrase, vault.ErrInvalid)
		}
		return secret.From(argon2.IDKey([]byte(password), salt, argonTime, argonMemoryKiB, argonThreads, KeyLen)), nil
	}
	if len(password) < MinMachineSecret {
		return nil, fmt.Errorf("badgerstore: password shorter than %d bytes; let a machine make it, or declare it a human's passphrase: %w",
			MinMachineSecret, vault.ErrInvalid)
	}
	b, err := hkdf.Key(sha256.New, []byte(password), salt, "mpcd/v1/badgerstore/key", KeyLen)
	if err != nil {
		return nil, fmt.Errorf("badgerstore: derive key: %w", err)
	}
	return secret.From(b), nil
}

// Salted tells whether there is a store in dir, and whether it has a salt, as one whose key a password makes.
func Salted(dir string) (there, salted bool, err error) {
	found, err := inspect(dir)
	if err != nil || found == nothing {
		return false, false, err
	}
	salted, err = exists(filepath.Join(dir, saltFile))
	return true, salted, err
}

// Salt returns the salt of the store in dir; for a new store it makes and keeps one. Not secret. vault.ErrCorrupt if a store is
// there and its salt is not.
func Salt(dir string) ([]byte, error) {
	path := filepath.Join(dir, saltFile)
	b, err := durable.ReadFile(path, SaltLen)
	if err == nil && len(b) == SaltLen {
		return b, nil
	}
	if err == nil || errors.Is(err, durable.ErrTooLarge) {
		return nil, fmt.Errorf("badgerstore: %s is not %d bytes: %w", path, SaltLen, vault.ErrCorrupt)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	found, err := inspect(dir)
	if err != nil {
		return nil, err
	}
	if found != nothing {
		return nil, fmt.Errorf("badgerstore: %s is missing, though a store is in %s; it never changes, so a copy of that file alone does: %w",
			saltFile, dir, vault.ErrCorrupt)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("badgerstore: %w", err)
	}
	b = make([]byte, SaltLen)
	_, _ = rand.Read(b)
	if err := durable.WriteFile(path, b, 0o600); err != nil {
		return nil, err
	}
	return b, nil
}
