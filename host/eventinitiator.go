package host

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// The settings by which mpcium names who may ask. Here they authorise nobody: officers do, in the authority.
const (
	eventKeyKey  = "event_initiator_pubkey"
	eventKeyType = "event_initiator_algorithm"
)

// eventKeyTypes are the algorithms that mpcium knows.
var eventKeyTypes = []string{"ed25519", "p256"}

// EventInitiatorKey reads an event_initiator_pubkey: hex of PKIX DER, or of the 32 bytes of an Ed25519 key; "" is ed25519.
func EventInitiatorKey(text, algorithm string) (attest.Hex, error) {
	const either = "give the key in hex, as `openssl pkey -pubout -outform DER`, KMS or `mpcd authority key` write it, or 32 bytes of ed25519"
	b, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		return nil, fault.Usage(either, "%.200q is no hex", text)
	}
	var pub crypto.PublicKey = ed25519.PublicKey(b)
	if len(b) != ed25519.PublicKeySize {
		if pub, err = attest.ParsePublicKey(b); err != nil {
			return nil, fault.Usage(either, "no public key: %w", err)
		}
	}
	is := "ed25519"
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		is = "p256"
	case ed25519.PublicKey:
		err = attest.CheckEd25519(k)
	}
	if err != nil {
		return nil, fault.Usage(either, "%w", err)
	}
	if want := strings.ToLower(algorithm); want != is && (want != "" || is != "ed25519") {
		return nil, fault.Usage("set "+eventKeyType+" to "+is+", or give the key of the other algorithm",
			"the key is one of %s, %s says %.32q", is, eventKeyType, algorithm)
	}
	return attest.MarshalPublicKey(pub)
}

// EventInitiator is the key that a configuration of mpcium, or an mpcd.yaml, names by its two settings; all others are passed over.
func EventInitiator(path string) (attest.Hex, error) {
	b, err := durable.ReadFile(path, configMax)
	if err != nil {
		return nil, err
	}
	key, err := eventInitiator(b)
	return key, fault.Doing(path, err)
}

// EventInitiatorFrom is EventInitiator, and for "" the key that the environment gives for that setting, nil for none.
func EventInitiatorFrom(path string) (attest.Hex, error) {
	if path != "" {
		return EventInitiator(path)
	}
	vs := Defaults()
	vs.Environment()
	if vs[eventKeyKey].Text == "" {
		return nil, nil
	}
	key, err := EventInitiatorKey(vs[eventKeyKey].Text, vs[eventKeyType].Text)
	return key, fault.Doing(eventKeyKey, err)
}

func eventInitiator(text []byte) (attest.Hex, error) {
	var c struct {
		Key       string `yaml:"event_initiator_pubkey"`
		Algorithm string `yaml:"event_initiator_algorithm"`
	}
	err := yaml.Unmarshal(text, &c)
	if err == nil && c.Key == "" {
		err = errors.New("there is no " + eventKeyKey + " in it")
	}
	if err != nil {
		return nil, fault.Usage("name a configuration that has "+eventKeyKey, "%w", err)
	}
	return EventInitiatorKey(c.Key, c.Algorithm)
}

// eventInitiator reads both settings.
func (p *parser) eventInitiator(c *Config) {
	algorithm := p.oneOf(eventKeyType, eventKeyTypes...)
	if p.text(eventKeyKey) == "" {
		return
	}
	key, err := EventInitiatorKey(p.text(eventKeyKey), algorithm)
	if why := new(fault.Error); errors.As(err, &why) {
		p.wrong(eventKeyKey, why.Do, "%v", why.Err)
	}
	c.EventInitiator = key
}
