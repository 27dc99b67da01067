package api

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySet are the keys that an issuer published, and when they were fetched.
type keySet struct {
	of map[string]*issuerKey // by kid
	at time.Time
}

// issuerKey is a key with the one algorithm that it verifies.
type issuerKey struct {
	kid, alg string
	key      any
	der      []byte // SubjectPublicKeyInfo
}

// same tells whether the other is this key under this name.
func (k *issuerKey) same(other *issuerKey) bool {
	return other != nil && k.kid == other.kid && bytes.Equal(k.der, other.der)
}

// parseKeySet reads a JWK Set (RFC 7517). What is no public key that signs tokens by one of the algorithms of NewJWT, or has no kid, is
// passed over, as §5 has it; a kid that two keys have makes the set useless, for nobody can tell which is meant.
func parseKeySet(set map[string]any) (map[string]*issuerKey, error) {
	list, ok := set["keys"].([]any)
	if !ok {
		return nil, errors.New("it is no JWK Set: it has no list of keys")
	}
	out := map[string]*issuerKey{}
	var why error
	for _, entry := range list {
		k, err := parseKey(entry)
		if err != nil {
			why = err
			continue
		}
		if out[k.kid] != nil {
			return nil, fmt.Errorf("two keys have the kid %q", clip(k.kid))
		}
		out[k.kid] = k
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of %d keys can verify tokens here (the last: %w)", len(list), why)
	}
	return out, nil
}

// parseKey reads one key.
func parseKey(entry any) (*issuerKey, error) {
	object, ok := entry.(map[string]any)
	if !ok {
		return nil, errors.New("it is no object")
	}
	if use, stated := object["use"]; stated && use != "sig" {
		return nil, errors.New("it is not for signatures")
	}
	if ops, stated := object["key_ops"]; stated {
		if list, _ := ops.([]any); !slices.Contains(list, any("verify")) {
			return nil, errors.New("it is not for verifying")
		}
	}
	b, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(b); err != nil {
		return nil, err
	}
	k := &issuerKey{kid: jwk.KeyID}
	if k.der, err = x509.MarshalPKIXPublicKey(jwk.Key); err != nil { // of what is secret, too
		return nil, err
	}
	if k.alg, k.key, err = publicKey(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der}); err != nil {
		return nil, err
	}
	switch {
	case k.kid == "":
		return nil, errors.New("it has no kid")
	case jwk.Algorithm != "" && jwk.Algorithm != k.alg:
		return nil, fmt.Errorf("it is for %s, and verifies %s", clip(jwk.Algorithm), k.alg)
	}
	return k, nil
}
