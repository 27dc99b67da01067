package pkcs11_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/softhsm"
)

// Goal: a library that is none is told as such, and nothing crashes. Method: every wrong file.
func TestModulePath(t *testing.T) {
	uri := softhsm.New(t)
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(dir, "open.so") // the real one, but anyone may change it
	module, err := softhsm.Find()
	if err != nil {
		t.Fatal(err)
	}
	library, err := os.ReadFile(module)
	if err == nil {
		err = os.WriteFile(open, library, 0o600)
	}
	if err == nil {
		err = os.Chmod(open, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	libc, err := filepath.Glob("/lib/*/libm.so.6")
	if err != nil || len(libc) == 0 {
		t.Fatal("no libm.so.6 to try as a library without PKCS#11")
	}
	for name, c := range map[string]struct {
		path string
		want error
	}{
		"absent":              {filepath.Join(dir, "absent.so"), hsm.ErrUnavailable},
		"a directory":         {dir, hsm.ErrUnavailable},
		"text":                {text, hsm.ErrUnavailable},
		"another library":     {libc[0], hsm.ErrUnavailable},
		"writable by anybody": {open, hsm.ErrUnavailable},
		"relative":            {"libsofthsm2.so", hsm.ErrURI},
	} {
		t.Run(name, func(t *testing.T) { refuse(t, with(t, uri, "module-path", c.path), hsm.Options{}, c.want) })
	}
	refuse(t, "pkcs11", hsm.Options{}, hsm.ErrURI)
	refuse(t, uri, hsm.Options{Sessions: 257}, nil)
	refuse(t, uri, hsm.Options{Sessions: -1}, nil)
}

// Goal: the token is selected by what it is. Method: wrong and right labels, serials, models.
func TestSelectToken(t *testing.T) {
	uri := softhsm.New(t)
	info, err := openURI(t, uri, hsm.Options{}).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !info.SoftwareOnly || info.Serial == "" || info.Provider != "pkcs11" {
		t.Errorf("SoftHSM describes itself as %+v", info)
	}
	said := refuse(t, with(t, uri, "token", "nowhere"), hsm.Options{}, hsm.ErrNoToken)
	if !strings.Contains(said, info.Label) {
		t.Errorf("the error does not say which tokens there are: %s", said)
	}
	refuse(t, with(t, uri, "serial", "0"), hsm.Options{}, hsm.ErrNoToken)
	refuse(t, with(t, uri, "model", "other"), hsm.Options{}, hsm.ErrNoToken)
	refuse(t, with(t, uri, "manufacturer", "other"), hsm.Options{}, hsm.ErrNoToken)
	openURI(t, with(t, with(t, uri, "serial", info.Serial), "model", info.Model), hsm.Options{})
}

// Goal: two tokens of one label are never chosen between. Method: make a second one below the driver; the serial decides.
func TestAmbiguousToken(t *testing.T) {
	uri := softhsm.New(t)
	tok := openURI(t, uri, hsm.Options{})
	info, err := tok.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, _ p11.SessionHandle) {
		slots, err := lib.GetSlotList(true)
		if err == nil {
			err = lib.InitToken(slots[len(slots)-1], "12345678", info.Label)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	said := refuse(t, uri, hsm.Options{}, hsm.ErrAmbiguous)
	if !strings.Contains(said, "serial=") || !strings.Contains(said, info.Serial) {
		t.Errorf("the error does not say what to do: %s", said)
	}
	openURI(t, with(t, uri, "serial", info.Serial), hsm.Options{})
}

// Goal: without label and serial, one token is taken, of two none. Method: take them out of the URI.
func TestOnlyToken(t *testing.T) {
	anyToken := func(uri string) string {
		_, rest, _ := strings.Cut(uri, "?")
		return "softhsm:?" + rest
	}
	one := softhsm.New(t)
	openURI(t, anyToken(one), hsm.Options{})
	two := softhsm.New(t)
	refuse(t, anyToken(two), hsm.Options{}, hsm.ErrAmbiguous)
}

// Goal: two tokens in one library do not disturb each other. Method: close one, sign with the other; the last one unloads it.
func TestTwoTokensOneModule(t *testing.T) {
	faults := pkcs11.InjectFaults(t)
	one, two := openURI(t, softhsm.New(t), hsm.Options{}), openURI(t, softhsm.New(t), hsm.Options{})
	initialised := faults.Calls("Initialize")
	for _, tok := range []hsm.Token{one, two} {
		if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "k", hsm.KeyP256); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Sign(t.Context(), "k", nil); err != nil {
		t.Error(err)
	}
	if n := faults.Calls("Initialize"); n != initialised {
		t.Errorf("%d more initialisations", n-initialised)
	}
	before := faults.Calls("Finalize")
	if err := two.Close(); err != nil {
		t.Fatal(err)
	}
	if n := faults.Calls("Finalize") - before; n != 1 {
		t.Errorf("%d finalisations with the last token, want 1", n)
	}
}

// Goal: a library that another part of the process initialised is used, and left alone. Method: initialise it below the driver.
func TestAlreadyInitialised(t *testing.T) {
	uri := softhsm.New(t)
	faults := pkcs11.InjectFaults(t)
	raw(t, uri, func(*p11.Ctx, uint) {
		tok := openURI(t, uri, hsm.Options{})
		if err := tok.Close(); err != nil {
			t.Fatal(err)
		}
		if n := faults.Calls("Finalize"); n != 0 {
			t.Errorf("finalised %d times what was not ours", n)
		}
	})
}

// Goal: InitToken makes one token, and harms none. Method: the same label twice, labels of the edge lengths.
func TestInitToken(t *testing.T) {
	u, err := hsm.ParseURI(softhsm.New(t))
	if err != nil {
		t.Fatal(err)
	}
	pin := func() *secret.Bytes { return secret.From([]byte("12345678")) }
	make := func(label string) error {
		_, err := pkcs11.InitToken(t.Context(), u.Attr("module-path"), label, pin(), pin())
		return err
	}
	if err := make(u.Attr("token")); err == nil {
		t.Error("a label was given twice")
	}
	for _, label := range []string{"", strings.Repeat("x", 33)} {
		if make(label) == nil {
			t.Errorf("a label of %d bytes is accepted", len(label))
		}
	}
	if err := make(strings.Repeat("x", 32)); err != nil {
		t.Error(err)
	}
}

// Goal: object= is the key for an empty key ID. Method: with it and without.
func TestDefaultKey(t *testing.T) {
	tok := openURI(t, with(t, softhsm.New(t), "object", "attest"), hsm.Options{})
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "", hsm.KeyEd25519); err != nil {
		t.Fatal(err)
	}
	sig, err := tok.Sign(t.Context(), "", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := tok.Verify(t.Context(), "attest", []byte("m"), sig); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

// Goal: a key that only its CKA_ID tells from another is named by it, in the URI as p11tool prints it or as a key ID; without it the error
// says to. Method: two keys of one label, made by the driver and renamed.
func TestKeyByID(t *testing.T) {
	s := softhsm.New(t)
	tok := openURI(t, s, hsm.Options{})
	for _, label := range []string{"a", "b"} {
		if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), label, hsm.KeyEd25519); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	pkcs11.Administer(t, tok, func(lib *p11.Ctx, session p11.SessionHandle) { ids = relabel(t, lib, session, "twin") })
	if _, err := tok.Sign(t.Context(), "twin", []byte("m")); !errors.Is(err, hsm.ErrAmbiguous) || !strings.Contains(err.Error(), "id=") {
		t.Errorf("two keys of one label: %v", err)
	}
	var publics []string
	for _, id := range ids {
		uri := with(t, s, "id", id)
		byURI := openURI(t, uri, hsm.Options{})
		sig, err := byURI.Sign(t.Context(), "", []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		u, err := hsm.ParseURI(uri)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := tok.Verify(t.Context(), u.PKCS11KeyID(), []byte("m"), sig); err != nil || !ok {
			t.Errorf("%v, %v", ok, err)
		}
		if _, err := tok.Sign(t.Context(), u.PKCS11KeyID()+";object=other", []byte("m")); !errors.Is(err, hsm.ErrNoKey) {
			t.Errorf("with another label: %v", err)
		}
		publics = append(publics, string(sig))
	}
	if publics[0] == publics[1] {
		t.Error("both names are of one key")
	}
	if err := tok.(hsm.KeyGenerator).GenerateKey(t.Context(), "id=%01", hsm.KeyEd25519); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("a key is made under a name that cannot be asked for: %v", err)
	}
}

// relabel gives all keys one label, and returns the CKA_ID of each private key.
func relabel(t *testing.T, lib *p11.Ctx, s p11.SessionHandle, label string) (ids []string) {
	for _, class := range []uint{p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY} {
		if err := lib.FindObjectsInit(s, []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, class)}); err != nil {
			t.Fatal(err)
		}
		found, _, err := lib.FindObjects(s, 10)
		if err := errors.Join(err, lib.FindObjectsFinal(s)); err != nil {
			t.Fatal(err)
		}
		for _, o := range found {
			if err := lib.SetAttributeValue(s, o, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, label)}); err != nil {
				t.Fatal(err)
			}
			id, err := lib.GetAttributeValue(s, o, []*p11.Attribute{p11.NewAttribute(p11.CKA_ID, nil)})
			if err != nil {
				t.Fatal(err)
			}
			if class == p11.CKO_PRIVATE_KEY {
				ids = append(ids, string(id[0].Value))
			}
		}
	}
	return ids
}
