package awskms

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/luxfi/mpcd/hsm"
)

// encrypt is `aws kms encrypt` as an operator runs it: without a context.
func encrypt(t *testing.T, tok *token, keyID, password string) string {
	t.Helper()
	where, err := parseKeyID(keyID)
	if err != nil {
		t.Fatal(err)
	}
	out, err := tok.client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &where.id, Plaintext: []byte(password)})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(out.CiphertextBlob)
}

// Goal: the password of the seed documents is found and decrypted by the key, and by no other. Method: their two lines, settings
// from environment and file, damaged and foreign ciphertexts.
func TestPasswords(t *testing.T) {
	tok := openMoto(t)
	generate(t, tok, "pw", hsm.KeyAESWrap)
	generate(t, tok, "other", hsm.KeyAESWrap)
	m, err := tok.describe(t.Context(), "pw", target{id: "alias/mpcd/pw"})
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery staple ü"
	good := encrypt(t, tok, "pw", password)
	t.Setenv("AWS_ENDPOINT_URL", tok.endpoint.String())

	// The lines of the seed documents: nil settings, everything from the environment and the ARN.
	t.Setenv(passwordVariable, good)
	seed, err := Passwords(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seed.GetPassword(t.Context(), aws.ToString(m.Arn)); err != nil || got != password {
		t.Errorf("got %q, %v", got, err)
	}

	path := filepath.Join(t.TempDir(), "password")
	cfg := map[string]string{"region": tok.region, "endpoint": tok.endpoint.String(), "ciphertext": "file:" + path}
	p, err := Passwords(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.GetPassword(t.Context(), "pw"); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("no file: %v", err)
	}
	for name, c := range map[string]struct {
		content, keyID string
		want           error
		text           string
	}{
		"good":             {good[:40] + "\n" + good[40:] + "\n", "pw", nil, ""},
		"another key":      {good, "other", hsm.ErrIntegrity, "another key"},
		"no key":           {good, "nobody", hsm.ErrNoKey, ""},
		"empty key ID":     {good, "", hsm.ErrNoKey, ""},
		"changed":          {good[:len(good)-8] + "AAAA" + good[len(good)-4:], "pw", hsm.ErrIntegrity, "changed"},
		"empty":            {"", "pw", hsm.ErrIntegrity, "not base64"},
		"no base64":        {password, "pw", hsm.ErrIntegrity, "not base64"},
		"too long":         {strings.Repeat("A", encodedMax+4), "pw", hsm.ErrIntegrity, "longer"},
		"bound to more":    {wrapped(t, tok), "pw", hsm.ErrIntegrity, "bound"},
		"password of NULs": {encrypt(t, tok, "pw", "a\x00b"), "pw", nil, "not text"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := p.GetPassword(t.Context(), c.keyID)
		if name == "good" {
			if err != nil || got != password {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			continue
		}
		if err == nil || got != "" || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) ||
			strings.Contains(err.Error(), password) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, cfg := range []map[string]string{{"token": "a"}, {"ciphertext": "file:relative"}, {"ciphertext": "env:"}, {"ciphertext": good},
		{"endpoint": "http://kms.example.com"}} {
		if _, err := Passwords(t.Context(), cfg); !errors.Is(err, hsm.ErrURI) || strings.Contains(err.Error(), good) {
			t.Errorf("%v: got %v", cfg, err)
		}
	}
	_ = os.Unsetenv(passwordVariable)
	if _, err := seed.GetPassword(t.Context(), "pw"); !errors.Is(err, hsm.ErrNoKey) || !strings.Contains(err.Error(), passwordVariable) {
		t.Errorf("no variable: %v", err)
	}
}

// wrapped is a secret with our context, which is no password.
func wrapped(t *testing.T, tok *token) string {
	t.Helper()
	w, err := tok.Wrap(t.Context(), "pw", []byte("dek"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(w)
}
