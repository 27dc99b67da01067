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

// check refuses a token that would be of no use: one that every node refuses, or that lets its bearer do nothing.
func (t *Token) check() error {
	if err := api.CheckSubject(t.Subject); err != nil {
		return fault.Usage("give --subject NAME", "subject %q: %w", t.Subject, err)
	}
	if t.Audience == "" {
		return fault.Usage("give --audience CLUSTER", "a token without an audience")
	}
	if len(t.Roles) == 0 {
		return fault.Usage(fmt.Sprintf("use roles of %v", api.Roles()), "a token without roles")
	}
	for _, r := range t.Roles {
		if !slices.ContainsFunc(api.Roles(), func(k api.Role) bool { return string(k) == r }) {
			return fault.Usage(fmt.Sprintf("use roles of %v", api.Roles()), "role %q is unknown", r)
		}
	}
	if t.TTL < time.Second || t.TTL > tokenTTLMax {
		return fault.Usage(fmt.Sprintf("give --ttl from 1s to %.0fh", tokenTTLMax.Hours()), "a token that lives %s", t.TTL)
	}
	return nil
}

// Sign makes a JWT (EdDSA) with the operator's key for tokens, and tells when it expires.
func (t *Token) Sign(keyFile string, now time.Time) (text string, expires time.Time, err error) {
	if err := t.check(); err != nil {
		return "", now, err
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
