package api

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
)

const (
	// tokenMax is the longest token, in bytes.
	tokenMax = 8 << 10
	// subjectMax is the longest sub, in bytes.
	subjectMax = 128
	// clockSkew is how far the issuer's clock may be off.
	clockSkew = 10 * time.Second
	// tokensKnown is how many good tokens are remembered, so that only the first request with one pays for its signature.
	tokensKnown = 4096
	// badTokens a second of one address are judged; after a burst of them what it sends is not, unless it is a token that is known.
	badTokens      = 10
	badTokensBurst = 100
	// addressesKnown is how many addresses with bad tokens are remembered.
	addressesKnown = 4096
	// rsaBitsMin is the smallest RSA key for RS256.
	rsaBitsMin = 2048
)

// JWT authenticates bearer tokens (RFC 7519, RFC 8725) with public keys that the operator has pinned, and with those of an issuer, if there
// is one: a token that names it in iss is judged by its keys alone, and any other by the pinned ones alone. Each key verifies the one
// algorithm of its kind, so a token cannot choose how it is checked: Ed25519 → EdDSA, P-256 → ES256, RSA → RS256. Who gives no token is
// known by the certificate that it shows, if that is of Clients.
type JWT struct {
	Clients Clients                           // set before the first request
	Issuer  *Issuer                           // nil is none
	keys    map[string]jwt.VerificationKeySet // by alg, those that are pinned
	parser  *jwt.Parser
	now     func() time.Time
	known   *lru.Cache[[32]byte, knownToken]  // good tokens, by their hash
	bad     *lru.Cache[string, *rate.Limiter] // of addresses that sent bad ones

	revoked atomic.Pointer[Revoked]
	// First is told of every good token that was not seen before by this run, or was forgotten; nil tells nobody. It is set before the
	// first request.
	First func(ctx context.Context, t SeenToken)
}

// isName tells whether a sub or jti has a form that a good token's may have; an empty one has.
func isName(s string) bool {
	return len(s) <= subjectMax && !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' })
}

// SeenToken is a token that let its bearer in.
type SeenToken struct {
	Identity
	ID            string // jti, "" if it has none
	Issued, Until time.Time
}

// knownToken is who a good token names, since when and until when.
type knownToken struct {
	who           Identity
	id            string
	issued, until time.Time  // issued is zero where the token does not say
	by            *issuerKey // nil is one that is pinned
	cert          string     // SHA-256 of the certificate that it is bound to, "" for none
}

// NewJWT takes a PEM file of one or more PUBLIC KEY blocks (SubjectPublicKeyInfo), and the audience that every token must name.
// It fails if there is no key, if one is of another kind or too small, or if the file holds a private key. With an issuer there need be no
// pinned key.
func NewJWT(keysPEM []byte, audience string, issuer *Issuer) (*JWT, error) {
	return newJWT(keysPEM, audience, issuer, time.Now)
}

func newJWT(keysPEM []byte, audience string, issuer *Issuer, now func() time.Time) (*JWT, error) {
	if audience == "" {
		return nil, errors.New("api: the token audience is empty: set the name that tokens for this cluster carry in aud")
	}
	j := &JWT{Issuer: issuer, keys: map[string]jwt.VerificationKeySet{}, now: now}
	j.known, _ = lru.New[[32]byte, knownToken](tokensKnown) // it fails for a size of 0 only
	j.bad, _ = lru.New[string, *rate.Limiter](addressesKnown)
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
	if n == 0 && issuer == nil {
		return nil, errors.New("api: token keys: no PUBLIC KEY block: make one with openssl pkey -pubout")
	}
	var algs []string
	for alg := range j.keys {
		algs = append(algs, alg)
	}
	j.parser = newParser(audience, now, algs)
	return j, nil
}

// newParser is what judges tokens by one of some algorithms, beside their keys.
func newParser(audience string, now func() time.Time, algs []string, more ...jwt.ParserOption) *jwt.Parser {
	return jwt.NewParser(append(more, jwt.WithValidMethods(algs), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(clockSkew), jwt.WithTimeFunc(now), jwt.WithStrictDecoding())...)
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
	case ed25519.PublicKey: // of which x509 takes any 32 bytes
		return jwt.SigningMethodEdDSA.Alg(), k, attest.CheckEd25519(k)
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

// Authenticate reads the bearer token: aud, exp and sub are required; roles that this build does not know grant nothing. Names of claims
// are as RFC 7519 spells them, in lower case; a token that says one thing twice is refused, and so is one with crit (RFC 7515 §4.1.11):
// there is no extension that this build understands. Of an address that sends many bad tokens no new one is judged for a while.
func (j *JWT) Authenticate(r *http.Request) (Identity, error) {
	values := r.Header.Values("Authorization")
	switch {
	case len(values) == 0:
		return j.byCertificate(r)
	case len(values) > 1:
		return Identity{}, errors.New("more than one Authorization header is given")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Identity{}, errors.New("the Authorization header holds no bearer token")
	}
	if len(token) > tokenMax {
		return Identity{}, fmt.Errorf("the token has %d bytes, at most %d are read", len(token), tokenMax)
	}
	sum := sha256.Sum256([]byte(token))
	if k, ok := j.known.Get(sum); ok && j.now().Before(k.until) && (k.by == nil || k.by.same(j.Issuer.held(k.by.kid))) {
		return k.who, j.check(k, r)
	}
	from := network(r.RemoteAddr)
	limit, ok := j.bad.Get(from)
	if ok && limit.TokensAt(j.now()) < 1 {
		return Identity{}, &problem.Error{Code: problem.Overload, Message: "too many bad tokens came from this address"}
	}
	k, err := j.judge(r.Context(), token)
	if err == nil {
		err = j.check(k, r)
	}
	if err != nil {
		if !ok && from != "" {
			limit = rate.NewLimiter(badTokens, badTokensBurst)
			j.bad.Add(from, limit)
		}
		if limit != nil {
			limit.AllowN(j.now(), 1)
		}
		return Identity{}, err
	}
	j.remember(r, sum, k)
	return k.who, nil
}

// remember remembers what has let its bearer in, a token or a certificate, and tells First where that is news.
func (j *JWT) remember(r *http.Request, sum [32]byte, k knownToken) {
	if before, _ := j.known.ContainsOrAdd(sum, k); !before && j.First != nil {
		j.First(r.Context(), SeenToken{k.who, k.id, k.issued, k.until})
	}
}

// judge verifies a token and reads who it names.
func (j *JWT) judge(ctx context.Context, token string) (knownToken, error) {
	var by *issuerKey
	parser, claim, prefix := j.parser, "roles", ""
	key := func(t *jwt.Token) (any, error) {
		set, ok := j.keys[t.Method.Alg()]
		if !ok {
			return nil, jwt.ErrTokenUnverifiable
		}
		return set, nil
	}
	if i := j.Issuer; i.named(token) {
		parser, claim, prefix = i.parser, i.RolesClaim, oidcPrefix
		key = func(t *jwt.Token) (any, error) {
			kid, _ := t.Header["kid"].(string)
			if by = i.find(ctx, kid); by == nil || by.alg != t.Method.Alg() {
				return nil, jwt.ErrTokenUnverifiable
			}
			return by.key, nil
		}
	}
	t, err := parser.ParseWithClaims(token, jwt.MapClaims{}, key)
	if err := claimsError(err); err != nil {
		return knownToken{}, err
	}
	if _, critical := t.Header["crit"]; critical || !saidOnce(token) {
		return knownToken{}, errors.New("the token has crit, or says something twice")
	}
	k, err := readClaims(t.Claims.(jwt.MapClaims), claim, prefix)
	k.by = by
	return k, err
}

// named tells whether a token says that it is of the issuer, which is to be shown yet.
func (i *Issuer) named(token string) bool {
	if i == nil {
		return false
	}
	c := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(token, c)
	return err == nil && c["iss"] == i.URL
}

// claimsError says what is wrong with a token, and not more than its bearer may know.
func claimsError(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable), errors.Is(err, jwt.ErrTokenMalformed):
		return errors.New("the token is not signed by a key this node trusts")
	case errors.Is(err, jwt.ErrTokenExpired):
		return errors.New("the token has expired")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return errors.New("the token is for another audience")
	case errors.Is(err, jwt.ErrTokenUsedBeforeIssued), errors.Is(err, jwt.ErrTokenNotValidYet):
		return errors.New("the token is of a time to come (iat, nbf): compare this node's clock with that of who issued it")
	case err != nil:
		return errors.New("the token's claims do not hold: exp and aud are required, iat and nbf must have passed")
	}
	return nil
}

// readClaims reads who good claims name. The roles are in the claim that is named, and the prefix begins the name.
func readClaims(c jwt.MapClaims, rolesClaim, prefix string) (knownToken, error) {
	sub, _ := c["sub"].(string)
	if err := CheckSubject(sub); err != nil {
		return knownToken{}, err
	}
	if sub = prefix + sub; len(sub) > subjectMax {
		return knownToken{}, fmt.Errorf("the token's sub, with %s before it, has more than %d characters", prefix, subjectMax)
	}
	exp, err := c.GetExpirationTime()
	if err != nil {
		return knownToken{}, errors.New("the token's exp is no time")
	}
	k := knownToken{who: Identity{Requester: sub}, until: exp.Add(clockSkew)}
	if k.id, err = tokenID(c); err != nil {
		return knownToken{}, err
	}
	if iat, err := c.GetIssuedAt(); err == nil && iat != nil {
		k.issued = iat.Time
	}
	roles, isList := c[rolesClaim].([]any)
	if c[rolesClaim] != nil && !isList {
		return knownToken{}, errors.New("the token's roles are no list")
	}
	for _, role := range roles {
		name, ok := role.(string)
		if !ok {
			return knownToken{}, errors.New("the token's roles are no list of names")
		}
		k.who.Roles = append(k.who.Roles, Role(name))
	}
	if k.cert, err = tokenCertificate(c); err != nil {
		return knownToken{}, err
	}
	k.who.Vaults, err = tokenVaults(c)
	return k, err
}

// tokenVaults reads vaults, which bounds a token to the wallets of these. A claim that is there bounds, be it empty.
func tokenVaults(c jwt.MapClaims) ([]string, error) {
	claim, bound := c["vaults"]
	if !bound {
		return nil, nil
	}
	list, _ := claim.([]any)
	out := make([]string, 0, len(list))
	for _, v := range list {
		if name, ok := v.(string); ok && CheckVault(name) == nil {
			out = append(out, name)
		}
	}
	if len(out) != len(list) || list == nil {
		return nil, errors.New("the token's vaults are no list of names of vaults")
	}
	return out, nil
}

// CheckSubject refuses a sub that no token may have.
func CheckSubject(sub string) error {
	if sub == "" || !isName(sub) {
		return fmt.Errorf("the token's sub must have 1 to %d visible ASCII characters", subjectMax)
	}
	for _, p := range []string{oidcPrefix, certPrefix} {
		if strings.HasPrefix(sub, p) {
			return fmt.Errorf("the token's sub begins with %s, as do names that are known otherwise", p)
		}
	}
	return nil
}

// saidOnce tells that no name stands twice in an object of the token's header or claims.
func saidOnce(token string) bool {
	for _, part := range strings.SplitN(token, ".", 3)[:2] {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err == nil {
			_, err = parseStrict(raw)
		}
		if err != nil {
			return false
		}
	}
	return true
}
