package pkcs11

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// generateTries bounds how often making a key is repeated where it failed for no reason: SoftHSM does so now and then.
const generateTries = 3

// GenerateKey makes a persistent, sensitive, non-extractable key with the label keyID and a random CKA_ID. It checks what the
// token made, and removes what is half made or can be read out. Errors: ErrKeyExists, ErrUnsupported, ErrUnavailable.
func (t *token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	id, err := t.keyID(keyID)
	if err != nil {
		return err
	}
	if _, cka, err := hsm.ParsePKCS11KeyID(id); err != nil || cka != nil {
		return fmt.Errorf("pkcs11: %w: a key is made with a label, not with id=", hsm.ErrNoKey)
	}
	n := newKey{label: id, pair: make([]byte, 16), kind: kind}
	_, _ = rand.Read(n.pair)
	if kind == hsm.KeyAESWrap {
		copy(n.pair, wrapMark)
	}
	_, err = job[struct{}]{
		f:     func(s *session) (struct{}, error) { return struct{}{}, s.generate(n) },
		admin: true,
	}.do(ctx, t)
	return err
}

// newKey is one key to be made. The pair (CKA_ID) is ours alone, so what bears it was made by us.
type newKey struct {
	label string
	pair  []byte
	kind  hsm.KeyType
}

var classes = []uint{p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY, p11.CKO_SECRET_KEY}

func (s *session) generate(n newKey) error {
	recipes, err := s.recipes(n)
	if err != nil {
		return err
	}
	for _, r := range recipes {
		if err = s.follow(n, r); !errors.Is(err, hsm.ErrUnsupported) {
			break
		}
	}
	return err
}

// follow makes the key by one recipe, proves that it is safe and that it works, and otherwise leaves nothing.
func (s *session) follow(n newKey, r recipe) error {
	for try := 1; ; try++ {
		if err := s.makeRoom(n); err != nil {
			return err
		}
		err := r(s)
		switch {
		case err == nil:
			return s.prove(n)
		case try < generateTries && (rv(err) == p11.CKR_GENERAL_ERROR || rv(err) == p11.CKR_TEMPLATE_INCONSISTENT ||
			rv(err) == p11.CKR_FUNCTION_FAILED):
		default:
			return errors.Join(explain(fmt.Sprintf("generate %s key %q", n.kind, n.label), err), s.sweep(n))
		}
	}
}

// makeRoom removes what an earlier try left, and refuses if the label belongs to anything else.
func (s *session) makeRoom(n newKey) error {
	if err := s.sweep(n); err != nil {
		return err
	}
	for _, class := range classes {
		found, err := s.find(n.label, class, nil)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("pkcs11: %w: %q in %s; choose another key ID", hsm.ErrKeyExists, n.label, s.tok.name())
		}
	}
	return nil
}

// sweep removes every object of this key.
func (s *session) sweep(n newKey) error {
	for _, class := range classes {
		found, err := s.find("", class, n.pair)
		if err != nil {
			return err
		}
		for _, o := range found {
			if err := s.lib.DestroyObject(s.handle, o); err != nil {
				return explain(fmt.Sprintf("remove the half-made key %q", n.label), err)
			}
		}
	}
	return nil
}

// recipe is a way to ask for a key; its errors are the library's.
type recipe func(*session) error

// recipes are the ways that the token lists mechanisms for, best first. ErrUnsupported if there is none.
func (s *session) recipes(n newKey) ([]recipe, error) {
	var all []recipe
	var lacking error
	add := func(mechanism, use uint, name string, then bool, makes ...recipe) error {
		err := s.need(mechanism, use, name)
		if err == nil && !then {
			err = fmt.Errorf("pkcs11: %w: %s has no mechanism that wraps with a key of %s", hsm.ErrUnsupported, s.tok.name(), name)
		}
		if errors.Is(err, hsm.ErrUnsupported) {
			lacking = errors.Join(lacking, err)
			return nil
		}
		all = append(all, makes...)
		return err
	}
	const ec, edwards, rsa, aes = "EC key pair generation", "Edwards key pair generation", "RSA key pair generation", "AES key generation"
	var err error
	switch n.kind {
	case hsm.KeyP256:
		err = add(p11.CKM_EC_KEY_PAIR_GEN, p11.CKF_GENERATE_KEY_PAIR, ec, true, n.curve(p11.CKM_EC_KEY_PAIR_GEN, paramsP256, p11.CKA_SIGN))
	case hsm.KeySecp256k1:
		err = add(p11.CKM_EC_KEY_PAIR_GEN, p11.CKF_GENERATE_KEY_PAIR, ec, true, n.curve(p11.CKM_EC_KEY_PAIR_GEN, paramsSecp256k1, p11.CKA_SIGN))
	case hsm.KeyEd25519:
		err = add(ckmEdwardsKeyGen, p11.CKF_GENERATE_KEY_PAIR, edwards, true,
			n.curve(ckmEdwardsKeyGen, paramsEd25519, p11.CKA_SIGN), n.curve(ckmEdwardsKeyGen, paramsEd25519Name, p11.CKA_SIGN))
	case hsm.KeyRSA3072:
		err = add(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, p11.CKF_GENERATE_KEY_PAIR, rsa, true, n.rsa)
	case hsm.KeyAESWrap:
		var can [wrapRSA + 1]bool
		for m := wrapGCM; m <= wrapRSA && err == nil; m++ {
			can[m], err = s.offersMethod(m)
		}
		if err == nil {
			err = add(p11.CKM_AES_KEY_GEN, p11.CKF_GENERATE, aes, can[wrapGCM] || can[wrapAES], n.secret)
		}
		if err == nil {
			err = add(p11.CKM_EC_KEY_PAIR_GEN, p11.CKF_GENERATE_KEY_PAIR, ec, can[wrapECDH],
				n.curve(p11.CKM_EC_KEY_PAIR_GEN, paramsP256, p11.CKA_DERIVE))
		}
		if err == nil {
			err = add(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, p11.CKF_GENERATE_KEY_PAIR, rsa, can[wrapRSA], n.rsa)
		}
	default:
		err = fmt.Errorf("pkcs11: %w: key type %q", hsm.ErrUnsupported, n.kind)
	}
	if err == nil && len(all) == 0 {
		err = lacking
	}
	return all, err
}

// named are the attributes of every object.
func (n newKey) named(more ...*p11.Attribute) []*p11.Attribute {
	return append([]*p11.Attribute{
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_LABEL, n.label),
		p11.NewAttribute(p11.CKA_ID, n.pair),
	}, more...)
}

// guarded are the attributes of a key that stays in the token.
func (n newKey) guarded(more ...*p11.Attribute) []*p11.Attribute {
	return append(n.named(
		p11.NewAttribute(p11.CKA_PRIVATE, true),
		p11.NewAttribute(p11.CKA_SENSITIVE, true),
		p11.NewAttribute(p11.CKA_EXTRACTABLE, false),
	), more...)
}

// curve asks for a pair on a curve whose private half has one right: to sign or to derive.
func (n newKey) curve(mechanism uint, params []byte, right uint) recipe {
	public := n.named(p11.NewAttribute(p11.CKA_EC_PARAMS, params))
	if right == p11.CKA_SIGN {
		public = append(public, p11.NewAttribute(p11.CKA_VERIFY, true))
	}
	private := n.guarded(p11.NewAttribute(p11.CKA_SIGN, right == p11.CKA_SIGN), p11.NewAttribute(p11.CKA_DERIVE, right == p11.CKA_DERIVE))
	return pairOf(mechanism, public, private)
}

func (n newKey) rsa(s *session) error {
	return pairOf(p11.CKM_RSA_PKCS_KEY_PAIR_GEN,
		n.named(p11.NewAttribute(p11.CKA_VERIFY, true), p11.NewAttribute(p11.CKA_MODULUS_BITS, rsaBits),
			p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})),
		n.guarded(p11.NewAttribute(p11.CKA_SIGN, true)))(s)
}

func pairOf(mechanism uint, public, private []*p11.Attribute) recipe {
	return func(s *session) error {
		_, _, err := s.lib.GenerateKeyPair(s.handle, []*p11.Mechanism{p11.NewMechanism(mechanism, nil)}, public, private)
		return err
	}
}

// secret makes a key that encrypts and decrypts but never wraps or unwraps key objects: a key that may do both gives away what
// it wraps (Clulow, "On the security of PKCS#11", CHES 2003, §3.2).
func (n newKey) secret(s *session) error {
	_, err := s.lib.GenerateKey(s.handle, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, n.guarded(
		p11.NewAttribute(p11.CKA_VALUE_LEN, 32),
		p11.NewAttribute(p11.CKA_ENCRYPT, true),
		p11.NewAttribute(p11.CKA_DECRYPT, true),
		p11.NewAttribute(p11.CKA_WRAP, false),
		p11.NewAttribute(p11.CKA_UNWRAP, false),
	))
	return err
}

// prove reads back what the token made, and tries it. A token that ignores what was asked, or cannot use the key, loses it again.
func (s *session) prove(n newKey) error {
	err := s.proveSafe(n)
	if err == nil {
		err = s.try(n)
	}
	switch {
	case err == nil:
		return nil
	case lost(err):
		return err // nothing can be removed now, and the key is made again after a reconnection
	}
	if again := s.renew(); again != nil {
		return errors.Join(err, again)
	}
	return errors.Join(err, s.sweep(n))
}

func (s *session) proveSafe(n newKey) error {
	for _, class := range []uint{p11.CKO_PRIVATE_KEY, p11.CKO_SECRET_KEY} {
		made, err := s.find(n.label, class, n.pair)
		if err != nil {
			return err
		}
		if len(made) == 1 && class == p11.CKO_PRIVATE_KEY {
			if err := s.restrict(made[0]); err != nil {
				return err
			}
		}
		if len(made) == 1 && s.safe(made[0]) {
			if kind, err := s.kind(made[0]); err == nil && kind == n.kind {
				return nil
			}
		}
	}
	return fmt.Errorf("pkcs11: %w: %s made a key %q that is not the sensitive, non-extractable one asked for",
		hsm.ErrUnsupported, s.tok.name(), n.label)
}

// restrict takes rights away from a private key that nobody asked for: SoftHSM gives them all, and tpm2-pkcs11 refuses a template that
// denies them. A token that lets nothing be changed keeps them, and evidence shows it.
func (s *session) restrict(o p11.ObjectHandle) error {
	for _, right := range []uint{p11.CKA_DECRYPT, p11.CKA_UNWRAP, p11.CKA_SIGN_RECOVER} {
		if !s.flag(o, right) {
			continue
		}
		if err := s.lib.SetAttributeValue(s.handle, o, []*p11.Attribute{p11.NewAttribute(right, false)}); lost(err) {
			return explain("restrict the new key", err)
		}
	}
	return nil
}

// try signs, or seals and opens, with the new key.
func (s *session) try(n newKey) error {
	if n.kind == hsm.KeyAESWrap {
		_, err := s.wrappingKey(n.label)
		return err
	}
	k, err := s.signingKey(n.label)
	if err != nil {
		return err
	}
	message := []byte("mpcd/v1/hsm/trial")
	digest := sha256.Sum256(message)
	_, err = s.sign(n.label, k, digest[:], message)
	return err
}
