package gcpkms

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/protobuf/proto"

	"github.com/luxfi/mpcd/hsm"
	parts "github.com/luxfi/mpcd/internal/parts/gcpkms"
)

// op is an operation of a token, done with a token that remembers nothing, so that every call of it is made.
type op func(*Token, context.Context) error

// damageCase is one damage to an answer or a request, and what the error must say.
type damageCase struct {
	name, method string
	do           op
	answer       func(proto.Message)
	request      func(proto.Message)
	says         string
}

func signOp(id string) op {
	return func(k *Token, ctx context.Context) error { _, err := k.Sign(ctx, id, []byte("message")); return err }
}

func flip(b []byte) { b[len(b)/2] ^= 0x10 }

// foreignPEM is a good public key of somebody else.
func foreignPEM(t *testing.T) string {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// damages lists every field that is checked. wrapped is a wrapped secret, mac a MAC of "m".
func damages(t *testing.T, b *bed, wrapped, mac []byte) []damageCase {
	const p256, ed, k1, kek = string(hsm.KeyP256), string(hsm.KeyEd25519), string(hsm.KeySecp256k1), string(hsm.KeyAESWrap)
	wrap := func(k *Token, ctx context.Context) error {
		_, err := k.Wrap(ctx, kek, []byte("dek"), []byte("aad"))
		return err
	}
	unwrap := func(k *Token, ctx context.Context) error {
		_, err := k.Unwrap(ctx, kek, wrapped, []byte("aad"))
		return err
	}
	makeMAC := func(k *Token, ctx context.Context) error { _, err := k.MAC(ctx, macKey, []byte("m")); return err }
	verifyMAC := func(k *Token, ctx context.Context) error {
		ok, err := k.VerifyMAC(ctx, macKey, []byte("m"), mac)
		if ok != (err == nil) {
			t.Errorf("VerifyMAC says %v with error %v", ok, err)
		}
		return err
	}
	random := func(k *Token, ctx context.Context) error { _, err := k.Random(ctx, 16); return err }
	public := func(k *Token, ctx context.Context) error { _, err := k.PublicKey(ctx, p256); return err }
	evidence := func(k *Token, ctx context.Context) error { _, err := k.AttestKey(ctx, p256, nil); return err }
	openRing := func(k *Token, ctx context.Context) error { return k.findRing(ctx) }
	other := b.versionName(k1, "1")
	foreign := foreignPEM(t)

	type (
		sr = *kmspb.AsymmetricSignResponse
		er = *kmspb.EncryptResponse
		dr = *kmspb.DecryptResponse
		mr = *kmspb.MacSignResponse
		vr = *kmspb.MacVerifyResponse
		rr = *kmspb.GenerateRandomBytesResponse
		pr = *kmspb.PublicKey
	)
	cases := []damageCase{
		{"sign: digest not verified", "AsymmetricSign", signOp(p256), change(func(m sr) { m.VerifiedDigestCrc32C = false }), nil,
			"verified_digest_crc32c"},
		{"sign: data not verified", "AsymmetricSign", signOp(ed), change(func(m sr) { m.VerifiedDataCrc32C = false }), nil,
			"verified_data_crc32c"},
		{"sign: the other field verified", "AsymmetricSign", signOp(ed),
			change(func(m sr) { m.VerifiedDataCrc32C, m.VerifiedDigestCrc32C = false, true }), nil, "verified_data_crc32c"},
		{"sign: signature changed", "AsymmetricSign", signOp(p256), change(func(m sr) { flip(m.Signature) }), nil,
			"signature_crc32c does not match"},
		{"sign: checksum changed", "AsymmetricSign", signOp(p256), change(func(m sr) { m.SignatureCrc32C.Value++ }), nil,
			"signature_crc32c does not match"},
		{"sign: checksum of more than 32 bits", "AsymmetricSign", signOp(p256), change(func(m sr) { m.SignatureCrc32C.Value += 1 << 32 }), nil,
			"signature_crc32c does not match"},
		{"sign: no checksum", "AsymmetricSign", signOp(p256), change(func(m sr) { m.SignatureCrc32C = nil }), nil, "signature_crc32c is missing"},
		{"sign: another key's name", "AsymmetricSign", signOp(p256), change(func(m sr) { m.Name = other }), nil, "name is"},
		{"sign: another version's name", "AsymmetricSign", signOp(p256), change(func(m sr) { m.Name = b.versionName(p256, "2") }),
			nil, "name is"},
		{"sign: in software", "AsymmetricSign", signOp(p256), change(func(m sr) { m.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), nil,
			"protection_level"},
		{"sign: not DER", "AsymmetricSign", signOp(p256), change(func(m sr) {
			m.Signature = append(m.Signature, 0)
			m.SignatureCrc32C = crc(m.Signature)
		}), nil, "not DER"},
		{"sign: wrong signature, right checksum, Ed25519", "AsymmetricSign", signOp(ed),
			change(func(m sr) { flip(m.Signature); m.SignatureCrc32C = crc(m.Signature) }), nil, "does not verify"},
		{"sign: wrong signature, right checksum, ECDSA", "AsymmetricSign", signOp(k1),
			change(func(m sr) { m.Signature[len(m.Signature)-1] ^= 1; m.SignatureCrc32C = crc(m.Signature) }), nil, "does not verify"},
		{"public key: text changed", "GetPublicKey", public, change(func(m pr) { m.Pem = foreign }), nil, "pem_crc32c does not match"},
		{"public key: no checksum", "GetPublicKey", public, change(func(m pr) { m.PemCrc32C = nil }), nil, "pem_crc32c is missing"},
		{"public key: another key's name", "GetPublicKey", public, change(func(m pr) { m.Name = other }), nil, "name is"},
		{"public key: another algorithm", "GetPublicKey", public, change(func(m pr) { m.Algorithm = kmspb.CryptoKeyVersion_EC_SIGN_ED25519 }),
			nil, "algorithm is"},
		{"public key: in software", "GetPublicKey", public, change(func(m pr) { m.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), nil,
			"protection_level is"},
		{"public key: of another type, right checksum", "GetPublicKey", public,
			change(func(m pr) { m.Pem = foreign; m.PemCrc32C = crc([]byte(foreign)) }), nil, "not one for"},
		{"public key: not PEM, right checksum", "GetPublicKey", public, change(func(m pr) { m.Pem = "x"; m.PemCrc32C = crc([]byte("x")) }),
			nil, "not PEM"},
		{"wrap: plaintext not verified", "Encrypt", wrap, change(func(m er) { m.VerifiedPlaintextCrc32C = false }), nil,
			"verified_plaintext_crc32c"},
		{"wrap: aad not verified", "Encrypt", wrap, change(func(m er) { m.VerifiedAdditionalAuthenticatedDataCrc32C = false }), nil,
			"verified_additional_authenticated_data_crc32c"},
		{"wrap: ciphertext changed", "Encrypt", wrap, change(func(m er) { flip(m.Ciphertext) }), nil, "ciphertext_crc32c does not match"},
		{"wrap: no checksum", "Encrypt", wrap, change(func(m er) { m.CiphertextCrc32C = nil }), nil, "ciphertext_crc32c is missing"},
		{"wrap: another key's name", "Encrypt", wrap, change(func(m er) { m.Name = other }), nil, "no version of"},
		{"wrap: in software", "Encrypt", wrap, change(func(m er) { m.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), nil,
			"protection_level is"},
		{"wrap: no ciphertext", "Encrypt", wrap, change(func(m er) { m.Ciphertext = nil; m.CiphertextCrc32C = crc(nil) }), nil,
			"ciphertext of 0 bytes"},
		{"unwrap: plaintext changed", "Decrypt", unwrap, change(func(m dr) { flip(m.Plaintext) }), nil, "plaintext_crc32c does not match"},
		{"unwrap: no checksum", "Decrypt", unwrap, change(func(m dr) { m.PlaintextCrc32C = nil }), nil, "plaintext_crc32c is missing"},
		{"MAC: data not verified", "MacSign", makeMAC, change(func(m mr) { m.VerifiedDataCrc32C = false }), nil, "verified_data_crc32c"},
		{"MAC: changed", "MacSign", makeMAC, change(func(m mr) { flip(m.Mac) }), nil, "mac_crc32c does not match"},
		{"MAC: short, right checksum", "MacSign", makeMAC, change(func(m mr) { m.Mac = m.Mac[:31]; m.MacCrc32C = crc(m.Mac) }), nil,
			"a MAC of 31 bytes"},
		{"MAC: no checksum", "MacSign", makeMAC, change(func(m mr) { m.MacCrc32C = nil }), nil, "mac_crc32c is missing"},
		{"MAC: another key's name", "MacSign", makeMAC, change(func(m mr) { m.Name = other }), nil, "name is"},
		{"MAC: in software", "MacSign", makeMAC, change(func(m mr) { m.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), nil,
			"protection_level is"},
		{"MAC verified: data not verified", "MacVerify", verifyMAC, change(func(m vr) { m.VerifiedDataCrc32C = false }), nil,
			"verified_data_crc32c"},
		{"MAC verified: MAC not verified", "MacVerify", verifyMAC, change(func(m vr) { m.VerifiedMacCrc32C = false }), nil,
			"verified_mac_crc32c"},
		{"MAC verified: success flipped", "MacVerify", verifyMAC, change(func(m vr) { m.Success = !m.Success }), nil,
			"verified_success_integrity"},
		{"MAC verified: another key's name", "MacVerify", verifyMAC, change(func(m vr) { m.Name = other }), nil, "name is"},
		{"MAC verified: in software", "MacVerify", verifyMAC, change(func(m vr) { m.ProtectionLevel = kmspb.ProtectionLevel_SOFTWARE }), nil,
			"protection_level is"},
		{"random: changed", "GenerateRandomBytes", random, change(func(m rr) { flip(m.Data) }), nil, "data_crc32c does not match"},
		{"random: no checksum", "GenerateRandomBytes", random, change(func(m rr) { m.DataCrc32C = nil }), nil, "data_crc32c is missing"},
		{"random: short, right checksum", "GenerateRandomBytes", random, change(func(m rr) { m.Data = m.Data[:8]; m.DataCrc32C = crc(m.Data) }),
			nil, "8 random bytes, not 16"},
		{"ring: another name", "GetKeyRing", openRing, change(func(m *kmspb.KeyRing) { m.Name += "x" }), nil, "name is"},
		{"key: another name", "GetCryptoKey", public, change(func(m *kmspb.CryptoKey) { m.Name = b.name(ed) }), nil, "name is"},
		{"version: another name", "GetCryptoKeyVersion", evidence, change(func(m *kmspb.CryptoKeyVersion) { m.Name = other }), nil, "name is"},
		{"versions: of another key", "ListCryptoKeyVersions", public,
			change(func(m *kmspb.ListCryptoKeyVersionsResponse) { m.CryptoKeyVersions[0].Name = other }), nil, "is called"},

		{"sign: digest changed on its way", "AsymmetricSign", signOp(p256), nil,
			change(func(m *kmspb.AsymmetricSignRequest) { flip(m.Digest.GetSha256()) }), "digest_crc32c did not match"},
		{"sign: data changed on its way", "AsymmetricSign", signOp(ed), nil, change(func(m *kmspb.AsymmetricSignRequest) { flip(m.Data) }),
			"data_crc32c did not match"},
		{"sign: checksum lost on its way", "AsymmetricSign", signOp(p256), nil,
			change(func(m *kmspb.AsymmetricSignRequest) { m.DigestCrc32C = nil }), "verified_digest_crc32c"},
		{"wrap: plaintext changed on its way", "Encrypt", wrap, nil, change(func(m *kmspb.EncryptRequest) { flip(m.Plaintext) }),
			"plaintext_crc32c did not match"},
		{"wrap: aad changed on its way", "Encrypt", wrap, nil, change(func(m *kmspb.EncryptRequest) { flip(m.AdditionalAuthenticatedData) }),
			"additional_authenticated_data_crc32c did not match"},
		{"unwrap: ciphertext changed on its way", "Decrypt", unwrap, nil, change(func(m *kmspb.DecryptRequest) { flip(m.Ciphertext) }),
			"ciphertext_crc32c did not match"},
		{"unwrap: aad changed on its way", "Decrypt", unwrap, nil, change(func(m *kmspb.DecryptRequest) { flip(m.AdditionalAuthenticatedData) }),
			"additional_authenticated_data_crc32c did not match"},
		{"MAC: data changed on its way", "MacSign", makeMAC, nil, change(func(m *kmspb.MacSignRequest) { flip(m.Data) }),
			"data_crc32c did not match"},
		{"MAC verified: data changed on its way", "MacVerify", verifyMAC, nil, change(func(m *kmspb.MacVerifyRequest) { flip(m.Data) }),
			"data_crc32c did not match"},
		{"MAC verified: MAC changed on its way", "MacVerify", verifyMAC, nil, change(func(m *kmspb.MacVerifyRequest) { flip(m.Mac) }),
			"mac_crc32c did not match"},
	}
	return cases
}

// Goal: every check of an answer and of the service's word on the request refuses what it is for; nothing damaged is used, and a
// damage that passes is repaired by asking again. Method: change one field at the server, always: after three attempts it is
// ErrUnavailable, in the words of that check, and never ErrIntegrity; then once: it succeeds.
func TestDamage(t *testing.T) {
	b := newBed(t)
	b.special(t)
	wrapped, err := b.Wrap(b.ctx, string(hsm.KeyAESWrap), []byte("dek"), []byte("aad"))
	if err != nil {
		t.Fatal(err)
	}
	mac, err := b.MAC(b.ctx, macKey, []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range damages(t, b, wrapped, mac) {
		t.Run(c.name, func(t *testing.T) {
			tok := b.fresh(t)
			before := b.server.Calls(c.method)
			heal := b.server.Inject(parts.Fault{Method: c.method, Answer: c.answer, Request: c.request})
			err := c.do(tok, b.ctx)
			heal()
			if !errors.Is(err, hsm.ErrUnavailable) || errors.Is(err, hsm.ErrIntegrity) || !says(err, c.says) {
				t.Errorf("got %v, want ErrUnavailable and %q", err, c.says)
			}
			if n := b.server.Calls(c.method) - before; n != brisk.damaged {
				t.Errorf("%d attempts, want %d", n, brisk.damaged)
			}
			tok = b.fresh(t)
			heal = b.server.Inject(parts.Fault{Method: c.method, Times: 1, Answer: c.answer, Request: c.request})
			defer heal()
			if err := c.do(tok, b.ctx); err != nil {
				t.Errorf("one damage is not repaired: %v", err)
			}
		})
	}
}
