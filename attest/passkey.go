package attest

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/internal/canon"
)

// Passkey says of an approver that its key is in an authenticator, which signs by WebAuthn alone: in a browser, at a page of one of the
// origins, when it has verified its person by a PIN or a finger.
type Passkey struct {
	RPID    string   `cbor:"1,keyasint" json:"rp_id"`   // the host name that the key was made for: "localhost", or one with a dot
	Origins []string `cbor:"2,keyasint" json:"origins"` // 1 to 4, ascending; Localhost is every port of it
}

// Localhost is the RP ID of passkeys that pages of the approver's own machine use, and of their origin the host.
const Localhost = "localhost"

// localOrigin in a list stands for each port: who has one port of a machine can have any, and a key for localhost signs at all.
const localOrigin = "http://" + Localhost

// Assertion is what an authenticator signed, and why: its own word on the person, and the browser's on the page. The challenge in it is
// PasskeyChallenge of what the approver signs.
type Assertion struct {
	AuthenticatorData Hex `cbor:"1,keyasint" json:"authenticator_data"` // 37 bytes: no extensions
	ClientData        Hex `cbor:"2,keyasint" json:"client_data_json"`   // as the browser wrote it
}

const (
	maxOrigins        = 4
	maxClientData     = 1024
	authenticatorData = 37 // of an assertion without extensions: hash of the RP ID, flags, counter (WebAuthn Level 3, §6.1)
)

// The flags of authenticator data.
const (
	flagPresent  = 1 << 0
	flagVerified = 1 << 2
	flagMayMove  = 1 << 3 // backup eligibility
	flagMoved    = 1 << 4 // backup state
	flagKey      = 1 << 6 // attested credential data follows, when a key is made
	flagExtended = 1 << 7 // extensions follow
)

// What a browser writes before, between and after what differs (WebAuthn Level 3, §5.8.1.1).
const (
	clientDataType   = `{"type":"webauthn.get","challenge":"`
	clientDataOrigin = `","origin":"`
	clientDataCross  = `","crossOrigin":false`
)

var (
	hostName   = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	originForm = regexp.MustCompile(`^(https?)://([a-z0-9.-]+)(:[1-9][0-9]{0,4})?$`)
	localPort  = regexp.MustCompile(`^http://localhost:[1-9][0-9]{0,4}$`)
)

// validate refuses what no browser has: an RP ID that is no host name, and an origin that may not use it, or may be read on its way.
func (p *Passkey) validate() error {
	if len(p.RPID) > maxText || p.RPID != Localhost && !hostName.MatchString(p.RPID) {
		return fmt.Errorf("passkey: RP ID %q: use localhost, or a host name in small letters", clip(p.RPID))
	}
	if len(p.Origins) == 0 || len(p.Origins) > maxOrigins {
		return fmt.Errorf("passkey: %d origins, want 1 to %d", len(p.Origins), maxOrigins)
	}
	for n, origin := range p.Origins {
		m := originForm.FindStringSubmatch(origin)
		switch {
		case len(origin) > maxText || m == nil || m[1]+m[3] == "https:443" || m[1]+m[3] == "http:80":
			return fmt.Errorf("passkey: origin %q: use https://HOST or https://HOST:PORT, as a browser shows it, without a path", clip(origin))
		case m[1] == "http" && m[2] != Localhost:
			return fmt.Errorf("passkey: origin %q: who is on the way could show another page; use https", clip(origin))
		case m[2] != p.RPID && (p.RPID == Localhost || !hostName.MatchString(m[2]) || !strings.HasSuffix(m[2], "."+p.RPID)):
			return fmt.Errorf("passkey: origin %q is not of the RP ID %s, nor below it", clip(origin), p.RPID)
		case n > 0 && origin <= p.Origins[n-1]:
			return fmt.Errorf("passkey: origin %q: origins ascend", clip(origin))
		}
	}
	return nil
}

// String is how an authority is shown to have it; "" for no passkey.
func (p *Passkey) String() string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("by passkey of %s at %s", p.RPID, strings.Join(p.Origins, ", "))
}

// allows tells whether an approver may decide at a page of an origin.
func (p *Passkey) allows(origin string) bool {
	return slices.Contains(p.Origins, origin) || slices.Contains(p.Origins, localOrigin) && localPort.MatchString(origin)
}

// PasskeyChallenge is the challenge that a page gives a browser, so that the passkey signs a message.
func PasskeyChallenge(message []byte) Hash { return canon.Hash("mpcd/v1/passkey/challenge", message) }

// check judges an assertion, and the signature over it, of a message (WebAuthn Level 3, §7.2). The counter is not judged: passkeys are
// copied among the devices of a person, and count nothing.
func (p *Passkey) check(key Hex, message []byte, x *Assertion, signature Hex) error {
	origin, err := x.read(PasskeyChallenge(message))
	if err != nil {
		return err
	}
	if !p.allows(origin) {
		return fmt.Errorf("it was made at %q, which is not among the origins of the passkey", clip(origin))
	}
	rp, data := sha256.Sum256([]byte(p.RPID)), x.AuthenticatorData
	flags := data[len(rp)]
	switch {
	case string(data[:len(rp)]) != string(rp[:]):
		return fmt.Errorf("the authenticator signed for another RP ID than %s", p.RPID)
	case flags&flagPresent == 0:
		return errors.New("the authenticator saw nobody there")
	case flags&flagVerified == 0:
		return errors.New("the authenticator has not verified its person, by PIN or finger; use one that does")
	case flags&(flagKey|flagExtended) != 0 || flags&(flagMayMove|flagMoved) == flagMoved:
		return fmt.Errorf("the authenticator's flags, 0x%02x, say what cannot be of an assertion without extensions", flags)
	}
	client := sha256.Sum256(x.ClientData)
	return verifyMessage(key, slices.Concat(data, client[:]), signature)
}

// shaped tells whether an assertion has a form that is judged at all.
func (x *Assertion) shaped() bool {
	return x == nil || len(x.AuthenticatorData) == authenticatorData && len(x.ClientData) <= maxClientData
}

// read finds the origin in what the browser wrote, which must be for the challenge and of a page that is in no frame of another. It
// compares with what browsers write, and parses nothing (the limited verification algorithm: WebAuthn Level 3, §5.8.1.2).
func (x *Assertion) read(challenge Hash) (origin string, err error) {
	if !x.shaped() {
		return "", fmt.Errorf("authenticator data of %d bytes, want %d, and client data of %d, at most %d", len(x.AuthenticatorData),
			authenticatorData, len(x.ClientData), maxClientData)
	}
	rest, ok := strings.CutPrefix(string(x.ClientData), clientDataType)
	if !ok {
		return "", errors.New("the client data is of no assertion, or not as browsers write it")
	}
	if rest, ok = strings.CutPrefix(rest, base64.RawURLEncoding.EncodeToString(challenge[:])+clientDataOrigin); !ok {
		return "", errors.New("the challenge is not of what is approved")
	}
	origin, rest, ok = strings.Cut(rest, clientDataCross)
	if !ok || strings.Contains(rest, `"topOrigin"`) {
		return "", errors.New("the page was in a frame of another, or the browser does not say that it was not")
	}
	if rest != "}" && (!strings.HasPrefix(rest, ",") || !strings.HasSuffix(rest, "}")) {
		return "", errors.New("the client data does not end as browsers write it")
	}
	return origin, nil
}

// Origin is where a browser says that an approval by passkey was made, of one that was judged; "" for another.
func (x Approval) Origin() string {
	if x.Assertion == nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(x.Assertion.ClientData), clientDataOrigin)
	origin, _, _ := strings.Cut(rest, clientDataCross)
	return origin
}
