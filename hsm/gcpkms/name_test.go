package gcpkms

import (
	"errors"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

// Goal: a key ID means the key that doc.go says. Method: a table, for a URI with a ring, with a key, with a version, and with nothing.
func TestTarget(t *testing.T) {
	const ring, other = parts.KeyRing, "projects/example.com:p/locations/global/keyRings/r/cryptoKeys/k"
	for _, c := range []struct{ home, id, want string }{
		{ring, "k", ring + "/cryptoKeys/k"},
		{ring, "a_b-C9", ring + "/cryptoKeys/a_b-C9"},
		{ring, "vault key", ring + "/cryptoKeys/x--vault_20key"},
		{ring, "x--a", ring + "/cryptoKeys/x--x--a"},
		{ring, "é_/", ring + "/cryptoKeys/x--_c3_a9_5f_2f"},
		{ring, "k/cryptoKeyVersions/3", ring + "/cryptoKeys/k/cryptoKeyVersions/3"},
		{ring, "a b/cryptoKeyVersions/3", ring + "/cryptoKeys/x--a_20b/cryptoKeyVersions/3"},
		{ring, "k/cryptoKeyVersions/x", ring + "/cryptoKeys/x--k_2fcryptoKeyVersions_2fx"},
		{ring, other, other},
		{ring, other + "/cryptoKeyVersions/2", other + "/cryptoKeyVersions/2"},
		{ring, "", ""},
		{ring, other + "/cryptoKeyVersions/0", ""},
		{ring, "projects/p/locations/l/keyRings/r", ""},
		{ring, "projects/x", ""},
		{ring, strings.Repeat("a", 63), ring + "/cryptoKeys/" + strings.Repeat("a", 63)},
		{ring, strings.Repeat("a", 64), ""},
		{ring, strings.Repeat(" ", 20), ring + "/cryptoKeys/x--" + strings.Repeat("_20", 20)},
		{ring, strings.Repeat(" ", 21), ""},
		{ring + "/cryptoKeys/k", "", ring + "/cryptoKeys/k"},
		{ring + "/cryptoKeys/k", "j", ring + "/cryptoKeys/j"},
		{ring + "/cryptoKeys/k/cryptoKeyVersions/2", "", ring + "/cryptoKeys/k/cryptoKeyVersions/2"},
		{ring + "/cryptoKeys/k/cryptoKeyVersions/2", "k", ring + "/cryptoKeys/k/cryptoKeyVersions/2"},
		{ring + "/cryptoKeys/k/cryptoKeyVersions/2", "k/cryptoKeyVersions/1", ring + "/cryptoKeys/k/cryptoKeyVersions/1"},
		{ring + "/cryptoKeys/k/cryptoKeyVersions/2", "j", ring + "/cryptoKeys/j"},
		{"", "k", ""},
		{"", "", ""},
		{"", other, other},
	} {
		home, _ := parseResource(c.home)
		got, err := (&Token{home: home}).target(c.id)
		if got.String() != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, hsm.ErrNoKey) {
			t.Errorf("%s in %q: %s, %v, want %s", c.id, c.home, got, err, c.want)
		}
	}
}

// Goal: keys are listed under the IDs that find them; those that somebody else called x--… by their full name. Method: make both.
func TestListedIDs(t *testing.T) {
	b := newBed(t)
	if err := b.GenerateKey(b.ctx, "vault key/1_x", hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	b.make(t, "x--by_chance", 12, 5, 2) // EC_SIGN_P256_SHA256, ASYMMETRIC_SIGN, HSM
	keys, err := b.Keys(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"vault key/1_x": true, b.name("x--by_chance"): true}
	for _, k := range keys {
		if k.Type == hsm.KeyP256 && k.ID != p256 && !want[k.ID] {
			t.Errorf("listed as %q", k.ID)
		}
		delete(want, k.ID)
		if k.Type == hsm.KeyP256 {
			if _, err := b.Sign(b.ctx, k.ID, nil); err != nil {
				t.Errorf("%s: %v", k.ID, err)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}

// Goal: with a URI that names no ring ("gcp"), full names work and what needs a ring says so. Method: each.
func TestBareURI(t *testing.T) {
	b := newBed(t)
	tok := openURI(t, "gcpkms:?endpoint="+b.server.Endpoint(), brisk)
	if _, err := tok.Sign(b.ctx, b.name(p256), nil); err != nil {
		t.Error(err)
	}
	if err := tok.GenerateKey(b.ctx, b.name("made"), hsm.KeyP256); err != nil {
		t.Error(err)
	}
	if err := tok.GenerateKey(b.ctx, strings.Replace(b.name("made"), "keyRings/mpcd", "keyRings/none", 1), hsm.KeyP256); !errors.Is(err,
		hsm.ErrNoToken) {
		t.Errorf("in a ring that is not there: %v", err)
	}
	if _, err := tok.Keys(b.ctx); !errors.Is(err, hsm.ErrURI) {
		t.Errorf("got %v", err)
	}
	if _, err := tok.Random(b.ctx, 8); !errors.Is(err, hsm.ErrURI) {
		t.Errorf("got %v", err)
	}
}

// Goal: two short names never meet, and each is found again from its key's name, which Google allows. Method: fuzz pairs.
func FuzzID(f *testing.F) {
	f.Add("vault key", "vault_20key")
	f.Add("x--a", "a")
	f.Add("x--_41", "A")
	f.Add("x--_c3_a9", "é")
	f.Add("_", "x--_5f")
	f.Fuzz(func(t *testing.T, a, b string) {
		na, ok := encodeID(a)
		if !ok {
			return
		}
		if !plainRE.MatchString(na) {
			t.Errorf("%q is %q, which Google refuses", a, na)
		}
		if back, ok := decodeID(na); !ok || back != a {
			t.Errorf("%q is %q is %q", a, na, back)
		}
		if nb, ok := encodeID(b); ok && na == nb && a != b {
			t.Errorf("%q and %q are both %q", a, b, na)
		}
		if id, ok := decodeID(b); ok { // as the name of a key
			if again, ok := encodeID(id); plainRE.MatchString(b) && (!ok || again != b) {
				t.Errorf("key %q is listed as %q, which means %q", b, id, again)
			}
		}
	})
}
