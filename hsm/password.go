package hsm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/luxfi/mpcd/internal/secret"
)

// PasswordFunc makes a source of passwords from its settings.
type PasswordFunc func(ctx context.Context, cfg map[string]string) (PasswordProvider, error)

// PasswordDrivers are the sources of passwords of a program by the names of the seed documents: aws, gcp, pkcs11, tpm. It is a value
// that main writes down, like Drivers. Three are always there and take no settings: "env", where a key ID is the name of a
// variable; "file", where it is the absolute path of a file that only its owner may read; "cred", where it is the name of a file in
// $CREDENTIALS_DIRECTORY (systemd, LoadCredential=).
type PasswordDrivers map[string]PasswordFunc

// New returns the source of passwords of that kind. Errors wrap ErrUnsupported for a kind that this binary does not have.
func (d PasswordDrivers) New(ctx context.Context, kind string, cfg map[string]string) (PasswordProvider, error) {
	if p := plainPasswords[kind]; p != nil {
		for name := range cfg {
			return nil, fmt.Errorf("hsm: password provider %s takes no settings, got %q", kind, clip(name))
		}
		return p, nil
	}
	if f := d[kind]; f != nil {
		return f(ctx, cfg)
	}
	return nil, fmt.Errorf("hsm: %w: no password provider %q in this binary, it has %s", ErrUnsupported, clip(kind),
		strings.Join(append(sortedKeys(d), "cred, env, file"), ", "))
}

// NewPasswordProvider returns one of the sources that need no driver: env, file, cred. The others are in the PasswordDrivers of the
// program.
func NewPasswordProvider(kind string, cfg map[string]string) (PasswordProvider, error) {
	return PasswordDrivers(nil).New(context.Background(), kind, cfg)
}

var plainPasswords = map[string]PasswordProvider{"env": envPasswords{}, "file": filePasswords{}, "cred": credPasswords{}}

type envPasswords struct{}

// GetPassword reads the variable keyID; unset and empty are errors.
func (envPasswords) GetPassword(_ context.Context, keyID string) (string, error) {
	v, ok := os.LookupEnv(keyID)
	if !ok {
		return "", fmt.Errorf("hsm: %w: password variable %s is not set", ErrNoKey, keyID)
	}
	return checkPassword("variable "+keyID, []byte(v))
}

type filePasswords struct{}

// GetPassword reads the file keyID without one newline at its end; empty is an error.
func (filePasswords) GetPassword(_ context.Context, keyID string) (string, error) {
	if !filepath.IsAbs(keyID) {
		return "", fmt.Errorf("hsm: %w: password file %q: the key ID must be an absolute path", ErrNoKey, keyID)
	}
	b, err := readSecretFile(keyID, 0o077)
	if err != nil {
		return "", fmt.Errorf("hsm: password file: %w", err)
	}
	defer secret.Wipe(b)
	return checkPassword("file "+keyID, oneLine(b))
}

type credPasswords struct{}

// GetPassword reads the credential keyID of the service without one newline at its end; empty is an error.
func (credPasswords) GetPassword(_ context.Context, keyID string) (string, error) {
	b, err := readCredential(keyID)
	if err != nil {
		return "", fmt.Errorf("hsm: password: %w", err)
	}
	defer secret.Wipe(b)
	return checkPassword("credential "+keyID, oneLine(b))
}

func checkPassword(where string, b []byte) (string, error) {
	switch {
	case len(b) == 0:
		return "", fmt.Errorf("hsm: password %s is empty", where)
	case bytes.ContainsAny(b, "\x00"), !utf8.Valid(b):
		return "", fmt.Errorf("hsm: password %s is not text", where)
	}
	return string(b), nil
}
