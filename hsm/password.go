package hsm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/luxfi/mpcd/internal/secret"
)

// NewPasswordProvider returns the source of passwords of that kind: "env", where a key ID is the name of a variable, or "file",
// where it is the absolute path of a file that only its owner may read. Neither takes settings. Errors wrap ErrUnsupported for
// a kind that this binary does not have.
func NewPasswordProvider(kind string, cfg map[string]string) (PasswordProvider, error) {
	var p PasswordProvider
	switch kind {
	case "env":
		p = envPasswords{}
	case "file":
		p = filePasswords{}
	default:
		return nil, fmt.Errorf("hsm: %w: no password provider %q in this binary, it has env, file", ErrUnsupported, clip(kind))
	}
	for name := range cfg {
		return nil, fmt.Errorf("hsm: password provider %s takes no settings, got %q", kind, clip(name))
	}
	return p, nil
}

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

func checkPassword(where string, b []byte) (string, error) {
	switch {
	case len(b) == 0:
		return "", fmt.Errorf("hsm: password %s is empty", where)
	case bytes.ContainsAny(b, "\x00"), !utf8.Valid(b):
		return "", fmt.Errorf("hsm: password %s is not text", where)
	}
	return string(b), nil
}
