package pkcs11

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"github.com/luxfi/mpcd/hsm"
)

// nonceMax is the longest nonce of an appraiser, in bytes (hsm.KeyEvidence).
const nonceMax = 32

// Attributes are what the token reports of a key, for KeyEvidence.Extra["attributes"] in JSON. An attribute that the token does not
// report is missing, which is neither true nor false.
type Attributes struct {
	Sensitive        *bool `json:"CKA_SENSITIVE,omitempty"`
	AlwaysSensitive  *bool `json:"CKA_ALWAYS_SENSITIVE,omitempty"`
	Extractable      *bool `json:"CKA_EXTRACTABLE,omitempty"`
	NeverExtractable *bool `json:"CKA_NEVER_EXTRACTABLE,omitempty"`
	Local            *bool `json:"CKA_LOCAL,omitempty"`
	Private          *bool `json:"CKA_PRIVATE,omitempty"`
	Sign             *bool `json:"CKA_SIGN,omitempty"`
	Decrypt          *bool `json:"CKA_DECRYPT,omitempty"`
	Derive           *bool `json:"CKA_DERIVE,omitempty"`
	Unwrap           *bool `json:"CKA_UNWRAP,omitempty"`
	// KeyGenMechanism is the number of the mechanism that made the key (CKM_EC_KEY_PAIR_GEN is 0x1040).
	KeyGenMechanism *uint `json:"CKA_KEY_GEN_MECHANISM,omitempty"`
}

// AttestKey reports the attributes of a signing key: hsm.EvidencePKCS11. PKCS#11 has no signed evidence, so it is the module's word
// and no more; the nonce is only repeated.
func (t *token) AttestKey(ctx context.Context, keyID string, nonce []byte) (hsm.KeyEvidence, error) {
	if len(nonce) > nonceMax {
		return hsm.KeyEvidence{}, fmt.Errorf("pkcs11: evidence: nonce of %d bytes, at most %d", len(nonce), nonceMax)
	}
	id, err := t.keyID(keyID)
	if err != nil {
		return hsm.KeyEvidence{}, err
	}
	owned := bytes.Clone(nonce)
	return run(ctx, t, func(s *session) (hsm.KeyEvidence, error) { return s.evidence(id, owned) })
}

func (s *session) evidence(id string, nonce []byte) (hsm.KeyEvidence, error) {
	var none hsm.KeyEvidence
	k, err := s.key(id, p11.CKO_PRIVATE_KEY)
	if err != nil {
		return none, err
	}
	info, err := s.tok.mod.tokenInfo(s.link.slot)
	if err != nil {
		return none, explain("ask "+s.tok.name(), err)
	}
	a, err := s.attributes(k.handle)
	if err != nil {
		return none, explain(fmt.Sprintf("read key %q", id), err)
	}
	report, err := json.Marshal(a)
	if err != nil {
		return none, err
	}
	public, err := hsm.MarshalPublicKey(k.public)
	if err != nil {
		return none, err
	}
	return hsm.KeyEvidence{
		Format:    hsm.EvidencePKCS11,
		Key:       keyInfo(id, k.kind, a),
		Token:     describe(info),
		PublicKey: public,
		Nonce:     nonce,
		Extra:     map[string][]byte{"attributes": report},
	}, nil
}

// keyInfo sums up the attributes. What the token does not report is the worse of the two.
func keyInfo(id string, kind hsm.KeyType, a Attributes) hsm.KeyInfo {
	is := func(b *bool) bool { return b != nil && *b }
	return hsm.KeyInfo{
		ID:             id,
		Type:           kind,
		Sensitive:      is(a.Sensitive),
		Extractable:    a.Extractable == nil || *a.Extractable,
		Local:          is(a.Local),
		NeverExtracted: is(a.NeverExtractable),
	}
}

// attributes asks for each by itself: a token that lacks one refuses a list as a whole. The error is a token that was lost.
func (s *session) attributes(o p11.ObjectHandle) (Attributes, error) {
	var a Attributes
	for name, into := range map[uint]**bool{
		p11.CKA_SENSITIVE: &a.Sensitive, p11.CKA_ALWAYS_SENSITIVE: &a.AlwaysSensitive, p11.CKA_EXTRACTABLE: &a.Extractable,
		p11.CKA_NEVER_EXTRACTABLE: &a.NeverExtractable, p11.CKA_LOCAL: &a.Local, p11.CKA_PRIVATE: &a.Private,
		p11.CKA_SIGN: &a.Sign, p11.CKA_DECRYPT: &a.Decrypt, p11.CKA_DERIVE: &a.Derive, p11.CKA_UNWRAP: &a.Unwrap,
	} {
		b, err := s.attribute(o, name)
		if lost(err) || stale(err) {
			return a, err
		}
		if err == nil && len(b) == 1 && b[0] <= 1 {
			v := b[0] == 1
			*into = &v
		}
	}
	n, err := s.number(o, p11.CKA_KEY_GEN_MECHANISM)
	if lost(err) || stale(err) {
		return a, err
	}
	if err == nil && uint64(n) != uint64(^uint(0)) { // CK_UNAVAILABLE_INFORMATION: the key was not made in the token
		a.KeyGenMechanism = &n
	}
	return a, nil
}
