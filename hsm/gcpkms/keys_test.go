package gcpkms

import (
	"bytes"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/luxfi/mpcd/hsm"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

const p256 = string(hsm.KeyP256)

// Goal: of several enabled versions none is guessed, a named one is used, and a disabled one does not count. Method: two versions.
func TestVersions(t *testing.T) {
	b := newBed(t)
	first, err := b.PublicKey(b.ctx, p256)
	if err != nil {
		t.Fatal(err)
	}
	b.addVersion(t, p256)
	tok := b.fresh(t)
	if _, err := tok.Sign(b.ctx, p256, nil); !errors.Is(err, hsm.ErrAmbiguous) || !says(err, "2 enabled versions (1, 2)", versionsPart) {
		t.Errorf("got %v, want ErrAmbiguous, the versions and the way out", err)
	}
	for _, id := range []string{p256 + versionsPart + "2", b.versionName(p256, "2")} {
		sig, err := tok.Sign(b.ctx, id, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		if ok, _ := hsm.Verify(first, []byte("m"), sig); ok {
			t.Errorf("%s signed with version 1", id)
		}
		if ok, err := tok.Verify(b.ctx, id, []byte("m"), sig); err != nil || !ok {
			t.Errorf("%s: %v, %v", id, ok, err)
		}
	}
	// The token that was open before stays with the version that it knows.
	if sig, err := b.Sign(b.ctx, p256, []byte("m")); err != nil {
		t.Error(err)
	} else if ok, _ := hsm.Verify(first, []byte("m"), sig); !ok {
		t.Error("the open token changed its key")
	}
	keys, err := tok.Keys(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"1", "2"} {
		if !slices.ContainsFunc(keys, func(k hsm.KeyInfo) bool { return k.ID == p256+versionsPart+n && k.Type == hsm.KeyP256 }) {
			t.Errorf("version %s is not listed: %+v", n, keys)
		}
	}
	b.setState(t, p256, "1", kmspb.CryptoKeyVersion_DISABLED)
	if _, err := b.fresh(t).Sign(b.ctx, p256, nil); err != nil {
		t.Errorf("with one version disabled: %v", err)
	}
	if _, err := tok.Sign(b.ctx, p256+versionsPart+"9", nil); !errors.Is(err, hsm.ErrNoKey) {
		t.Errorf("a version that is not there: %v", err)
	}
}

// Goal: a key that is disabled or destroyed says so, and how to go on; no other key is used. Method: each state, with a token that
// knew the key before and with one that did not, for each kind of key.
func TestStates(t *testing.T) {
	b := newBed(t)
	wrapped, err := b.Wrap(b.ctx, string(hsm.KeyAESWrap), []byte("dek"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Sign(b.ctx, p256, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state kmspb.CryptoKeyVersion_CryptoKeyVersionState
		want  error
		word  string
	}{
		{kmspb.CryptoKeyVersion_DISABLED, hsm.ErrUnavailable, "is disabled; enable it"},
		{kmspb.CryptoKeyVersion_ENABLED, nil, ""},
		{kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, hsm.ErrNoKey, "restore"},
	} {
		b.setState(t, p256, "1", c.state)
		b.setState(t, string(hsm.KeyAESWrap), "1", c.state)
		for name, tok := range map[string]*Token{"known": b.Token, "new": b.fresh(t)} {
			_, signErr := tok.Sign(b.ctx, p256, nil)
			_, wrapErr := tok.Wrap(b.ctx, string(hsm.KeyAESWrap), []byte("dek"), nil)
			_, unwrapErr := tok.Unwrap(b.ctx, string(hsm.KeyAESWrap), wrapped, nil)
			for what, err := range map[string]error{"sign": signErr, "wrap": wrapErr, "unwrap": unwrapErr} {
				if !errors.Is(err, c.want) || err != nil && !says(err, c.word) {
					t.Errorf("%v, %s, %s: %v, want %v and %q", c.state, name, what, err, c.want, c.word)
				}
			}
		}
	}
	keys, err := b.Keys(b.ctx)
	if err != nil || slices.ContainsFunc(keys, func(k hsm.KeyInfo) bool { return k.ID == p256 || k.Type == hsm.KeyAESWrap }) {
		t.Errorf("destroyed keys are listed: %+v, %v", keys, err)
	}
}

// Goal: after a rotation, secrets wrapped before still unwrap, and new ones use the new primary version. Method: rotate, then forbid
// the first version.
func TestRotation(t *testing.T) {
	b := newBed(t)
	const kek = string(hsm.KeyAESWrap)
	old, err := b.Wrap(b.ctx, kek, []byte("old"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	b.addVersion(t, kek)
	if _, err := b.client.UpdateCryptoKeyPrimaryVersion(b.ctx, &kmspb.UpdateCryptoKeyPrimaryVersionRequest{Name: b.name(kek),
		CryptoKeyVersionId: "2"}); err != nil {
		t.Fatal(err)
	}
	next, err := b.Wrap(b.ctx, kek, []byte("new"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := b.Wrap(b.ctx, kek+versionsPart+"1", []byte("pinned"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	for want, w := range map[string][]byte{"old": old, "new": next, "pinned": pinned} {
		if dek, err := b.Unwrap(b.ctx, kek, w, []byte("aad")); err != nil || string(dek) != want {
			t.Errorf("%s: %q, %v", want, dek, err)
		}
	}
	b.setState(t, kek, "1", kmspb.CryptoKeyVersion_DISABLED)
	if dek, err := b.Unwrap(b.ctx, kek, next, []byte("aad")); err != nil || string(dek) != "new" {
		t.Errorf("new: %q, %v", dek, err)
	}
	for what, w := range map[string][]byte{"old": old, "pinned": pinned} {
		if _, err := b.Unwrap(b.ctx, kek, w, []byte("aad")); !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Goal: no key whose public half can forge a wrapped secret wraps, opens one, or does anything else. Method: one is asked for
// everything, by its name and by its version; the error must say why and what to use.
func TestDecryptionKeyRefused(t *testing.T) {
	b := newBed(t)
	b.make(t, "oaep", kmspb.CryptoKeyVersion_RSA_DECRYPT_OAEP_3072_SHA256, kmspb.CryptoKey_ASYMMETRIC_DECRYPT, kmspb.ProtectionLevel_HSM)
	good, err := b.Wrap(b.ctx, string(hsm.KeyAESWrap), []byte("dek"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"oaep", "oaep" + versionsPart + "1"} {
		_, wrapErr := b.Wrap(b.ctx, id, []byte("dek"), nil)
		_, unwrapErr := b.Unwrap(b.ctx, id, good, nil)
		_, signErr := b.Sign(b.ctx, id, nil)
		_, publicErr := b.PublicKey(b.ctx, id)
		for what, err := range map[string]error{"wrap": wrapErr, "unwrap": unwrapErr, "sign": signErr, "public key": publicErr} {
			if !errors.Is(err, hsm.ErrKeyType) || !says(err, "forge", "ENCRYPT_DECRYPT") {
				t.Errorf("%s, %s: got %v, want ErrKeyType with reason and advice", id, what, err)
			}
		}
	}
	keys, err := b.Keys(b.ctx)
	if err != nil || !slices.ContainsFunc(keys, func(k hsm.KeyInfo) bool { return k.ID == "oaep" && k.Type == "" }) {
		t.Errorf("it is listed as a key of ours: %+v, %v", keys, err)
	}
}

// Goal: secret and aad of the greatest length pass, longer ones do not; other forms are refused. Method: the edges; another first byte.
func TestWrapLimits(t *testing.T) {
	b := newBed(t)
	const kek = string(hsm.KeyAESWrap)
	long := make([]byte, aadMax+1)
	if _, err := b.Wrap(b.ctx, kek, []byte("dek"), long); err == nil {
		t.Error("a long aad is accepted")
	}
	w, err := b.Wrap(b.ctx, kek, make([]byte, hsm.MaxWrap), long[:aadMax])
	if err != nil {
		t.Fatalf("the longest secret with the longest aad: %v", err)
	}
	if back, err := b.Unwrap(b.ctx, kek, w, long[:aadMax]); err != nil || len(back) != hsm.MaxWrap {
		t.Errorf("%d bytes, %v", len(back), err)
	}
	before := b.server.Calls("Decrypt")
	w[0] = 2
	if _, err := b.Unwrap(b.ctx, kek, w, long[:aadMax]); !errors.Is(err, hsm.ErrIntegrity) || b.server.Calls("Decrypt") != before {
		t.Errorf("another form: %v", err)
	}
}

// Goal: MACs are made and verified, and nothing else passes. Method: another message, a changed MAC, another key, limits.
func TestMAC(t *testing.T) {
	b := newBed(t)
	b.special(t)
	b.make(t, "mac2", kmspb.CryptoKeyVersion_HMAC_SHA256, kmspb.CryptoKey_MAC, kmspb.ProtectionLevel_HSM)
	mac, err := b.MAC(b.ctx, macKey, []byte("m"))
	if err != nil || len(mac) != 32 {
		t.Fatalf("%x, %v", mac, err)
	}
	changed := bytes.Clone(mac)
	flip(changed)
	for _, c := range []struct {
		what, key, message string
		mac                []byte
		want               bool
	}{
		{"good", macKey, "m", mac, true}, {"message", macKey, "n", mac, false}, {"changed", macKey, "m", changed, false},
		{"key", "mac2", "m", mac, false}, {"short", macKey, "m", mac[:31], false}, {"none", macKey, "m", nil, false},
	} {
		if ok, err := b.VerifyMAC(b.ctx, c.key, []byte(c.message), c.mac); err != nil || ok != c.want {
			t.Errorf("%s: %v, %v", c.what, ok, err)
		}
	}
	if _, err := b.MAC(b.ctx, p256, nil); !errors.Is(err, hsm.ErrKeyType) {
		t.Errorf("with a signing key: %v", err)
	}
	if _, err := b.MAC(b.ctx, macKey, make([]byte, macDataMax+1)); err == nil {
		t.Error("a long message is accepted")
	}
	if again, err := b.MAC(b.ctx, macKey, []byte("m")); err != nil || !hmac.Equal(again, mac) {
		t.Errorf("not the same again: %v", err)
	}
}

// Goal: no key is made in software, whatever the service says or does. Method: it refuses HSM in both ways; it makes SOFTWARE instead.
func TestNoDowngrade(t *testing.T) {
	b := newBed(t)
	soft := change(func(m *kmspb.CryptoKey) {
		m.VersionTemplate = &kmspb.CryptoKeyVersionTemplate{Algorithm: m.VersionTemplate.Algorithm,
			ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE}
	})
	for i, c := range []struct {
		fault parts.Fault
		word  string
	}{
		{parts.Fault{Method: "CreateCryptoKey", Err: status.Error(codes.InvalidArgument, "HSM is not supported in location")},
			"HSM is not supported"},
		{parts.Fault{Method: "CreateCryptoKey", Err: status.Error(codes.FailedPrecondition, "HSM is not available")},
			"no key is made in software"},
		{parts.Fault{Method: "CreateCryptoKey", Answer: soft}, "do not use it"},
		{parts.Fault{Method: "CreateCryptoKey", Answer: change(func(m *kmspb.CryptoKey) { m.Purpose = kmspb.CryptoKey_MAC })}, "do not use it"},
		{parts.Fault{Method: "GetCryptoKeyVersion", Answer: change(
			func(m *kmspb.CryptoKeyVersion) { m.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE })}, "do not use it"},
		{parts.Fault{Method: "GetCryptoKeyVersion", Answer: change(
			func(m *kmspb.CryptoKeyVersion) { m.Algorithm = kmspb.CryptoKeyVersion_EC_SIGN_P384_SHA384 })}, "do not use it"},
	} {
		heal := b.server.Inject(c.fault)
		err := b.GenerateKey(b.ctx, fmt.Sprintf("new %d", i), hsm.KeyP256)
		heal()
		if !errors.Is(err, hsm.ErrUnsupported) || !says(err, c.word) {
			t.Errorf("%d: got %v, want ErrUnsupported and %q", i, err, c.word)
		}
	}
	heal := b.server.Inject(parts.Fault{Method: "GetCryptoKeyVersion",
		Answer: change(func(m *kmspb.CryptoKeyVersion) { m.State = kmspb.CryptoKeyVersion_GENERATION_FAILED })})
	defer heal()
	if err := b.GenerateKey(b.ctx, "failed", hsm.KeyP256); !errors.Is(err, hsm.ErrUnavailable) || !says(err, "GENERATION_FAILED") {
		t.Errorf("got %v", err)
	}
}

// Goal: GenerateKey returns when the key can be used, not before, and gives up in time. Method: hardware keys are pending at first
// here; then one that stays pending.
func TestPendingGeneration(t *testing.T) {
	b := newBed(t)
	before := b.server.Calls("GetCryptoKeyVersion")
	if err := b.GenerateKey(b.ctx, "k", hsm.KeySecp256k1); err != nil {
		t.Fatal(err)
	}
	if n := b.server.Calls("GetCryptoKeyVersion") - before; n != 2 {
		t.Errorf("it looked %d times, want 2: pending, enabled", n)
	}
	defer b.server.Inject(parts.Fault{Method: "GetCryptoKeyVersion",
		Answer: change(func(m *kmspb.CryptoKeyVersion) { m.State = kmspb.CryptoKeyVersion_PENDING_GENERATION })})()
	short := brisk
	short.creation = 1
	tok := openAt(t, b.server, short)
	if err := tok.GenerateKey(b.ctx, "slow", hsm.KeyP256); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer b.server.Inject(parts.Fault{Method: "CreateCryptoKey", Answer: change(func(*kmspb.CryptoKey) { cancel() })})()
	if err := b.GenerateKey(ctx, "ended", hsm.KeyP256); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Goal: a key whose making was answered but not heard, or not rightly, is ours; one of somebody else is not. Method: lose the answer;
// damage it; then let somebody else take the name meanwhile.
func TestLostAnswer(t *testing.T) {
	b := newBed(t)
	lost := status.Error(codes.Unavailable, "connection reset")
	b.server.Inject(parts.Fault{Method: "CreateCryptoKey", Times: 1, Lost: lost})
	if err := b.GenerateKey(b.ctx, "lost", hsm.KeyP256); err != nil {
		t.Errorf("our own key: %v", err)
	}
	if _, err := b.Sign(b.ctx, "lost", nil); err != nil {
		t.Error(err)
	}
	before := b.server.Calls("CreateCryptoKey")
	heal := b.server.Inject(parts.Fault{Method: "CreateCryptoKey", Answer: change(func(m *kmspb.CryptoKey) { m.Name += "x" })})
	if err := b.GenerateKey(b.ctx, "damaged", hsm.KeyP256); err != nil {
		t.Error(err)
	}
	if n := b.server.Calls("CreateCryptoKey") - before; n != 2 {
		t.Errorf("%d attempts, want 2: damaged, taken by us", n)
	}
	heal()
	b.make(t, "theirs", kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256, kmspb.CryptoKey_ASYMMETRIC_SIGN, kmspb.ProtectionLevel_HSM)
	b.server.Inject(parts.Fault{Method: "CreateCryptoKey", Times: 1, Err: lost})
	if err := b.GenerateKey(b.ctx, "theirs", hsm.KeyP256); !errors.Is(err, hsm.ErrKeyExists) {
		t.Errorf("somebody else's key: %v", err)
	}
}

// Goal: algorithms and purposes that are none of ours are ErrKeyType, and listed without a type. Method: make such keys.
func TestForeignKeys(t *testing.T) {
	b := newBed(t)
	b.make(t, "rsa2048", kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256, kmspb.CryptoKey_ASYMMETRIC_SIGN, kmspb.ProtectionLevel_HSM)
	if _, err := b.Sign(b.ctx, "rsa2048", nil); !errors.Is(err, hsm.ErrKeyType) || !says(err, "RSA_SIGN_PSS_2048_SHA256") {
		t.Errorf("got %v", err)
	}
	keys, err := b.Keys(b.ctx)
	if err != nil || !slices.ContainsFunc(keys, func(k hsm.KeyInfo) bool { return k.ID == "rsa2048" && k.Type == "" }) {
		t.Errorf("%+v, %v", keys, err)
	}
	for _, id := range []string{"k" + versionsPart + "1", b.versionName("k", "1")} {
		if err := b.GenerateKey(b.ctx, id, hsm.KeyP256); !errors.Is(err, hsm.ErrUnsupported) {
			t.Errorf("a key with a version: %v", err)
		}
	}
}

// Goal: long lists are read to the end. Method: more keys than the server gives in a page.
func TestManyKeys(t *testing.T) {
	b := newBed(t)
	const n = 40
	for i := range n {
		b.make(t, fmt.Sprintf("k%d", i), kmspb.CryptoKeyVersion_EC_SIGN_ED25519, kmspb.CryptoKey_ASYMMETRIC_SIGN, kmspb.ProtectionLevel_SOFTWARE)
	}
	keys, err := b.Keys(b.ctx)
	if err != nil || len(keys) != n+4 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if v, err := b.Random(b.ctx, 5000); err != nil || len(v) != 5000 {
		t.Errorf("%d random bytes, %v", len(v), err)
	}
	for _, n := range []int{1, 7, 1025, 1031} {
		if v, err := b.Random(b.ctx, n); err != nil || len(v) != n {
			t.Errorf("%d random bytes, want %d, %v", len(v), n, err)
		}
	}
	if _, err := b.Random(b.ctx, randomMax+1); err == nil {
		t.Error("too many random bytes")
	}
}
