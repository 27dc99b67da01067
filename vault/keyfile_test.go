package vault_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: a sealed key opens with each of its tokens and officers, bound to its place, and with nobody else. Method: two tokens whose
// keys have one name, two officers, a stranger of each kind, every flipped byte.
func TestSealedKey(t *testing.T) {
	ctx, aad := t.Context(), []byte("node-1")
	key := secret.From(bytes.Repeat([]byte{5}, vault.SealedKeyLen))
	a, b, c := vaulttest.NewWrapper(kek), vaulttest.NewWrapper(kek), vaulttest.NewWrapper(kek, "other")
	officers := pairs(t, false, 3)
	sealed, err := vault.SealKey(ctx, key, aad, names(officers[:2]...), vault.KeySlot{Wrapper: a, KEK: kek},
		vault.KeySlot{Wrapper: b, KEK: kek})
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte{5}, vault.SealedKeyLen)
	unseal := func(sealed, aad []byte, w hsm.KeyWrapper, id string) error {
		k, err := vault.UnsealKey(context.Background(), sealed, aad, vault.KeySlot{Wrapper: w, KEK: id})
		if err == nil && !k.Equal(plain) {
			t.Error("another key")
		}
		return err
	}
	recovered := func(sealed, aad []byte, ids ...age.Identity) error {
		k, err := vault.RecoverKey(sealed, aad, ids...)
		if err == nil && !k.Equal(plain) {
			t.Error("another key")
		}
		return err
	}
	none, err := vault.SealKey(ctx, key, aad, nil, vault.KeySlot{Wrapper: a, KEK: kek})
	if err != nil {
		t.Fatal(err)
	}
	bare, err := a.Wrap(ctx, kek, plain, aad)
	if err != nil {
		t.Fatal(err)
	}
	down := vaulttest.NewWrapper(kek)
	down.Down.Store(true)
	short, err := vault.SealKey(ctx, key, aad, nil, vault.KeySlot{Wrapper: &cutter{a, false}, KEK: kek})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]struct{ got, want error }{
		"first token":           {unseal(sealed, aad, a, kek), nil},
		"second token":          {unseal(sealed, aad, b, kek), nil},
		"first officer":         {recovered(sealed, aad, officers[0]), nil},
		"second officer":        {recovered(sealed, aad, officers[2], officers[1]), nil},
		"bare":                  {unseal(bare, aad, a, kek), nil},
		"bare, another token":   {unseal(bare, aad, b, kek), vault.ErrWrongKEK},
		"bare, another node":    {unseal(bare, []byte("node-2"), a, kek), vault.ErrWrongKEK},
		"another token":         {unseal(sealed, aad, c, kek), vault.ErrWrongKEK},
		"another KEK":           {unseal(sealed, aad, c, "other"), vault.ErrWrongKEK},
		"another node":          {unseal(sealed, []byte("node-2"), a, kek), vault.ErrWrongKEK},
		"token away":            {unseal(sealed, aad, down, kek), hsm.ErrUnavailable},
		"token of short keys":   {unseal(short, aad, &cutter{a, true}, kek), vault.ErrIntegrity},
		"stranger":              {recovered(sealed, aad, officers[2]), vault.ErrRecovery},
		"nobody":                {recovered(sealed, aad), vault.ErrRecovery},
		"officer, another node": {recovered(sealed, []byte("node-2"), officers[0]), vault.ErrIntegrity},
		"no recovery":           {recovered(none, aad, officers[0]), vault.ErrRecovery},
		"nothing":               {unseal(nil, aad, a, kek), vault.ErrIntegrity},
	} {
		if !errors.Is(e.got, e.want) {
			t.Errorf("%s: %v, want %v", name, e.got, e.want)
		}
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1 << (i % 8)
		if unseal(bad, aad, a, kek) == nil && unseal(bad, aad, b, kek) == nil && recovered(bad, aad, officers[0]) == nil &&
			recovered(bad, aad, officers[1]) == nil {
			t.Errorf("byte %d flipped, and all still open it", i)
		}
	}
	slot := vault.KeySlot{Wrapper: a, KEK: kek}
	for name, e := range map[string]struct {
		key   *secret.Bytes
		to    []string
		slots []vault.KeySlot
		want  error
	}{
		"short key":     {secret.New(31), nil, []vault.KeySlot{slot}, vault.ErrInvalid},
		"no token":      {key, nil, nil, vault.ErrInvalid},
		"five tokens":   {key, nil, []vault.KeySlot{slot, slot, slot, slot, slot}, vault.ErrInvalid},
		"bad recipient": {key, []string{"age1"}, []vault.KeySlot{slot}, vault.ErrInvalid},
		"no such KEK":   {key, nil, []vault.KeySlot{{Wrapper: a, KEK: "none"}}, hsm.ErrNoKey},
		"large token":   {key, nil, []vault.KeySlot{{Wrapper: fat{}, KEK: kek}}, vault.ErrTooLarge},
		"lying token":   {key, nil, []vault.KeySlot{{Wrapper: &liar{a, 0}, KEK: kek}}, vault.ErrIntegrity},
	} {
		_, err := vault.SealKey(ctx, e.key, aad, e.to, e.slots...)
		wantErr(t, name, err, e.want)
	}
}

// fat is a token whose wrapped keys are large.
type fat struct{}

func (fat) Wrap(_ context.Context, _ string, dek, _ []byte) ([]byte, error) {
	return append(bytes.Clone(dek), make([]byte, vault.MaxSealedKey)...), nil
}

func (fat) Unwrap(_ context.Context, _ string, wrapped, _ []byte) ([]byte, error) {
	return bytes.Clone(wrapped[:vault.SealedKeyLen]), nil
}

// cutter is a token that gives back less than it wrapped.
type cutter struct {
	*vaulttest.Wrapper
	cut bool
}

func (c *cutter) Unwrap(ctx context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	b, err := c.Wrapper.Unwrap(ctx, id, wrapped, aad)
	if c.cut && err == nil {
		b = b[:16]
	}
	return b, err
}

// provided is a token with a name.
type provided struct {
	*vaulttest.Wrapper
	name string
}

func (p provided) Provider() string { return p.name }

// Goal: a token that does not open a sealed key is told which does. Method: seal with one that has a name, open with another.
func TestSealedKeyNamesItsToken(t *testing.T) {
	key := secret.From(bytes.Repeat([]byte{1}, vault.SealedKeyLen))
	defer key.Wipe()
	sealed, err := vault.SealKey(t.Context(), key, nil, nil, vault.KeySlot{Wrapper: provided{vaulttest.NewWrapper("k"), "token in the rack"},
		KEK: "k"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = vault.UnsealKey(t.Context(), sealed, nil, vault.KeySlot{Wrapper: vaulttest.NewWrapper("k"), KEK: "k"})
	if !errors.Is(err, vault.ErrWrongKEK) || !strings.Contains(err.Error(), `"k" of "token in the rack"`) {
		t.Errorf("got %v", err)
	}
	// One of that kind, with a key of that name: nothing but the token itself differs.
	twin := vault.KeySlot{Wrapper: provided{vaulttest.NewWrapper("k"), "token in the rack"}, KEK: "k"}
	_, err = vault.UnsealKey(t.Context(), sealed, nil, twin)
	if !errors.Is(err, vault.ErrWrongKEK) || strings.Count(err.Error(), `"token in the rack"`) != 1 ||
		!strings.Contains(err.Error(), "a key of the same name in another token of that kind") {
		t.Errorf("another of that kind: %v", err)
	}
}

// measured is a token whose measurements changed: it says so of what it wrapped.
type measured struct{ *vaulttest.Wrapper }

var errMeasured = errors.New("PCR 7 changed")

func (m measured) Unwrap(ctx context.Context, id string, wrapped, aad []byte) ([]byte, error) {
	b, err := m.Wrapper.Unwrap(ctx, id, wrapped, aad)
	if err != nil {
		return nil, err
	}
	secret.Wipe(b)
	return nil, fmt.Errorf("%w: %w", errMeasured, hsm.ErrIntegrity)
}

// Goal: the token's reason for not opening a sealed key is told, also if another slot follows, and also for a bare wrapped key. Method: a
// token whose measurements changed, before and after the slot of another.
func TestSealedKeySaysWhy(t *testing.T) {
	key := secret.From(bytes.Repeat([]byte{1}, vault.SealedKeyLen))
	defer key.Wipe()
	w, other := vaulttest.NewWrapper(kek), vaulttest.NewWrapper(kek)
	mine, theirs := vault.KeySlot{Wrapper: w, KEK: kek}, vault.KeySlot{Wrapper: other, KEK: kek}
	bare, err := w.Wrap(t.Context(), kek, key.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"bare": bare}
	for name, slots := range map[string][]vault.KeySlot{"one": {mine}, "first": {mine, theirs}, "last": {theirs, mine}} {
		if files[name], err = vault.SealKey(t.Context(), key, nil, nil, slots...); err != nil {
			t.Fatal(err)
		}
	}
	for name, sealed := range files {
		_, err := vault.UnsealKey(t.Context(), sealed, nil, vault.KeySlot{Wrapper: measured{w}, KEK: kek})
		for _, want := range []error{vault.ErrWrongKEK, hsm.ErrIntegrity, errMeasured} {
			wantErr(t, name, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "PCR 7 changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = vault.UnsealKey(t.Context(), files["one"], nil, vault.KeySlot{Wrapper: measured{w}, KEK: "other"})
	if wantErr(t, "no slot of that name", err, vault.ErrWrongKEK); errors.Is(err, hsm.ErrIntegrity) {
		t.Errorf("a token that was not asked is quoted: %v", err)
	}
}

// Goal: the recipients of a sealed key are counted without opening it. Method: lists of both kinds; what is no sealed key, a bare
// wrapped key, an oversized file and an age file without its end.
func TestKeyRecipients(t *testing.T) {
	key := secret.From(bytes.Repeat([]byte{1}, vault.SealedKeyLen))
	defer key.Wipe()
	w := vaulttest.NewWrapper(kek)
	slot := vault.KeySlot{Wrapper: w, KEK: kek}
	var last []byte
	for _, hybrid := range []bool{false, true} {
		for _, n := range []int{0, 1, 3, vault.MaxRecipients} {
			sealed, err := vault.SealKey(t.Context(), key, nil, names(pairs(t, hybrid, n)...), slot)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := vault.KeyRecipients(sealed); err != nil || got != n {
				t.Errorf("%d recipients (hybrid %v): counted %d: %v", n, hybrid, got, err)
			}
			last = sealed
		}
	}
	bare, err := w.Wrap(t.Context(), kek, key.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	noEnd := bytes.Clone(last)
	copy(noEnd[bytes.Index(noEnd, []byte("\n---")):], "\nxxx")
	for name, b := range map[string][]byte{
		"nothing": nil, "bare": bare, "cut": last[:len(last)-1], "too large": append(bytes.Clone(last), make([]byte, vault.MaxSealedKey)...),
		"no end": noEnd,
	} {
		n, err := vault.KeyRecipients(b)
		if wantErr(t, name, err, vault.ErrIntegrity); n != 0 {
			t.Errorf("%s: counted %d", name, n)
		}
	}
}

// kindly is a token of a kind.
type kindly struct {
	hsm.KeyWrapper
	kind string
}

func (k kindly) Provider() string { return k.kind }

// Goal: from a sealed key, and from a vault, can be told whether a key of this name in a token of this kind sealed it, without the token,
// so that it is not made anew. Method: seal to two tokens; ask for each, for other names and kinds, of bare and damaged files, and of
// stores with a vault and without.
func TestSealedBy(t *testing.T) {
	ctx, key := t.Context(), secret.From(bytes.Repeat([]byte{5}, vault.SealedKeyLen))
	slot := func(id, kind string) vault.KeySlot {
		return vault.KeySlot{Wrapper: kindly{vaulttest.NewWrapper(id), kind}, KEK: id}
	}
	sealed, err := vault.SealKey(ctx, key, nil, nil, slot("old", "tpm"), slot("new", "pkcs11"))
	if err != nil {
		t.Fatal(err)
	}
	nameless := vault.KeySlot{Wrapper: vaulttest.NewWrapper("old"), KEK: "old"}
	before, err := vault.SealKey(ctx, key, nil, nil, nameless)
	if err != nil {
		t.Fatal(err)
	}
	empty, full := vaulttest.NewMemory(), vaulttest.NewMemory()
	by := slot("old", "tpm")
	v, err := vault.Open(ctx, vault.Config{Store: full, Wrapper: by.Wrapper, KEK: by.KEK, Node: "n1"})
	if err == nil {
		err = v.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	of := func(s vault.Store, with vault.KeySlot) bool {
		found, err := vault.WrappedBy(ctx, s, with)
		if err != nil {
			t.Error(err)
		}
		return found
	}
	for name, e := range map[string]struct{ got, want bool }{
		"first":                       {vault.SealedBy(sealed, slot("old", "tpm")), true},
		"second":                      {vault.SealedBy(sealed, slot("new", "pkcs11")), true},
		"of another kind":             {vault.SealedBy(sealed, slot("old", "pkcs11")), false},
		"of another name":             {vault.SealedBy(sealed, slot("other", "tpm")), false},
		"of a kind that was not kept": {vault.SealedBy(before, slot("old", "tpm")), true},
		"bare":                        {vault.SealedBy([]byte("wrapped"), slot("old", "tpm")), true},
		"a vault":                     {of(full, slot("old", "tpm")), true},
		"a vault of another kind":     {of(full, slot("old", "pkcs11")), false},
		"a vault of another name":     {of(full, slot("other", "tpm")), false},
		"no vault":                    {of(empty, slot("old", "tpm")), false},
	} {
		if e.got != e.want {
			t.Errorf("%s: %v", name, e.got)
		}
	}
	for i := range sealed { // a damaged file is for any key, and so for this one: none is made anew beside it
		for bit := range 8 {
			b := bytes.Clone(sealed)
			b[i] ^= 1 << bit
			if !vault.SealedBy(b, slot("new", "pkcs11")) {
				t.Errorf("byte %d, bit %d: not for the key that it is for", i, bit)
			}
		}
	}
}
