package sim

import (
	"context"
	"crypto/ed25519"
	"time"

	"github.com/luxfi/mpcd/attest"
)

// Asker is the initiator of a simulated cluster, which may ask for everything, and the authority that says so, of one officer.
type Asker struct {
	Chain   attest.AuthorityChain
	Officer ed25519.PrivateKey // "officer"
	key     ed25519.PrivateKey // of "asker"
}

// NewAsker makes keys from seeds of 32 bytes, and has root sign the authority of a cluster.
func NewAsker(cluster string, root ed25519.PrivateKey, officer, asker []byte) (*Asker, error) {
	a := &Asker{Officer: ed25519.NewKeyFromSeed(officer), key: ed25519.NewKeyFromSeed(asker)}
	of := func(key ed25519.PrivateKey) attest.Hex {
		der, err := attest.MarshalPublicKey(key.Public())
		if err != nil {
			panic(err) // of our own types
		}
		return der
	}
	first := attest.Authority{Version: attest.AuthorityVersion, Cluster: cluster, Serial: 1, Quorum: 1,
		Policy:   `@id("all") permit (principal, action, resource);`,
		Officers: []attest.Officer{{Name: "officer", Key: of(a.Officer)}},
		Initiators: []attest.Initiator{{Name: "asker", Key: of(a.key), May: []attest.Grant{{
			Operations: []attest.Operation{attest.OpSign, attest.OpSignRaw, attest.OpKeygen, attest.OpRefresh},
			Vaults:     []string{attest.AnyVault}}}}}}
	s, err := first.Sign(attest.RootSigner, Sign(root))
	a.Chain = attest.AuthorityChain{{Authority: first, Signatures: []attest.AuthoritySignature{s}}}
	return a, err
}

// Sign signs with a key of Ed25519.
func Sign(key ed25519.PrivateKey) attest.SignFunc {
	return func(message []byte) ([]byte, error) { return ed25519.Sign(key, message), nil }
}

// Initiate signs whatever is asked for, for an hour from when it was: appliance.Config.Initiate.
func (a *Asker) Initiate(_ context.Context, in *attest.Intent) error {
	return a.InitiateUntil(in, time.UnixMilli(in.Created).Add(time.Hour))
}

// Cancel signs that the asker takes back what it asked for.
func (a *Asker) Cancel(in *attest.Intent) ([]byte, error) { return Sign(a.key)(in.CancelMessage()) }

// InitiateUntil signs whatever is asked for, until a time.
func (a *Asker) InitiateUntil(in *attest.Intent, expires time.Time) (err error) {
	if len(a.Chain) > 0 {
		digest := a.Chain[len(a.Chain)-1].Authority.Digest()
		in.Authority = digest[:]
	}
	in.Initiation, err = in.Initiate("asker", expires, Sign(a.key))
	return err
}

// InitiateHTTP signs whatever is asked for as an HTTP message signature, for a node to put the authority in, and returns the field that it
// covers.
func (a *Asker) InitiateHTTP(in *attest.Intent, expires time.Time) (field string, err error) {
	in.Initiation, err = in.InitiateHTTP("asker", time.UnixMilli(in.Created), expires, Sign(a.key))
	return in.InitiationValue("asker", in.Initiation.Expires), err
}
