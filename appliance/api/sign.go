package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/internal/address"
)

// signatureOut is a signature, or what is to become one.
type signatureOut struct {
	Status   int
	Location string `header:"Location" hidden:"true"`           // of the operation, where the signature is not waited for
	Applied  string `header:"Preference-Applied" hidden:"true"` // respond-async then
	Body     signed
}

// signed is a signature, or the operation that makes it.
type signed struct {
	wire.Signature
	later *wire.Operation
}

// MarshalJSON writes the one that it is.
func (x signed) MarshalJSON() ([]byte, error) {
	if x.later != nil {
		return json.Marshal(x.later)
	}
	return json.Marshal(x.Signature)
}

// Schema is that of a signature: the other answer has another status, which has its own.
func (signed) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[wire.Signature](), true, "")
}

func (s *server) sign(ctx context.Context, in *struct{ Body signBody }) (*signatureOut, error) {
	b := in.Body
	w, err := s.find(ctx, b.WalletID, b.PublicKey)
	if err != nil {
		return nil, err
	}
	message, payload, err := b.message(w)
	if err != nil {
		return nil, err
	}
	var path []uint32
	if b.DerivationPath != nil {
		if path, err = parsePath(spelled[string]{"derivation_path", *b.DerivationPath}); err != nil {
			return nil, err
		}
	}
	signers, err := nodes("signers", b.Signers)
	if err != nil {
		return nil, err
	}
	for i, n := range signers {
		if !slices.Contains(w.Parties, n) {
			return nil, invalidField(fmt.Sprintf("signers[%d]", i), "see parties of the wallet", "%s holds no share of the wallet", n)
		}
	}
	if len(signers) > 0 && len(signers) < w.Threshold {
		return nil, invalidField("signers", "name more nodes, or leave signers out", "too few signers are named: %d, the wallet needs %d",
			len(signers), w.Threshold)
	}
	if err := suits(b.Chain, w); err != nil {
		return nil, err
	}
	consent, err := b.Consent.value(callOf(ctx).header)
	if err != nil {
		return nil, err
	}
	c := callOf(ctx)
	r := appliance.SignRequest{SessionID: c.session, WalletID: w.ID, Path: path, Message: message, Payload: payload, Signers: signers,
		Chain: b.Chain, Requester: c.requester, Consent: consent}
	if c.later {
		if out, err := s.later(ctx, r); err != nil || out != nil {
			return out, err
		}
	}
	r.BodyHash = r.Hash()
	sig, err := s.backend(ctx).Sign(ctx, r)
	if err != nil {
		return nil, err
	}
	body, err := renderSignature(sig, w)
	return &signatureOut{Status: http.StatusOK, Body: signed{Signature: body}}, err
}

// later has a request done that its caller does not wait for; nil where it must wait, or need not: the operation is over.
func (s *server) later(ctx context.Context, r appliance.SignRequest) (*signatureOut, error) {
	if r.SessionID == "" {
		r.SessionID = newUUID(s.Rand)
	}
	r.BodyHash = r.Hash()
	o, err := s.backend(ctx).Later(ctx, r)
	if err != nil || o == nil || o.State.Over() {
		return nil, err
	}
	out, err := renderOperation(o)
	if err != nil {
		return nil, err
	}
	return &signatureOut{Status: http.StatusAccepted, Location: "/api/v1/operations/" + url.PathEscape(r.SessionID),
		Applied: respondAsync, Body: signed{later: &out.Body}}, nil
}

// message is what will be signed, or the payload that says it. It must be there once, and be what a key of the wallet's kind signs.
func (b signBody) message(w *appliance.Wallet) ([]byte, *attest.Payload, error) {
	given, err := one(spelled[string]{"message_hash", b.MessageHash}, spelled[string]{"payload", b.Payload},
		spelled[string]{"message", b.Message})
	payload, bad := b.Transaction.value()
	switch {
	case err != nil || bad != nil:
		return nil, nil, cmp.Or(err, bad)
	case payload != nil && given.field != "":
		return nil, nil, invalidField(given.field, "give one of them", "%s and transaction are both given", given.field)
	case payload != nil && b.Chain == "":
		return nil, nil, invalidField("chain", "name the chain that the transaction is of", "a transaction, and no chain")
	case payload != nil:
		return nil, payload, nil
	case given.field == "":
		return nil, nil, invalidField("message_hash", "give a transaction, or message_hash, payload or message in hex",
			"there is nothing to sign")
	}
	m, err := parseHex(given)
	if err != nil {
		return nil, nil, err
	}
	return m, nil, appliance.CheckMessage(w.Kind, given.field, m)
}

// suits refuses a chain that cannot take the wallet's kind of key, and one that is not known, misspelt perhaps: the receipt would be
// evidence of nothing.
func suits(chain string, w *appliance.Wallet) error {
	if chain == "" {
		return nil
	}
	known := map[string]bool{}
	for _, c := range address.Chains() {
		if c.Name == chain {
			if c.Family == address.Family(w.Kind.Addresses) {
				return nil
			}
		}
		known[c.Name] = true
	}
	if known[chain] {
		return invalidField("chain", "check the wallet, or leave chain out",
			"%s takes no signature of this wallet, which has no address there: its key is of %s on %s", chain, w.Protocol, w.Kind.Curve)
	}
	return invalidField("chain", "use one of "+strings.Join(slices.Sorted(maps.Keys(known)), ", ")+", or leave chain out",
		"%s is no chain that this build knows", clip(chain))
}
