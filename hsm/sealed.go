package hsm

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/luxfi/mpcd/internal/secret"
)

// SealedPasswordEnv is the variable of the seed documents that holds a password encrypted by a KMS or token, in Base64.
const SealedPasswordEnv = "ZAPDB_ENCRYPTED_PASSWORD"

// sealedTag is the aad of sealed passwords, so that no other wrapped secret is taken for one.
const sealedTag = "mpcd/v1/hsm/password\x01"

// maxSealed is the longest sealed password that is read, in bytes of Base64: room for every token's wrapping of MaxWrap bytes.
const maxSealed = maxSecretFile

// ReadSealedPassword reads a sealed password: env:NAME, file:/absolute/path or cred:name, "" for env:ZAPDB_ENCRYPTED_PASSWORD. It is
// standard Base64 (RFC 4648 §4), with or without line breaks. It is no secret, so anyone may be able to read the file.
func ReadSealedPassword(source string) ([]byte, error) {
	if source == "" {
		source = "env:" + SealedPasswordEnv
	}
	kind, name, _ := strings.Cut(source, ":")
	var text []byte
	var err error
	switch {
	case kind == "env" && name != "":
		v, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("hsm: sealed password: variable %s is not set; make its value with `mpcd hsm seal-password`", name)
		}
		text = []byte(v)
	case kind == "file" && strings.HasPrefix(name, "/"):
		text, err = readSecretFile(name, 0o022)
	case kind == "cred":
		text, err = readCredential(name)
	default:
		return nil, fmt.Errorf("hsm: %w: sealed password: must be env:NAME, file:/absolute/path or cred:name", ErrURI)
	}
	if err != nil {
		return nil, fmt.Errorf("hsm: sealed password: %w", err)
	}
	if len(text) > maxSealed {
		return nil, fmt.Errorf("hsm: sealed password in %s is longer than %d bytes", source, maxSealed)
	}
	sealed, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(sealed) == 0 {
		return nil, fmt.Errorf("hsm: sealed password in %s is not Base64; it must be what `mpcd hsm seal-password` printed", source)
	}
	return sealed, nil
}

// SealPassword seals a password of 1 to MaxWrap bytes under the key keyID of a token, as SealedPassword reads it. The password must be
// text without NUL; the caller wipes it.
func SealPassword(ctx context.Context, w KeyWrapper, keyID string, password []byte) (string, error) {
	if _, err := checkPassword("to be sealed", password); err != nil {
		return "", err
	}
	sealed, err := w.Wrap(ctx, keyID, password, []byte(sealedTag))
	if err != nil {
		return "", fmt.Errorf("hsm: seal a password: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

// SealedPassword is a source of passwords that a token seals: GetPassword(ctx, keyID) reads the sealed password from source (see
// ReadSealedPassword) and opens it with the key keyID. ErrIntegrity if the key is another or the bytes changed.
func SealedPassword(w KeyWrapper, source string) PasswordProvider {
	return sealedPasswords{wrapper: w, source: source}
}

type sealedPasswords struct {
	wrapper KeyWrapper
	source  string
}

func (p sealedPasswords) GetPassword(ctx context.Context, keyID string) (string, error) {
	sealed, err := ReadSealedPassword(p.source)
	if err != nil {
		return "", err
	}
	b, err := p.wrapper.Unwrap(ctx, keyID, sealed, []byte(sealedTag))
	if err != nil {
		return "", fmt.Errorf("hsm: open the sealed password with %q: %w", clip(keyID), err)
	}
	defer secret.Wipe(b)
	return checkPassword("sealed under "+clip(keyID), b)
}
