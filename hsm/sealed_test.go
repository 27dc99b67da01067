package hsm

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// Goal: a password comes back through the token that sealed it, from every place, and from nothing else. Method: seal one; read it
// from a variable, a file, a credential; then what was sealed for something else, and text that is no sealed password.
func TestSealedPassword(t *testing.T) {
	m := newMemory(t, "")
	text, err := SealPassword(t.Context(), m, "w", []byte("pass word"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "pass") {
		t.Error("the password is in the clear")
	}
	t.Setenv(SealedPasswordEnv, text)
	t.Setenv("TEST_SEALED", text)
	cred := write(t, text+"\n", 0o440)
	t.Setenv("CREDENTIALS_DIRECTORY", strings.TrimSuffix(cred, "/hsm-pin"))
	for _, source := range []string{"", "env:TEST_SEALED", "cred:hsm-pin", "file:" + write(t, text[:20]+"\n"+text[20:]+"\n", 0o644)} {
		if got, err := SealedPassword(m, source).GetPassword(t.Context(), "w"); err != nil || got != "pass word" {
			t.Errorf("%q: %q, %v", source, got, err)
		}
	}
	other, err := m.Wrap(t.Context(), "w", []byte("a share"), []byte("vault"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_SEALED", base64.StdEncoding.EncodeToString(other))
	if got, err := SealedPassword(m, "env:TEST_SEALED").GetPassword(t.Context(), "w"); !errors.Is(err, ErrIntegrity) || got != "" {
		t.Errorf("what is sealed for something else comes out: %q, %v", got, err)
	}
	t.Setenv("TEST_EMPTY", "")
	t.Setenv("TEST_TEXT", "plain password!")
	for source, want := range map[string]error{"env:TEST_UNSET": nil, "env:TEST_EMPTY": nil, "env:TEST_TEXT": nil, "plain": ErrURI,
		"file:rel": ErrURI, "env:": ErrURI, "cred:../x": ErrURI, "file:" + write(t, text, 0o666): nil, "file:/nonexistent": nil, "file:" +
			write(t, strings.Repeat("A", maxSealed+4), 0o600): nil} {
		got, err := SealedPassword(m, source).GetPassword(t.Context(), "w")
		if err == nil || got != "" || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %q, %v", source, got, err)
		} else if strings.Contains(err.Error(), "plain password") {
			t.Errorf("%q: the error tells what may be a password: %v", source, err)
		}
	}
	for _, bad := range []string{"", "nul\x00", "\xff"} {
		if _, err := SealPassword(t.Context(), m, "w", []byte(bad)); err == nil {
			t.Errorf("%q is sealed", bad)
		}
	}
}

// Goal: providers of passwords come from the program's table, by the seeds' names. Method: a table with a recorder.
func TestPasswordDrivers(t *testing.T) {
	var region string
	d := PasswordDrivers{
		"aws": func(_ context.Context, cfg map[string]string) (PasswordProvider, error) {
			region = cfg["region"]
			return envPasswords{}, nil
		},
		"tpm": nil,
	}
	if _, err := d.New(t.Context(), "aws", map[string]string{"region": "eu"}); err != nil || region != "eu" {
		t.Errorf("settings %q, %v", region, err)
	}
	t.Setenv("TEST_PASSWORD", "env")
	if p, err := d.New(t.Context(), "env", nil); err != nil {
		t.Error(err)
	} else if got, err := p.GetPassword(t.Context(), "TEST_PASSWORD"); err != nil || got != "env" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := d.New(t.Context(), "gcp", nil); !errors.Is(err, ErrUnsupported) ||
		!strings.Contains(err.Error(), "aws, tpm, cred, env, file") {
		t.Errorf("got %v", err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", strings.TrimSuffix(write(t, "cr3d\n", 0o440), "/hsm-pin"))
	p, err := NewPasswordProvider("cred", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.GetPassword(t.Context(), "hsm-pin"); err != nil || got != "cr3d" {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "..", "a/b", "absent"} {
		if got, err := p.GetPassword(t.Context(), bad); err == nil || got != "" {
			t.Errorf("credential %q: %q", bad, got)
		}
	}
}
