package gcpkms

import (
	"context"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/luxfi/mpcd/hsm"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

// bed is a server with a token and a key of every kind.
type bed struct {
	*Token
	server *parts.Server
	ctx    context.Context
}

// macKey is what special makes.
const macKey = "mac"

func newBed(t testing.TB) *bed {
	t.Helper()
	s := start(t)
	b := &bed{openAt(t, s, brisk), s, t.Context()}
	for _, kt := range []hsm.KeyType{hsm.KeyEd25519, hsm.KeyP256, hsm.KeySecp256k1, hsm.KeyAESWrap} {
		if err := b.GenerateKey(b.ctx, string(kt), kt); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// make makes a key that GenerateKey does not make, in hardware.
func (b *bed) make(t testing.TB, id string, alg algorithm, purpose kmspb.CryptoKey_CryptoKeyPurpose, lvl level) {
	t.Helper()
	_, err := b.client.CreateCryptoKey(b.ctx, &kmspb.CreateCryptoKeyRequest{Parent: parts.KeyRing, CryptoKeyId: id,
		CryptoKey: &kmspb.CryptoKey{
			Purpose: purpose, VersionTemplate: &kmspb.CryptoKeyVersionTemplate{ProtectionLevel: lvl, Algorithm: alg},
		}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.versions(b.ctx, b.name(id)); err != nil { // who looks makes it ready
		t.Fatal(err)
	}
}

// special makes a MAC key.
func (b *bed) special(t testing.TB) {
	t.Helper()
	b.make(t, macKey, kmspb.CryptoKeyVersion_HMAC_SHA256, kmspb.CryptoKey_MAC, kmspb.ProtectionLevel_HSM)
}

func (b *bed) name(id string) string { return parts.KeyRing + keysPart + id }

func (b *bed) versionName(id, n string) string { return b.name(id) + versionsPart + n }

// addVersion makes another version of a key.
func (b *bed) addVersion(t testing.TB, id string) {
	t.Helper()
	if _, err := b.client.CreateCryptoKeyVersion(b.ctx, &kmspb.CreateCryptoKeyVersionRequest{Parent: b.name(id)}); err != nil {
		t.Fatal(err)
	}
}

func (b *bed) setState(t testing.TB, id, n string, state kmspb.CryptoKeyVersion_CryptoKeyVersionState) {
	t.Helper()
	var err error
	if state == kmspb.CryptoKeyVersion_DESTROY_SCHEDULED {
		_, err = b.client.DestroyCryptoKeyVersion(b.ctx, &kmspb.DestroyCryptoKeyVersionRequest{Name: b.versionName(id, n)})
	} else {
		_, err = b.client.UpdateCryptoKeyVersion(b.ctx, &kmspb.UpdateCryptoKeyVersionRequest{
			CryptoKeyVersion: &kmspb.CryptoKeyVersion{Name: b.versionName(id, n), State: state},
			UpdateMask:       &fieldmaskpb.FieldMask{Paths: []string{"state"}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fresh is another token on the same server, which remembers nothing.
func (b *bed) fresh(t testing.TB) *Token {
	t.Helper()
	return openAt(t, b.server, brisk)
}

// change makes a function on proto.Message of one on its type.
func change[M proto.Message](f func(M)) func(proto.Message) {
	return func(m proto.Message) { f(m.(M)) }
}

// says tells whether an error has all the words.
func says(err error, words ...string) bool {
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			return false
		}
	}
	return true
}

// within is a context that ends a hanging test.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
