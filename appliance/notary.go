package appliance

import (
	"context"
	"crypto"
	"fmt"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
)

// notary makes what this node's token signs: cosignatures of intents before anything is proposed, and attestations of what the node did.
type notary struct {
	hsm            *heededSigner
	cosign, attest attest.Key
	cluster, node  string
	clock          func() time.Time

	mu   sync.Mutex
	took time.Duration // for a cosignature, lately: a moving average over some ten
}

type equalKey interface{ Equal(crypto.PublicKey) bool }

// newNotary compares the token's keys with those that the roster pins: peers would refuse everything that others sign.
func newNotary(ctx context.Context, c Config, self *ceremony.Member) (*notary, error) {
	own := func(id string, pinned crypto.PublicKey, what string) (attest.Key, error) {
		p, ok := hsm.As[hsm.PublicKeyer](c.HSM)
		if !ok {
			return attest.Key{}, problem.New(problem.HSM, "use a token that tells public keys", "the token of provider %s does not tell public keys",
				c.HSM.Provider())
		}
		pub, err := p.PublicKey(ctx, id)
		if err != nil {
			return attest.Key{}, &problem.Error{Code: problem.HSM, Message: fmt.Sprintf("the %s key %q", what, id),
				Next: "check the key IDs and the token", Err: err}
		}
		if e, ok := pub.(equalKey); !ok || !e.Equal(pinned) {
			return attest.Key{}, problem.New(problem.HSM, "put the token back that was enrolled; if it was replaced, `mpcd node enroll` here and "+
				"`mpcd node roster sign` at the operator's",
				"the token's %s key %q is not the one the roster pins", what, id)
		}
		return attest.Key{ID: id, Public: pub}, nil
	}
	t := &notary{hsm: &heededSigner{Signer: c.HSM, outcomes: outcomes{clock: c.Clock, at: c.Clock()}}, cluster: c.Cluster,
		node: string(c.Node), clock: c.Clock}
	var err error
	if t.cosign, err = own(c.CosignKey, self.Cosign, "cosign"); err != nil {
		return nil, err
	}
	t.attest, err = own(c.AttestKey, self.Attest, "attestation")
	return t, err
}

// header is the head of an attestation by this node, now.
func (t *notary) header(k attest.Kind) attest.Header {
	return attest.Header{Kind: k, Cluster: t.cluster, Node: t.node, Time: t.clock().UnixMilli()}
}

// intent is an intent of this node, made now.
func (t *notary) intent(op attest.Operation, request, requester string, signers []threshold.PartyID) *attest.Intent {
	return &attest.Intent{Version: attest.IntentVersion, Cluster: t.cluster, Operation: op, RequestID: request, Signers: signers,
		Requester: requester, Node: t.node, Created: t.clock().UnixMilli()}
}

// cosigns has the token sign the root of intents' hashes.
func (t *notary) cosigns(ctx context.Context, hashes [][]byte) (*attest.Batch, error) {
	began := t.clock()
	batch, err := attest.Attest(ctx, t.hsm, t.cosign, t.header(attest.KindCosign), hashes)
	t.mu.Lock()
	t.took += (t.clock().Sub(began) - t.took) / 8
	t.mu.Unlock()
	if err != nil {
		return nil, tokenFailed("the token did not co-sign the intent", err)
	}
	return batch, nil
}

// slowness is what the token takes for a signature, lately.
func (t *notary) slowness() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.took
}
