package appliance

import (
	"slices"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
)

// actTag is the tag of what an idempotency key is bound to: who asks, and for what, once it is read. How the request spells it, and by
// which of the paths that mean the same, is no part of it: in other words it is the same act. An initiator's word is none either: the same
// request may be signed again.
const actTag = "mpcd/v1/api/request"

// Hash is what the request's session_id is bound to.
func (r KeygenRequest) Hash() [32]byte {
	return canon.Hash(actTag, []byte(r.Requester), []byte(attest.OpKeygen), canon.MustMarshal([]int{r.Threshold, r.Total}), nameSet(r.Parties),
		[]byte(r.Curve), []byte(r.Protocol), []byte(r.Label), []byte(r.Group))
}

// Hash is what the request's session_id is bound to.
func (r SignRequest) Hash() [32]byte {
	return canon.Hash(actTag, []byte(r.Requester), []byte(attest.OpSign), []byte(r.WalletID), canon.MustMarshal(append([]uint32{}, r.Path...)),
		r.Message, canon.MustMarshal(r.Payload), nameSet(r.Signers), []byte(r.Chain))
}

// Hash is what the request's session_id is bound to.
func (r RefreshRequest) Hash() [32]byte {
	return canon.Hash(actTag, []byte(r.Requester), []byte(attest.OpRefresh), []byte(r.WalletID), nameSet(r.Release))
}

// nameSet is the encoding of names whose order means nothing.
func nameSet(names []transport.NodeID) []byte {
	return canon.MustMarshal(slices.Sorted(slices.Values(names)))
}
