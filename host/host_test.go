package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/host/fault"
)

// testNode is a node with software tokens, not made yet.
func testNode(t *testing.T, name string) Config {
	t.Helper()
	dir := t.TempDir()
	vs := Defaults()
	for k, v := range map[string]string{"cluster": "c", "node_id": name, "data_dir": filepath.Join(dir, "data"),
		"hsm.uri": "local:" + filepath.Join(dir, "hsm")} {
		vs.Set(k, v, "test")
	}
	c, err := Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	return c
}

// prepare makes what the node needs.
func prepare(t *testing.T, c Config) {
	t.Helper()
	p, err := Prepare(t.Context(), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// withTokens opens the node's tokens for do.
func withTokens(ctx context.Context, c Config, do func(*Tokens) error) error {
	tok, err := OpenTokens(ctx, c, Options{})
	if err != nil {
		return err
	}
	return errors.Join(do(tok), tok.Close())
}

// codeOf is the kind of a fault.
func codeOf(err error) fault.Code {
	if f := kindOf(err); f != nil {
		return f.Code
	}
	return fault.CodeFailed
}

// doOf is what to do about it.
func doOf(err error) string {
	if f := kindOf(err); f != nil {
		return f.Do
	}
	return ""
}

func kindOf(err error) (f *fault.Error) {
	for errors.As(err, &f) && f.Code == 0 {
		err = f.Err
	}
	return f
}

// officer is a recovery officer.
type officer struct {
	recipient string
	identity  age.Identity
}

func newOfficer(t *testing.T) officer {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return officer{id.Recipient().String(), id}
}

// Goal: officers' identities are read as age-keygen writes them, and a file without one is refused with what to do.
func TestReadIdentities(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "officer.age")
	for text, n := range map[string]int{"# created: today\n" + id.String() + "\n": 1, "nothing\n": 0, "": 0} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		ids, err := ReadIdentities(path)
		if len(ids) != n || (n == 0) != (codeOf(err) == fault.CodeUsage) {
			t.Errorf("%q: %d identities, %v", text, len(ids), err)
		}
	}
}
