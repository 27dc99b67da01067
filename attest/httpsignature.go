package attest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An initiation may be carried as an HTTP message signature (RFC 9421). It covers one field of the request, InitiationField, and its own
// parameters, and nothing else: other signers, and who verifies the receipt, do not see the request, and make the field for themselves.

const (
	// InitiationField is the name of the field, and InitiationTag the tag that such a signature has.
	InitiationField = "Mpcd-Initiation"
	InitiationTag   = "mpcd/v1/initiation"
	// covered are the components of the signature, as RFC 9421 writes them.
	covered       = `("mpcd-initiation")`
	maxParameters = 512
)

// parameter is one of a signature, as RFC 9421 §2.3 and RFC 9651 §4.1 write it: seconds, or a string in which nothing is escaped.
var parameter = regexp.MustCompile(`^(?:(created|expires)=([1-9][0-9]{0,11})|(alg|keyid|nonce|tag)="([ !#-:<-\[\]-~]+)")$`)

// InitiationValue is the value of InitiationField: SHA-256 of InitiationMessage, as a byte sequence (RFC 9651 §3.3.5). It is a hash since
// a message with a payload is longer than headers, and than what many tokens sign.
func (i Intent) InitiationValue(by string, expires int64) string {
	digest := sha256.Sum256(i.InitiationMessage(by, expires))
	return ":" + base64.StdEncoding.EncodeToString(digest[:]) + ":"
}

// InitiateHTTP is Initiate as an HTTP message signature. It expires at a whole second.
func (i Intent) InitiateHTTP(by string, created, expires time.Time, sign SignFunc) (*Initiation, error) {
	x := Initiation{By: by, Expires: expires.Unix() * 1000, Parameters: fmt.Sprintf("%s;created=%d;expires=%d;keyid=%q;tag=%q", covered,
		created.Unix(), expires.Unix(), by, InitiationTag)}
	var err error
	if x.Signature, err = sign(x.base(i)); err != nil {
		return nil, fmt.Errorf("attest: initiate: %w", err)
	}
	return &x, nil
}

// ParseParameters reads the parameters of an HTTP message signature, as its signature base has them after "@signature-params", and says
// which initiation they are of, without its signature. There is one way to write each: no blanks, each parameter once, in any order.
func ParseParameters(text string) (x Initiation, alg string, err error) {
	list, ok := strings.CutPrefix(text, covered+";")
	if !ok || len(text) > maxParameters {
		return x, "", fmt.Errorf("it must cover %s and nothing else, with parameters, in at most %d bytes", covered, maxParameters)
	}
	has := map[string]string{}
	for p := range strings.SplitSeq(list, ";") {
		m := parameter.FindStringSubmatch(p)
		if m == nil {
			return x, "", fmt.Errorf("its parameter %q is none of created, expires, keyid, alg, nonce and tag as RFC 9421 writes them", clip(p))
		}
		if _, twice := has[m[1]+m[3]]; twice {
			return x, "", fmt.Errorf("it has the parameter %s twice", m[1]+m[3])
		}
		has[m[1]+m[3]] = m[2] + m[4]
	}
	switch seconds, err := strconv.ParseInt(has["expires"], 10, 64); {
	case has["tag"] != InitiationTag:
		return x, "", fmt.Errorf("its tag is %q, want %q", clip(has["tag"]), InitiationTag)
	case err != nil:
		return x, "", errors.New("it has no parameter expires")
	case !name.MatchString(has["keyid"]):
		return x, "", fmt.Errorf("its keyid %q is no initiator's name", clip(has["keyid"]))
	default:
		return Initiation{By: has["keyid"], Expires: seconds * 1000, Parameters: text}, has["alg"], nil
	}
}

// base is what is signed: RFC 9421's signature base.
func (x Initiation) base(i Intent) []byte {
	return fmt.Appendf(nil, "\"mpcd-initiation\": %s\n\"@signature-params\": %s", i.InitiationValue(x.By, x.Expires), x.Parameters)
}

// check judges an initiation's signature by a key.
func (x Initiation) check(i Intent, key Hex) error {
	if x.Parameters == "" {
		return verifyMessage(key, i.InitiationMessage(x.By, x.Expires), x.Signature)
	}
	of, alg, err := ParseParameters(x.Parameters)
	switch {
	case err != nil:
		return err
	case of.By != x.By || of.Expires != x.Expires:
		return fmt.Errorf("its keyid and expires are %s and %d ms, and those of the initiation others", of.By, of.Expires)
	}
	pub, err := ParsePublicKey(key)
	if err != nil {
		return err
	}
	want := "ecdsa-p256-sha256"
	if _, ok := pub.(ed25519.PublicKey); ok {
		want = "ed25519"
	}
	if alg != "" && alg != want {
		return fmt.Errorf("its alg is %q, and that of the key %q", clip(alg), want)
	}
	return verifyMessage(key, x.base(i), x.Signature)
}
