package host

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/awskms"
	"github.com/luxfi/mpcd/hsm/gcpkms"
	"github.com/luxfi/mpcd/internal/secret"
)

// password fetches the store's password from where the configuration says.
func (t *Tokens) password(ctx context.Context) (string, error) {
	settings, err := t.config.passwordSettings()
	if err != nil {
		return "", err
	}
	p, err := t.passwords().New(ctx, t.config.Password.Provider, settings)
	if err != nil {
		return "", err
	}
	return p.GetPassword(ctx, t.config.Password.KeyID)
}

// passwords are the sources of the store's password, by the names of the seed documents. Those in a token use it as it is open.
func (p *opener) passwords() hsm.PasswordDrivers {
	return hsm.PasswordDrivers{"aws": awskms.Passwords, "gcp": gcpkms.Passwords, "pkcs11": p.tokenPasswords, "tpm": p.tokenPasswords}
}

func (p *opener) tokenPasswords(ctx context.Context, set map[string]string) (hsm.PasswordProvider, error) {
	t, err := p.token(ctx, "password.uri", set["uri"])
	if err != nil {
		return nil, err
	}
	w, ok := hsm.As[hsm.KeyWrapper](t)
	if !ok {
		return nil, fmt.Errorf("password.uri: %w: %s wraps no keys, so it opens no passwords", hsm.ErrUnsupported, t.Provider())
	}
	return hsm.SealedPassword(w, set["sealed"]), nil
}

// passwordSettings are what the provider wants beside the key's ID.
func (c Config) passwordSettings() (map[string]string, error) {
	set := map[string]string{}
	put := func(name, value string) {
		if value != "" {
			set[name] = value
		}
	}
	switch kind := c.Password.Provider; kind {
	case "aws", "gcp":
		put("ciphertext", c.Password.Sealed)
		if c.Password.URI == "" {
			break
		}
		u, err := hsm.ParseURI(c.Password.URI)
		if err != nil {
			return nil, fault.Doing("password.uri", err)
		}
		if u.Scheme != kind+"kms" {
			return nil, fault.Usage("write password.uri as "+kind+"kms:…", "password.uri is of %s, password.provider is %s", u.Scheme, kind)
		}
		put("endpoint", u.Attr("endpoint"))
		if kind == "aws" {
			put("region", u.Attr("region"))
		}
	case "pkcs11", "tpm":
		put("sealed", c.Password.Sealed)
		put("uri", c.passwordURI())
	}
	return set, nil
}

// passwordURI is the token that opens a sealed password.
func (c Config) passwordURI() string {
	if c.Password.URI == "" {
		return c.TokenURI()
	}
	return c.Password.URI
}

// SealPassword seals the store's password with a key of the token that will open it at every start.
func (t *Tokens) SealPassword(ctx context.Context, key string, password []byte) (string, error) {
	token, err := t.token(ctx, "password.uri", t.config.passwordURI())
	if err != nil {
		return "", err
	}
	w, ok := hsm.As[hsm.KeyWrapper](token)
	if !ok {
		return "", fmt.Errorf("%w: %s wraps no keys", hsm.ErrUnsupported, token.Provider())
	}
	return hsm.SealPassword(ctx, w, key, password)
}

// ReadPassword reads a password from the one line that r has. The caller wipes it.
func ReadPassword(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, hsm.MaxWrap+3))
	if err != nil {
		return nil, err
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(line) == 0 || len(line) > hsm.MaxWrap || bytes.ContainsAny(line, "\r\n\x00") {
		secret.Wipe(b)
		return nil, fault.Usage(fmt.Sprintf("write one line of 1 to %d bytes to standard input", hsm.MaxWrap), "standard input holds no password")
	}
	return line, nil
}
