package gcpkms

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// encryptedPassword is the environment variable that holds the encrypted password, in base64 (RFC 4648 §4).
const encryptedPassword = "ZAPDB_ENCRYPTED_PASSWORD"

// encryptedMax is the longest value of it, in characters.
const encryptedMax = 1 << 16

// Passwords is the password provider "gcp": GetPassword decrypts what ZAPDB_ENCRYPTED_PASSWORD holds with the symmetric key that the
// key ID names in full (projects/…/cryptoKeys/K; a version at its end is ignored, the ciphertext knows its own). The ciphertext has no
// additional data, as `gcloud kms encrypt` makes it, and the password is the plaintext to the last byte.
//
// cfg may have "endpoint", as in a URI; ErrURI for anything else in it.
func Passwords(_ context.Context, cfg map[string]string) (hsm.PasswordProvider, error) {
	u, err := hsm.ParseURI("gcpkms:")
	if err != nil {
		return nil, err
	}
	for name, value := range cfg {
		if u, err = u.With(name, value); err != nil {
			return nil, err
		}
	}
	if _, err := parseEndpoint(u.Attr("endpoint")); err != nil {
		return nil, err
	}
	return passwords{u}, nil
}

type passwords struct{ uri *hsm.URI }

// GetPassword connects, decrypts and disconnects. ErrIntegrity if the ciphertext is damaged or of another key.
func (p passwords) GetPassword(ctx context.Context, keyID string) (string, error) {
	r, ok := parseResource(keyID)
	if !ok || r.key == "" {
		return "", fmt.Errorf("gcpkms: %w: password key %q is no projects/P/locations/L/keyRings/R/cryptoKeys/K", hsm.ErrNoKey, clip(keyID))
	}
	text := strings.TrimSpace(os.Getenv(encryptedPassword))
	if text == "" || len(text) > encryptedMax {
		return "", fmt.Errorf("gcpkms: $%s has %d characters, must have 1 to %d; encrypt the password with `gcloud kms encrypt` and put "+
			"base64 of the result there", encryptedPassword, len(text), encryptedMax)
	}
	ciphertext, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return "", fmt.Errorf("gcpkms: $%s is not base64; encode it with `base64 -w0`", encryptedPassword)
	}
	tok, err := open(ctx, p.uri, hsm.Options{}, steady)
	if err != nil {
		return "", err
	}
	defer func() { _ = tok.Close() }()
	plain, err := tok.decrypt(ctx, r.key, ciphertext, nil)
	if err != nil {
		return "", err
	}
	defer secret.Wipe(plain)
	if len(plain) == 0 || strings.ContainsRune(string(plain), 0) || !utf8.Valid(plain) {
		return "", fmt.Errorf("gcpkms: what $%s decrypts to is empty or not text", encryptedPassword)
	}
	return string(plain), nil
}
