package api

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// certPrefix begins the name of who is known by a certificate.
const certPrefix = "cert:"

// Clients are callers that are known by the key of their certificate, whoever issued that: by the SHA-256 of its SubjectPublicKeyInfo.
type Clients map[[32]byte]Identity

// ParseClients reads lines of the form "NAME spki-sha256:HEX role:ROLE vault:NAME". Of keys, roles and vaults there may be several; without
// a vault it is all.
func ParseClients(lines []string) (Clients, error) {
	out, names := Clients{}, map[string]bool{}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) == 0 || names[words[0]] {
			return nil, fmt.Errorf("%q has no name, or one that another has", line)
		}
		names[words[0]] = true
		who, keys, err := parseClient(words[0], words[1:])
		if err != nil {
			return nil, fmt.Errorf("client %q: %w", words[0], err)
		}
		for _, k := range keys {
			if _, taken := out[k]; taken {
				return nil, fmt.Errorf("client %q: another has the key %x", words[0], k)
			}
			out[k] = who
		}
	}
	return out, nil
}

// parseClient reads one of them.
func parseClient(name string, words []string) (who Identity, keys [][32]byte, err error) {
	if err := CheckSubject(name); err != nil || len(certPrefix+name) > subjectMax {
		return who, nil, fmt.Errorf("it is no name of a caller of at most %d characters", subjectMax-len(certPrefix))
	}
	who.Requester = certPrefix + name
	for _, w := range words {
		kind, what, _ := strings.Cut(w, ":")
		switch {
		case kind == "spki-sha256":
			b, err := hex.DecodeString(what)
			if err != nil || len(b) != sha256.Size {
				return who, nil, fmt.Errorf("%q is no SHA-256 in hex", w)
			}
			keys = append(keys, [32]byte(b))
		case kind == "role" && slices.Contains(Roles(), Role(what)):
			who.Roles = append(who.Roles, Role(what))
		case kind == "vault":
			if err := CheckVault(what); err != nil {
				return who, nil, err
			}
			who.Vaults = append(who.Vaults, what)
		default:
			return who, nil, fmt.Errorf("%q is neither spki-sha256:HEX nor vault:NAME nor role: with one of %v", w, Roles())
		}
	}
	if len(keys) == 0 || len(who.Roles) == 0 {
		return who, nil, errors.New("it has no spki-sha256:HEX, or no role:ROLE")
	}
	return who, keys, CheckDuties(who.Roles)
}

// shown is the certificate that a client has shown, and has the key of; nil is none.
func shown(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0]
}

// byCertificate knows a caller without a token by its certificate, within the certificate's time.
func (j *JWT) byCertificate(r *http.Request) (Identity, error) {
	cert := shown(r)
	if cert == nil {
		return Identity{}, errors.New("no token is given")
	}
	who, ok := j.Clients[sha256.Sum256(cert.RawSubjectPublicKeyInfo)]
	if !ok {
		return Identity{}, errors.New("no token is given, and the key of the certificate is nobody's here")
	}
	if now := j.now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return Identity{}, errors.New("the certificate has expired, or is of a time to come")
	}
	k := knownToken{who: who, issued: j.now(), until: cert.NotAfter}
	if err := j.check(k, r); err != nil {
		return Identity{}, err
	}
	j.remember(r, sha256.Sum256(cert.Raw), k)
	return who, nil
}

// check refuses what was revoked, and a token that is bound to a certificate (RFC 8705) which was not shown.
func (j *JWT) check(k knownToken, r *http.Request) error {
	if k.cert != "" {
		cert := shown(r)
		if cert == nil {
			return errors.New("the token is bound to a certificate (cnf), and none was shown")
		}
		if sum := sha256.Sum256(cert.Raw); k.cert != string(sum[:]) {
			return errors.New("the token is bound to another certificate (cnf)")
		}
	}
	return j.revoked.Load().check(k)
}

// tokenCertificate reads cnf, which binds a token to the certificate of that SHA-256 (RFC 8705 §3.1). What else it may say (RFC 7800) is
// not checked here, so a token that says it is refused.
func tokenCertificate(c jwt.MapClaims) (string, error) {
	claim, bound := c["cnf"]
	if !bound {
		return "", nil
	}
	cnf, _ := claim.(map[string]any)
	text, _ := cnf["x5t#S256"].(string)
	sum, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sum) != sha256.Size || len(cnf) != 1 {
		return "", errors.New("the token's cnf is none of a certificate (x5t#S256) alone")
	}
	return string(sum), nil
}
