package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/internal/address"
)

func (s *server) sign(ctx context.Context, in *struct{ Body signBody }) (*answer[wire.Signature], error) {
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
	r := appliance.SignRequest{SessionID: s.session(ctx), WalletID: w.ID, Path: path, Message: message, Payload: payload, Signers: signers,
		Chain: b.Chain, Requester: callOf(ctx).requester, Consent: consent}
	r.BodyHash = r.Hash()
	if out, err := later[wire.Signature](ctx, s, r); err != nil || out != nil {
		return out, err
	}
	sig, err := s.backend(ctx).Sign(ctx, r)
	if err != nil {
		return nil, err
	}
	body, err := renderSignature(sig, w)
	return answered(http.StatusOK, body, err)
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
