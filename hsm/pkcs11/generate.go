package pkcs11

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// generateTries bounds how often a generation is repeated that failed for no reason: SoftHSM does so now and then.
const generateTries = 3

// GenerateKey makes a persistent, sensitive, non-extractable key with the label keyID and a random CKA_ID. It checks what the
// token made, and removes what is half made or can be read out. Errors: ErrKeyExists, ErrUnsupported, ErrUnavailable.
func (t *token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	id, err := t.keyID(keyID)
	if err != nil {
		return err
	}
	g := generation{label: id, pair: make([]byte, 16), kind: kind}
	_, _ = rand.Read(g.pair)
	_, err = job[struct{}]{
		f:     func(s *session) (struct{}, error) { return struct{}{}, s.generate(g) },
		admin: true,
	}.do(ctx, t)
	return err
}

// generation is one key to be made. The pair (CKA_ID) is ours alone, so what bears it was made by us.
type generation struct {
	label string
	pair  []byte
	kind  hsm.KeyType
}

var classes = []uint{p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY, p11.CKO_SECRET_KEY}

func (s *session) generate(g generation) error {
	recipes, err := g.recipes()
	if err != nil {
		return err
	}
	for try, next := 1, 0; ; try++ {
		if err := s.makeRoom(g); err != nil {
			return err
		}
		err := recipes[next](s)
		switch {
		case err == nil:
			return s.proveSafe(g)
		case rv(err) == p11.CKR_GENERAL_ERROR, rv(err) == p11.CKR_TEMPLATE_INCONSISTENT, rv(err) == p11.CKR_FUNCTION_FAILED:
			if try >= generateTries {
				return errors.Join(explain(fmt.Sprintf("generate %s key %q", g.kind, g.label), err), s.sweep(g))
			}
		case next+1 < len(recipes) && !lost(err):
			next++ // the other way to write the curve
		default:
			return errors.Join(explain(fmt.Sprintf("generate %s key %q", g.kind, g.label), err), s.sweep(g))
		}
	}
}

// makeRoom removes what an earlier try left, and refuses if the label belongs to anything else.
func (s *session) makeRoom(g generation) error {
	if err := s.sweep(g); err != nil {
		return err
	}
	for _, class := range classes {
		found, err := s.find(g.label, class, nil)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("pkcs11: %w: %q in %s; choose another key ID", hsm.ErrKeyExists, g.label, s.tok.name())
		}
	}
	return nil
}

// sweep removes every object of this generation.
func (s *session) sweep(g generation) error {
	for _, class := range classes {
		found, err := s.find("", class, g.pair)
		if err != nil {
			return err
		}
		for _, o := range found {
			if err := s.lib.DestroyObject(s.handle, o); err != nil {
				return explain(fmt.Sprintf("remove the half-made key %q", g.label), err)
			}
		}
	}
	return nil
}

// recipes are the ways to ask for the key, best first.
func (g generation) recipes() ([]func(*session) error, error) {
	switch g.kind {
	case hsm.KeyAESWrap:
		return []func(*session) error{g.secret}, nil
	case hsm.KeyP256:
		return []func(*session) error{g.curve(p11.CKM_EC_KEY_PAIR_GEN, paramsP256)}, nil
	case hsm.KeySecp256k1:
		return []func(*session) error{g.curve(p11.CKM_EC_KEY_PAIR_GEN, paramsSecp256k1)}, nil
	case hsm.KeyEd25519:
		return []func(*session) error{g.curve(ckmEdwardsKeyGen, paramsEd25519), g.curve(ckmEdwardsKeyGen, paramsEd25519Name)}, nil
	}
	return nil, fmt.Errorf("pkcs11: %w: key type %q", hsm.ErrUnsupported, g.kind)
}

// named are the attributes of every object.
func (g generation) named(more ...*p11.Attribute) []*p11.Attribute {
	return append([]*p11.Attribute{
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_LABEL, g.label),
		p11.NewAttribute(p11.CKA_ID, g.pair),
	}, more...)
}

// guarded are the attributes of a key that stays in the token.
func (g generation) guarded(more ...*p11.Attribute) []*p11.Attribute {
	return append(g.named(
		p11.NewAttribute(p11.CKA_PRIVATE, true),
		p11.NewAttribute(p11.CKA_SENSITIVE, true),
		p11.NewAttribute(p11.CKA_EXTRACTABLE, false),
	), more...)
}

func (g generation) curve(mechanism uint, params []byte) func(*session) error {
	public := g.named(p11.NewAttribute(p11.CKA_VERIFY, true), p11.NewAttribute(p11.CKA_EC_PARAMS, params))
	private := g.guarded(p11.NewAttribute(p11.CKA_SIGN, true))
	return func(s *session) error {
		_, _, err := s.lib.GenerateKeyPair(s.handle, []*p11.Mechanism{p11.NewMechanism(mechanism, nil)}, public, private)
		return err
	}
}

// secret makes a key that encrypts and decrypts but never wraps or unwraps key objects: a key that may do both gives away what
// it wraps (Clulow, "On the security of PKCS#11", CHES 2003, §3.2).
func (g generation) secret(s *session) error {
	_, err := s.lib.GenerateKey(s.handle, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, g.guarded(
		p11.NewAttribute(p11.CKA_VALUE_LEN, 32),
		p11.NewAttribute(p11.CKA_ENCRYPT, true),
		p11.NewAttribute(p11.CKA_DECRYPT, true),
		p11.NewAttribute(p11.CKA_WRAP, false),
		p11.NewAttribute(p11.CKA_UNWRAP, false),
	))
	return err
}

// proveSafe reads back what the token made. A token that ignores what was asked loses the key again.
func (s *session) proveSafe(g generation) error {
	class := uint(p11.CKO_PRIVATE_KEY)
	if g.kind == hsm.KeyAESWrap {
		class = p11.CKO_SECRET_KEY
	}
	made, err := s.find(g.label, class, g.pair)
	if err != nil {
		return err
	}
	if len(made) == 1 && s.safe(made[0]) {
		if kind, err := s.kind(made[0]); err == nil && kind == g.kind {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("pkcs11: %w: %s made a key %q that is not the sensitive, non-extractable one asked for", hsm.ErrUnsupported, s.tok.name(), g.label), s.sweep(g))
}
