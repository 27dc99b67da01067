package api

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// tokenMax is the longest token, in bytes.
	tokenMax = 8 << 10
	// subjectMax is the longest sub, in bytes.
	subjectMax = 128
	// clockSkew is how far the issuer's clock may be off.
	clockSkew = 10 * time.Second
	// rsaBitsMin is the smallest RSA key for RS256.
	rsaBitsMin = 2048
)

// JWT authenticates bearer tokens (RFC 7519, RFC 8725) with public keys that the operator has pinned. Each key verifies the one
// algorithm of its kind, so a token cannot choose how it is checked: Ed25519 → EdDSA, P-256 → ES256, RSA → RS256.
type JWT struct {
	keys   map[string]jwt.VerificationKeySet // by alg
	parser *jwt.Parser
}

// claims are the claims that are read.
type claims struct {
	jwt.RegisteredClaims
	Roles []Role `json:"roles"`
}

// NewJWT takes a PEM file of one or more PUBLIC KEY blocks (SubjectPublicKeyInfo), and the audience that every token must name.
// It fails if there is no key, if one is of another kind or too small, or if the file holds a private key.
func NewJWT(keysPEM []byte, audience string) (*JWT, error) {
	return newJWT(keysPEM, audience, time.Now)
}

func newJWT(keysPEM []byte, audience string, now func() time.Time) (*JWT, error) {
	if audience == "" {
		return nil, errors.New("api: the token audience is empty: set the name that tokens for this cluster carry in aud")
	}
	j := &JWT{keys: map[string]jwt.VerificationKeySet{}}
	n := 0
	for rest := keysPEM; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if strings.TrimSpace(string(rest)) != "" {
				return nil, fmt.Errorf("api: token keys: text that is not PEM after block %d", n)
			}
			break
		}
		alg, key, err := publicKey(block)
		if err != nil {
			return nil, fmt.Errorf("api: token key %d: %w", n+1, err)
		}
		set := j.keys[alg]
		set.Keys = append(set.Keys, key)
		j.keys[alg] = set
	}
	if n == 0 {
		return nil, errors.New("api: token keys: no PUBLIC KEY block: make one with openssl pkey -pubout")
	}
	var algs []string
	for alg := range j.keys {
		algs = append(algs, alg)
	}
	j.parser = jwt.NewParser(jwt.WithValidMethods(algs), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(now), jwt.WithStrictDecoding())
	return j, nil
}

// publicKey returns the key of a block and the only algorithm it may verify.
func publicKey(block *pem.Block) (alg string, key any, err error) {
	if block.Type != "PUBLIC KEY" {
		return "", nil, fmt.Errorf("a %s block: only PUBLIC KEY belongs here", block.Type)
	}
	if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return "", nil, err
	}
	switch k := key.(type) {
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA.Alg(), k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jwt.SigningMethodES256.Alg(), k, nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= rsaBitsMin {
			return jwt.SigningMethodRS256.Alg(), k, nil
		}
	}
	return "", nil, fmt.Errorf("neither Ed25519 nor P-256 nor RSA of at least %d bits", rsaBitsMin)
}

// Authenticate reads the bearer token: aud, exp and sub are required; roles that this build does not know grant nothing.
func (j *JWT) Authenticate(r *http.Request) (Identity, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return Identity{}, errors.New("exactly one Authorization header is needed")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > tokenMax {
		return Identity{}, errors.New("the Authorization header holds no bearer token")
	}
	var c claims
	_, err := j.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		set, ok := j.keys[t.Method.Alg()]
		if !ok {
			return nil, jwt.ErrTokenUnverifiable
		}
		return set, nil
	})
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenMalformed):
		return Identity{}, errors.New("the token is not signed by a key this node trusts")
	case errors.Is(err, jwt.ErrTokenExpired):
		return Identity{}, errors.New("the token has expired")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return Identity{}, errors.New("the token is for another audience")
	case err != nil:
		return Identity{}, errors.New("the token's claims do not hold: exp and aud are required, iat and nbf must have passed")
	}
	if c.Subject == "" || len(c.Subject) > subjectMax || strings.ContainsFunc(c.Subject, func(r rune) bool { return r < '!' || r > '~' }) {
		return Identity{}, fmt.Errorf("the token's sub must have 1 to %d visible ASCII characters", subjectMax)
	}
	return Identity{Requester: c.Subject, Roles: c.Roles}, nil
}
