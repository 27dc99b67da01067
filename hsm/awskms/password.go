package awskms

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// passwordVariable is where the seed documents put the encrypted password of the database.
const passwordVariable = "ZAPDB_ENCRYPTED_PASSWORD"

// encodedMax is the longest ciphertext in base64, with room for line ends, in bytes.
const encodedMax = 2 * blobMax

// Passwords is the password provider "aws" of the seed documents. The password is kept encrypted by KMS, without an encryption
// context, in base64, as `aws kms encrypt --output text --query CiphertextBlob` prints it; GetPassword has it decrypted by the key keyID,
// and needs kms:Decrypt alone.
//
// Settings are region and endpoint, as in the URI, and ciphertext: env:NAME or file:/path, of at most 12,288 bytes. Without it the
// ciphertext is in the environment variable ZAPDB_ENCRYPTED_PASSWORD.
func Passwords(ctx context.Context, cfg map[string]string) (hsm.PasswordProvider, error) {
	u, err := hsm.ParseURI("awskms:")
	if err != nil {
		return nil, err
	}
	source := "env:" + passwordVariable
	for name, value := range cfg {
		switch name {
		case "ciphertext":
			source = value
		case "region", "endpoint":
			if u, err = u.With(name, value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("awskms: %w: unknown password setting %.40q, known are ciphertext, endpoint, region", hsm.ErrURI, name)
		}
	}
	kind, name, _ := strings.Cut(source, ":")
	if !(kind == "env" && name != "" || kind == "file" && filepath.IsAbs(name)) {
		return nil, fmt.Errorf("awskms: %w: ciphertext must be env:NAME or file:/absolute/path", hsm.ErrURI)
	}
	t, err := open(ctx, u, hsm.Options{}, standardLimits)
	if err != nil {
		return nil, err
	}
	return &passwords{token: t, kind: kind, name: name}, nil
}

type passwords struct {
	token      *token
	kind, name string // of the ciphertext
}

// GetPassword decrypts the password with the key: an ARN, ID, alias or name. Errors wrap hsm.ErrIntegrity for a ciphertext of another
// key, hsm.ErrNoKey where key or ciphertext are missing.
func (p *passwords) GetPassword(ctx context.Context, keyID string) (string, error) {
	where, err := parseKeyID(keyID)
	if err != nil {
		return "", err
	}
	blob, err := p.ciphertext()
	if err != nil {
		return "", err
	}
	b, err := p.token.decrypt(ctx, keyID, where, blob, nil)
	if err != nil {
		return "", err
	}
	defer secret.Wipe(b)
	if len(b) == 0 || bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) {
		return "", fmt.Errorf("awskms: what %s:%s holds is empty or not text; encrypt the password itself", p.kind, p.name)
	}
	return string(b), nil
}

// ciphertext reads the encrypted password, each time anew, so that it can be replaced.
func (p *passwords) ciphertext() ([]byte, error) {
	var text string
	switch p.kind {
	case "env":
		v, ok := os.LookupEnv(p.name)
		if !ok {
			return nil, fmt.Errorf("awskms: %w: the variable %s with the encrypted password is not set", hsm.ErrNoKey, p.name)
		}
		text = v
	case "file":
		f, err := os.Open(p.name)
		if err != nil {
			return nil, fmt.Errorf("awskms: %w: the encrypted password: %w", hsm.ErrNoKey, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, encodedMax+1))
		if err != nil {
			return nil, fmt.Errorf("awskms: the encrypted password: %w", err)
		}
		text = string(b)
	}
	if len(text) > encodedMax {
		return nil, fmt.Errorf("awskms: %w: the encrypted password in %s:%s is longer than %d bytes", hsm.ErrIntegrity, p.kind,
			p.name, encodedMax)
	}
	blob, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil || len(blob) == 0 {
		return nil, errors.Join(fmt.Errorf("awskms: %w: the encrypted password in %s:%s is not base64", hsm.ErrIntegrity, p.kind, p.name), err)
	}
	return blob, nil
}
