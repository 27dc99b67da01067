package plugin

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"maps"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// Limits of what a driver may answer.
const (
	keysMax      = 10_000
	wrappedMax   = 64 << 10 // bytes
	signatureMax = 16 << 10 // bytes; ML-DSA-87 has 4,627
	publicMax    = 8 << 10  // bytes
	evidenceMax  = 32       // certificates, and extra parts
)

// abilities are the names of the interfaces on the wire.
var abilities = []struct {
	name wire.Ability
	has  func(hsm.Token) bool
}{
	{wire.Ability_ABILITY_PUBLIC_KEY, has[hsm.PublicKeyer]},
	{wire.Ability_ABILITY_WRAP, has[hsm.KeyWrapper]},
	{wire.Ability_ABILITY_GENERATE, has[hsm.KeyGenerator]},
	{wire.Ability_ABILITY_LIST, has[hsm.KeyLister]},
	{wire.Ability_ABILITY_RANDOM, has[hsm.RandomSource]},
	{wire.Ability_ABILITY_COUNTER, has[hsm.MonotonicCounter]},
	{wire.Ability_ABILITY_EVIDENCE, has[hsm.KeyAttester]},
	{wire.Ability_ABILITY_WRAP_METHOD, has[methodTeller]},
}

// methodTeller is a driver that tells how it wraps: hsmtest.WrapMethod.
type methodTeller interface {
	WrapMethod(ctx context.Context, keyID string) (string, error)
}

func has[T any](t hsm.Token) bool {
	_, ok := hsm.As[T](t)
	return ok
}

func packInfo(i hsm.TokenInfo) *wire.TokenInfo {
	return &wire.TokenInfo{Provider: i.Provider, Label: i.Label, Manufacturer: i.Manufacturer, Model: i.Model, Serial: i.Serial,
		Firmware: i.Firmware, SoftwareOnly: i.SoftwareOnly, PinTriesLow: i.PINTriesLow, PinTries: i.PINTries, MaxSessions: i.MaxSessions,
		OpenSessions: i.OpenSessions}
}

func openInfo(i *wire.TokenInfo) hsm.TokenInfo {
	name := func(s string) string { return clean(s, nameMax) }
	return hsm.TokenInfo{Provider: name(i.GetProvider()), Label: name(i.GetLabel()), Manufacturer: name(i.GetManufacturer()),
		Model: name(i.GetModel()), Serial: name(i.GetSerial()), Firmware: name(i.GetFirmware()), SoftwareOnly: i.GetSoftwareOnly(),
		PINTriesLow: i.GetPinTriesLow(),
		PINTries:    name(i.GetPinTries()), MaxSessions: i.GetMaxSessions(), OpenSessions: i.GetOpenSessions()}
}

func packKey(k hsm.KeyInfo) *wire.KeyInfo {
	return &wire.KeyInfo{Id: k.ID, Type: string(k.Type), Sensitive: k.Sensitive, Extractable: k.Extractable, Local: k.Local,
		NeverExtracted: k.NeverExtracted}
}

func openKey(k *wire.KeyInfo) hsm.KeyInfo {
	return hsm.KeyInfo{ID: clean(k.GetId(), nameMax), Type: hsm.KeyType(clean(k.GetType(), nameMax)), Sensitive: k.GetSensitive(),
		Extractable: k.GetExtractable(), Local: k.GetLocal(), NeverExtracted: k.GetNeverExtracted()}
}

// packPublic writes a public key as package wire wants it.
func packPublic(pub crypto.PublicKey) (*wire.PublicKey, error) {
	if k, ok := pub.(hsm.Secp256k1PublicKey); ok {
		return &wire.PublicKey{Secp256K1: true, Key: []byte(k)}, nil
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("hsm plugin: %w: %w", hsm.ErrKeyType, err)
	}
	return &wire.PublicKey{Key: der}, nil
}

// openPublic reads a public key. That it is a point of its curve, hsm.Verify asks for secp256k1 and x509 for all others.
func openPublic(p *wire.PublicKey) (crypto.PublicKey, error) {
	if n := len(p.GetKey()); n == 0 || n > publicMax {
		return nil, fmt.Errorf("hsm plugin: %w: public key of %d bytes", hsm.ErrKeyType, n)
	}
	if p.GetSecp256K1() {
		pub := hsm.Secp256k1PublicKey(p.GetKey())
		if _, err := hsm.Verify(pub, nil, nil); err != nil {
			return nil, err
		}
		return pub, nil
	}
	pub, err := x509.ParsePKIXPublicKey(p.GetKey())
	if err != nil {
		return nil, fmt.Errorf("hsm plugin: %w: public key: %w", hsm.ErrKeyType, err)
	}
	return pub, nil
}

func packEvidence(e hsm.KeyEvidence) *wire.AttestKeyReply {
	return &wire.AttestKeyReply{Format: e.Format, Key: packKey(e.Key), Token: packInfo(e.Token), PublicKey: e.PublicKey, Nonce: e.Nonce,
		Statement: e.Statement, Signature: e.Signature, Certificates: e.Certificates, Extra: e.Extra}
}

func openEvidence(r *wire.AttestKeyReply) (hsm.KeyEvidence, error) {
	if len(r.GetCertificates()) > evidenceMax || len(r.GetExtra()) > evidenceMax {
		return hsm.KeyEvidence{}, fmt.Errorf("hsm plugin: evidence of %d certificates and %d other parts, at most %d", len(r.GetCertificates()),
			len(r.GetExtra()), evidenceMax)
	}
	return hsm.KeyEvidence{Format: clean(r.GetFormat(), nameMax), Key: openKey(r.GetKey()), Token: openInfo(r.GetToken()),
		PublicKey: r.GetPublicKey(), Nonce: r.GetNonce(), Statement: r.GetStatement(), Signature: r.GetSignature(),
		Certificates: r.GetCertificates(), Extra: maps.Clone(r.GetExtra())}, nil
}
