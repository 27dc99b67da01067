package api

import (
	"cmp"
	"context"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/threshold"
)

type OperationIn struct {
	ID string `path:"id" minLength:"1" maxLength:"128" doc:"The session_id of the request."`
}

type operationOut struct{ Body wire.Operation }

func (s *server) operation(ctx context.Context, in *OperationIn) (*operationOut, error) {
	o, err := s.backend(ctx).Operation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return renderOperation(o)
}

func (s *server) operations(ctx context.Context, in *struct {
	State string `query:"state" enum:"PENDING_APPROVAL,RUNNING,SUCCEEDED,FAILED,EXPIRED,CANCELLED" doc:"Only these."`
}) (*struct{ Body wire.OperationList }, error) {
	all, err := s.backend(ctx).Operations(ctx, appliance.OperationState(in.State))
	if err != nil {
		return nil, err
	}
	out := wire.OperationList{Operations: []wire.Operation{}}
	for _, o := range all {
		one, err := renderOperation(&o)
		if err != nil {
			return nil, err
		}
		out.Operations = append(out.Operations, one.Body)
	}
	return &struct{ Body wire.OperationList }{out}, nil
}

// wordBody is an approver's word on an operation.
type wordBody struct {
	ApprovalBody
	Rejects bool `json:"rejects,omitempty" doc:"That it may not be done, instead: for good."`
}

func (s *server) approve(ctx context.Context, in *struct {
	OperationIn
	Body wordBody
}) (*operationOut, error) {
	x, err := in.Body.value("")
	if err != nil {
		return nil, err
	}
	x.Rejects = in.Body.Rejects
	o, err := s.backend(ctx).Approve(ctx, in.ID, x)
	if err != nil {
		return nil, err
	}
	return renderOperation(o)
}

func (s *server) cancel(ctx context.Context, in *struct {
	OperationIn
	Body struct {
		Signature string `json:"signature" minLength:"130" maxLength:"130" pattern:"^0x[0-9a-f]{128}$" doc:"64 bytes in hex, of the initiator that asked; docs/RECEIPTS.md says over what."`
	}
}) (*operationOut, error) {
	sig, err := parseHex(spelled[string]{"signature", in.Body.Signature})
	if err != nil {
		return nil, err
	}
	o, err := s.backend(ctx).Cancel(ctx, in.ID, sig)
	if err != nil {
		return nil, err
	}
	return renderOperation(o)
}

// renderOperation writes an operation.
func renderOperation(o *appliance.Operation) (*operationOut, error) {
	in := o.Intent
	if in.Keygen == nil {
		in.Signers = []threshold.PartyID{} // nobody was chosen; null would stand for nothing
	}
	out := wire.Operation{ID: in.RequestID, State: string(o.State), Needs: o.Needs, Approved: people(in.Approvals),
		Rejected: people(o.Rejected), Why: o.Why, ReceiptID: o.ReceiptID, WalletID: cmp.Or(in.KeyID, o.Wallet), Operation: string(in.Operation),
		Initiator: in.Initiation.By, ExpiresMS: in.Initiation.Expires,
		Cluster: in.Cluster}
	var err error
	if out.Intent, err = renderJSON("the intent", in); err == nil && o.Key.GroupKey != nil {
		out.Key, err = renderJSON("the key", attest.NewKeyRecord(o.Key))
	}
	return &operationOut{out}, err
}

func people(words []attest.Approval) []string {
	out := make([]string, 0, len(words))
	for _, x := range words {
		out = append(out, x.By)
	}
	return out
}
