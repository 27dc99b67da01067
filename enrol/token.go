package enrol

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
)

// Token is who may do what at the API, and until when.
type Token struct {
	Audience string // the name of the cluster
	Subject  string // who it is for, as audit log and receipts name them
	Roles    []string
	Vaults   []string      // whose wallets alone it is for, "" for those of no vault; nil is all
	Cert     string        // file of the certificate that its bearer must show (cnf, RFC 8705); "" for none
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
	var roles []api.Role
	for _, r := range t.Roles {
		if roles = append(roles, api.Role(r)); !slices.Contains(api.Roles(), api.Role(r)) {
			return fault.Usage(fmt.Sprintf("use roles of %v", api.Roles()), "role %q is unknown", r)
		}
	}
	if err := api.CheckDuties(roles); err != nil {
		return fault.Usage("make a token for each, for two people", "%w", err)
	}
	for _, v := range t.Vaults {
		if err := api.CheckVault(v); err != nil {
			return fault.Usage("name vaults by letters, digits and . _ : -", "%w", err)
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
	if whose := otherUse(filepath.Dir(keyFile), k.Public().(ed25519.PublicKey)); whose != "" {
		return "", now, fault.Usage("give the operator's key for tokens, "+TokenKeyFile, "%s is %s: no node takes its tokens", keyFile, whose)
	}
	expires = now.Add(t.TTL)
	t.ID = "t-" + strings.ToLower(rand.Text())
	claims := jwt.MapClaims{"sub": t.Subject, "aud": t.Audience, "iat": now.Unix(), "exp": expires.Unix(), "roles": t.Roles, "jti": t.ID}
	if t.Vaults != nil {
		claims["vaults"] = t.Vaults
	}
	if t.Cert != "" {
		sum, err := certificateSum(t.Cert)
		if err != nil {
			return "", now, err
		}
		claims["cnf"] = map[string]string{"x5t#S256": sum}
	}
	text, err = jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(k)
	return text, expires, err
}

// otherUse says what a key is for that is not for tokens, as far as the roster and the authority tell that are beside its file; "" else.
func otherUse(dir string, pub ed25519.PublicKey) string {
	if s, err := attest.LoadRoster(filepath.Join(dir, RosterFile)); err == nil && bytes.Equal(s.Root, pub) {
		return "the root key, which signs the roster"
	}
	chain, err := ReadChain(filepath.Join(dir, AuthorityFile))
	der, derErr := x509.MarshalPKIXPublicKey(pub)
	if err != nil || derErr != nil {
		return ""
	}
	for _, s := range chain {
		a := s.Authority
		switch {
		case slices.ContainsFunc(a.Officers, func(x attest.Officer) bool { return bytes.Equal(x.Key, der) }):
			return "an officer's key"
		case slices.ContainsFunc(a.Authors, func(x attest.Officer) bool { return bytes.Equal(x.Key, der) }):
			return "an author's key"
		case slices.ContainsFunc(a.Initiators, func(x attest.Initiator) bool { return bytes.Equal(x.Key, der) }):
			return "an initiator's key"
		case slices.ContainsFunc(a.Approvers, func(x attest.Approver) bool { return bytes.Equal(x.Key, der) }):
			return "an approver's key"
		}
	}
	return ""
}

// certificateSum is the SHA-256 of the first certificate of a file, as cnf has it.
func certificateSum(path string) (string, error) {
	b, err := durable.ReadFile(path, pemMax)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", fault.Usage("give the certificate of who is to use the token, in PEM", "%s does not begin with a certificate", path)
	}
	sum := sha256.Sum256(block.Bytes)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
