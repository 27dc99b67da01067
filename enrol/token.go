package enrol

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/secret"
)

// Token is who may do what at the API, and until when.
type Token struct {
	Audience string // the name of the cluster
	Subject  string // who it is for, as audit log and receipts name them
	Roles    []string
	TTL      time.Duration // from now
	ID       string        // jti, by which it can be revoked; Sign makes one
}

// tokenTTLMax is how long a token may live.
const tokenTTLMax = 366 * 24 * time.Hour

// Sign makes a JWT (EdDSA) with the operator's key for tokens, and tells when it expires.
func (t *Token) Sign(keyFile string, now time.Time) (text string, expires time.Time, err error) {
	for _, r := range t.Roles {
		if !slices.ContainsFunc(api.Roles(), func(k api.Role) bool { return string(k) == r }) {
			return "", now, fault.Usage(fmt.Sprintf("use roles of %v", api.Roles()), "role %q is unknown", r)
		}
	}
	if t.TTL < time.Second || t.TTL > tokenTTLMax {
		return "", now, fault.Usage(fmt.Sprintf("give --ttl from 1s to %.0fh", tokenTTLMax.Hours()), "a token that lives %s", t.TTL)
	}
	k, err := readKey(keyFile)
	if err != nil {
		return "", now, err
	}
	defer secret.Wipe(k)
	expires = now.Add(t.TTL)
	t.ID = "t-" + strings.ToLower(rand.Text())
	text, err = jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"sub": t.Subject, "aud": t.Audience, "iat": now.Unix(), "exp": expires.Unix(), "roles": t.Roles, "jti": t.ID,
	}).SignedString(k)
	return text, expires, err
}
