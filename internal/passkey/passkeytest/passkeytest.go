// Package passkeytest is an authenticator and a browser in software, which sign as WebAuthn says: for tests.
package passkeytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Key is a passkey in memory.
type Key struct {
	RPID    string
	Flags   byte // of the authenticator data
	signer  crypto.Signer
	counter uint32
}

// New makes a passkey of a person who is there and was verified: ES256, or EdDSA where ed is set.
func New(rpID string, ed bool) *Key {
	k := &Key{RPID: rpID, Flags: 0x05}
	var err error
	if ed {
		_, k.signer, err = ed25519.GenerateKey(rand.Reader)
	} else {
		k.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		panic(err)
	}
	return k
}

// Public is the public key in PKIX DER.
func (k *Key) Public() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		panic(err)
	}
	return der
}

// Signed is an assertion.
type Signed struct {
	AuthenticatorData, ClientData []byte
	Raw                           []byte // the signature: 64 bytes
	DER                           []byte // as a browser gives it; of Ed25519 the same as Raw
}

// Sign has a page of an origin ask for the challenge to be signed.
func (k *Key) Sign(origin string, challenge [32]byte) Signed {
	k.counter++
	rp := sha256.Sum256([]byte(k.RPID))
	return k.Over(binary.BigEndian.AppendUint32(append(rp[:], k.Flags), k.counter),
		fmt.Appendf(nil, `{"type":"webauthn.get","challenge":%q,"origin":%q,"crossOrigin":false}`,
			base64.RawURLEncoding.EncodeToString(challenge[:]), origin))
}

// Over signs authenticator data and client data, whatever they are.
func (k *Key) Over(authenticatorData, clientData []byte) Signed {
	hash := sha256.Sum256(clientData)
	message := slices.Concat(authenticatorData, hash[:])
	out := Signed{AuthenticatorData: authenticatorData, ClientData: clientData}
	switch key := k.signer.(type) {
	case ed25519.PrivateKey:
		out.Raw = ed25519.Sign(key, message)
		out.DER = out.Raw
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			panic(err)
		}
		if half := new(big.Int).Rsh(elliptic.P256().Params().N, 1); s.Cmp(half) <= 0 { // authenticators give either
			s.Sub(elliptic.P256().Params().N, s)
		}
		out.Raw = slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)))
		if out.DER, err = asn1.Marshal(struct{ R, S *big.Int }{r, s}); err != nil {
			panic(err)
		}
	}
	return out
}

// Browser does with our page what its script does in a browser.
type Browser struct {
	Key  *Key          // the passkey; it makes one where the page wants it made
	Bend func(*Signed) // what becomes of an assertion; nil for nothing
}

var pageAsks = regexp.MustCompile(`asks = (\[.*?\]), said`)

// Press opens a page and presses a button, and returns what the page then says.
func (b *Browser) Press(address, button string) (string, error) {
	text, err := do(http.NewRequest(http.MethodGet, address, nil))
	if err != nil {
		return "", err
	}
	var asks []struct{ Label, Challenge, MakeFor string }
	m := pageAsks.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("no buttons: %s", text)
	}
	if err := json.Unmarshal([]byte(m[1]), &asks); err != nil {
		return "", err
	}
	for i, ask := range asks {
		if ask.Label != button {
			continue
		}
		challenge, err := base64.StdEncoding.DecodeString(ask.Challenge)
		if err != nil {
			return "", err
		}
		var made []byte
		if ask.MakeFor != "" {
			b.Key = New("localhost", true)
			made = b.Key.Public()
		}
		origin := address[:strings.LastIndex(address, "/")]
		s := b.Key.Sign(origin, [32]byte(challenge))
		if b.Bend != nil {
			b.Bend(&s)
		}
		body := fmt.Sprintf(`{"ask":%d,"key":"0x%x","authenticator_data":"0x%x","client_data_json":"0x%x","signature":"0x%x"}`, i, made,
			s.AuthenticatorData, s.ClientData, s.DER)
		r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
		if err != nil {
			return "", err
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Content-Type", "application/json")
		return do(r, nil)
	}
	return "", fmt.Errorf("no button %s: %s", button, text)
}

func do(r *http.Request, err error) (string, error) {
	if err != nil {
		return "", err
	}
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	return string(text), err
}
