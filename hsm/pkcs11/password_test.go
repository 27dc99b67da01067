package pkcs11_test

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/softhsm"
)

// Goal: the password of a database comes out of a token, and of that token's key alone. Method: seal it, open it; then by another key.
func TestSealedPassword(t *testing.T) {
	tok := openURI(t, softhsm.New(t), hsm.Options{})
	for _, id := range []string{"zapdb", "other"} {
		if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), id, hsm.KeyAESWrap); err != nil {
			t.Fatal(err)
		}
	}
	text, err := hsm.SealPassword(t.Context(), tok.(hsm.KeyWrapper), "zapdb", []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(hsm.SealedPasswordEnv, text)
	p := hsm.SealedPassword(tok.(hsm.KeyWrapper), "")
	if got, err := p.GetPassword(t.Context(), "zapdb"); err != nil || got != "correct horse" {
		t.Errorf("%q, %v", got, err)
	}
	for id, want := range map[string]error{"other": hsm.ErrIntegrity, "nobody": hsm.ErrNoKey} {
		if got, err := p.GetPassword(t.Context(), id); !errors.Is(err, want) || got != "" {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
}
