package keyfile

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

func given(p string) func() (*secret.Bytes, error) {
	return func() (*secret.Bytes, error) { return secret.From([]byte(p)), nil }
}

// Goal: what is written is read again, signs what its public half verifies, and opens with its passphrase alone. Method: both kinds of key,
// with and without a passphrase.
func TestKeyFile(t *testing.T) {
	for _, kind := range []hsm.KeyType{hsm.KeyEd25519, hsm.KeyP256} {
		k, err := Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Wipe()
		for _, pass := range []string{"", "correct horse"} {
			if pass != "" && kind == hsm.KeyP256 {
				continue // what age does is the same for both, and slow on purpose
			}
			var p *secret.Bytes
			if pass != "" {
				p = secret.From([]byte(pass))
			}
			file, err := k.File(p)
			if err != nil {
				t.Fatal(err)
			}
			if pass != "" {
				if bytes.Contains(file, []byte("PRIVATE")) {
					t.Error("an encrypted file shows its key")
				}
				for name, f := range map[string]func() (*secret.Bytes, error){"another": given("wrong"), "no": nil} {
					if _, err := Parse(bytes.Clone(file), f); !errors.Is(err, ErrPassphrase) {
						t.Errorf("%s passphrase: %v", name, err)
					}
				}
			}
			again, err := Parse(file, given(pass))
			if err != nil {
				t.Fatal(err)
			}
			sig, err := again.Sign([]byte("m"))
			if ok, verr := hsm.Verify(k.Public(), []byte("m"), sig); err != nil || verr != nil || !ok {
				t.Errorf("%s: signature %x: %v, %v", kind, sig, err, verr)
			}
			again.Wipe()
			if len(bytes.Trim(file, "\x00")) > 0 {
				t.Error("the file's bytes are not wiped")
			}
		}
	}
	if _, err := Generate(hsm.KeyRSA3072); !errors.Is(err, hsm.ErrKeyType) {
		t.Errorf("RSA: %v", err)
	}
}

// Goal: what is no such key is refused, and its bytes are not in the error. Method: files with one thing wrong.
func TestParseRefuses(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	der, _ := x509.MarshalPKCS8PrivateKey(p384)
	k, _ := Generate(hsm.KeyEd25519)
	good, _ := k.File(nil)
	for name, b := range map[string][]byte{
		"empty":          nil,
		"no PEM":         []byte("SECRETSECRET"),
		"another block":  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		"two keys":       append(bytes.Clone(good), good...),
		"text after it":  append(bytes.Clone(good), "SECRET"...),
		"another curve":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		"not DER":        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("SECRET")}),
		"too long":       bytes.Repeat([]byte("\n"), Max+1),
		"not quite age":  []byte("age-encryption.org/v1\nSECRET"),
		"age, but empty": []byte("-----BEGIN AGE ENCRYPTED FILE-----\n"),
	} {
		if _, err := Parse(b, given("x")); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	k, _ := Generate(hsm.KeyP256)
	good, _ := k.File(nil)
	f.Add(good)
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAA 18\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := Parse(b, nil); err == nil {
			if sig, err := k.Sign([]byte("m")); err != nil || len(sig) != 64 {
				t.Errorf("it signs %x, %v", sig, err)
			}
			k.Wipe()
		}
	})
}

// Goal: a key that others may read is none, and a public key is told as that, whoever may read it. Method: files of modes, a directory, a
// public key, one that is too long.
func TestRead(t *testing.T) {
	k, err := Generate(hsm.KeyEd25519)
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.File(nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false} {
		_ = os.Remove(path)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		again, err := Read(path, nil)
		if (err == nil) != ok || !ok && !errors.Is(err, ErrShared) {
			t.Errorf("%v: %v", mode, err)
		}
		if err == nil {
			again.Close()
		}
	}
	if _, err := Read(t.TempDir(), nil); !errors.Is(err, ErrShared) {
		t.Errorf("a directory: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("\n-----BEGIN PUBLIC KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, nil); !errors.Is(err, ErrPublic) || errors.Is(err, ErrShared) {
		t.Errorf("a public key, which all may read: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, Max+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, nil); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("a long one: %v", err)
	}
}
