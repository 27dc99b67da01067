// Package keyfile is a person's signing key in a file: PEM with an Ed25519 or P-256 key in PKCS #8 (RFC 5958), as it is or encrypted by age
// under a passphrase (C2SP age, the scrypt recipient). Initiators and officers sign with such keys, and nodes with none.
//
// A Key lies in locked memory that its owner wipes. What crypto/ecdsa makes of it for a signature, and age of a passphrase, is on the heap
// until it is collected.
package keyfile

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	// Max is the largest key file, in bytes.
	Max = 16 << 10
	// workFactor is the most that a file may ask of scrypt, as a power of two: some seconds, and a gigabyte of memory.
	workFactor = 20
)

// ErrPassphrase is of a file that a passphrase guards, where none or another was given.
var ErrPassphrase = errors.New("keyfile: another passphrase, or none, opens it")

// ErrShared is of a file that others than its owner may read.
var ErrShared = errors.New("keyfile: others may read it, or it is no file")

// ErrPublic is of a public key in the place of a private one.
var ErrPublic = errors.New("keyfile: it holds a public key; give the private one")

// Key is a signing key in memory. Its owner wipes it.
type Key struct {
	der    *secret.Bytes // PKCS #8
	public crypto.PublicKey
}

// Generate makes a key: Ed25519 or P-256.
func Generate(kind hsm.KeyType) (*Key, error) {
	var key any
	var err error
	switch kind {
	case hsm.KeyEd25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case hsm.KeyP256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return nil, fmt.Errorf("keyfile: %w: %q; use ed25519 or p256", hsm.ErrKeyType, kind)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return newKey(der)
}

// newKey takes the DER over.
func newKey(der []byte) (*Key, error) {
	k := &Key{der: secret.From(der)}
	err := k.use(func(key crypto.Signer) error {
		k.public = key.Public()
		return nil
	})
	if err != nil {
		k.Wipe()
		return nil, err
	}
	return k, nil
}

// use lends the parsed key.
func (k *Key) use(f func(crypto.Signer) error) error {
	key, err := x509.ParsePKCS8PrivateKey(k.der.Bytes())
	if err != nil {
		return errors.New("keyfile: no PKCS #8 private key in it") // the parser's words may quote the file
	}
	switch key := key.(type) {
	case ed25519.PrivateKey:
		defer secret.Wipe(key)
		return f(key)
	case *ecdsa.PrivateKey:
		if key.Curve == elliptic.P256() {
			return f(key)
		}
	}
	return fmt.Errorf("keyfile: %w: want Ed25519 or P-256", hsm.ErrKeyType)
}

// Parse reads a key file: PEM, or PEM that age encrypted, armored or not, for which passphrase is asked. It wipes b. ErrPassphrase.
func Parse(b []byte, passphrase func() (*secret.Bytes, error)) (*Key, error) {
	defer secret.Wipe(b)
	if len(b) > Max {
		return nil, fmt.Errorf("keyfile: more than %d bytes", Max)
	}
	text := b
	if sealed, ok := ageFile(b); ok {
		var err error
		if text, err = open(sealed, passphrase); err != nil {
			return nil, err
		}
		defer secret.Wipe(text)
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("keyfile: want one PEM block, PRIVATE KEY: a key in PKCS #8")
	}
	return newKey(block.Bytes)
}

// Read is Parse of a file, which only its owner may read.
func Read(path string, passphrase func() (*secret.Bytes, error)) (*Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	shared := fmt.Errorf("%s: %w; chmod 600 it", path, ErrShared)
	if !st.Mode().IsRegular() {
		return nil, shared
	}
	b := make([]byte, Max+1) // at once, since growing would leave copies
	n, err := io.ReadFull(f, b)
	if err != io.ErrUnexpectedEOF && err != io.EOF {
		secret.Wipe(b)
		return nil, fmt.Errorf("%s: longer than %d bytes, or it cannot be read: %w", path, Max, err)
	}
	switch {
	case IsPublic(b[:n]):
		return nil, fmt.Errorf("%s: %w", path, ErrPublic)
	case st.Mode().Perm()&0o077 != 0:
		secret.Wipe(b)
		return nil, shared
	}
	k, err := Parse(b[:n], passphrase)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k, nil
}

// IsPublic tells a public key in PEM, which its owner may show to all.
func IsPublic(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN PUBLIC KEY-----"))
}

// ageFile tells whether age made a file, and how it is read.
func ageFile(b []byte) (io.Reader, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("age-encryption.org/")):
		return bytes.NewReader(b), true
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte(armor.Header)):
		return armor.NewReader(bytes.NewReader(b)), true
	}
	return nil, false
}

func open(sealed io.Reader, passphrase func() (*secret.Bytes, error)) ([]byte, error) {
	if passphrase == nil {
		return nil, ErrPassphrase
	}
	p, err := passphrase()
	if err != nil {
		return nil, err
	}
	defer p.Wipe()
	id, err := age.NewScryptIdentity(string(p.Bytes()))
	if err != nil {
		return nil, ErrPassphrase
	}
	id.SetMaxWorkFactor(workFactor)
	r, err := age.Decrypt(sealed, id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	b := make([]byte, Max) // at once, since growing would leave copies
	n, err := io.ReadFull(r, b)
	if err != io.ErrUnexpectedEOF && err != io.EOF {
		secret.Wipe(b)
		return nil, fmt.Errorf("keyfile: damaged, or more than %d bytes: %w", Max, err)
	}
	return b[:n], nil
}

// File is what Parse reads: PEM, or, under a passphrase, PEM that age encrypted. The caller wipes it.
func (k *Key) File(passphrase *secret.Bytes) ([]byte, error) {
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k.der.Bytes()})
	if passphrase == nil {
		return text, nil
	}
	defer secret.Wipe(text)
	to, err := age.NewScryptRecipient(string(passphrase.Bytes()))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Public is the public half: ed25519.PublicKey or *ecdsa.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Sign signs a message as hsm.Signer does: 64 bytes, of Ed25519, or r and s of ECDSA with SHA-256.
func (k *Key) Sign(message []byte) (signature []byte, err error) {
	err = k.use(func(key crypto.Signer) error {
		if ec, ok := key.(*ecdsa.PrivateKey); ok {
			digest := sha256.Sum256(message)
			r, s, err := ecdsa.Sign(rand.Reader, ec, digest[:])
			if err != nil {
				return err
			}
			signature = make([]byte, 64)
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
			return nil
		}
		signature, err = key.Sign(nil, message, crypto.Hash(0))
		return err
	})
	return signature, err
}

// Wipe ends the key.
func (k *Key) Wipe() { k.der.Wipe() }

// Close is Wipe, for who closes what was opened.
func (k *Key) Close() error {
	k.Wipe()
	return nil
}
