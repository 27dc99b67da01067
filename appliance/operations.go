package appliance

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// OperationState is where a request stands that had to wait for people, or whose caller does not wait for it.
type OperationState string

// The states.
const (
	PendingApproval OperationState = "PENDING_APPROVAL" // people must agree
	Running         OperationState = "RUNNING"          // enough have; it is being done, or is tried again until it expires
	Succeeded       OperationState = "SUCCEEDED"
	Failed          OperationState = "FAILED" // for good, at this node
	Expired         OperationState = "EXPIRED"
	Cancelled       OperationState = "CANCELLED" // by its initiator
)

// Over tells whether nothing comes after a state.
func (s OperationState) Over() bool { return s != PendingApproval && s != Running }

// Operation is a request that had to wait for people, or whose caller does not wait for it, as this node knows it.
type Operation struct {
	State OperationState
	// Intent is what is asked for, under the authority in force, with the approvals that hold; Key is the wallet's, the zero value of one that
	// is to be made.
	Intent    attest.Intent
	Key       threshold.KeyInfo
	Rejected  []attest.Approval
	Needs     map[string]int // how many of which groups must approve in all, where it is PendingApproval
	Why       string         // where it has failed or cannot be judged here
	ReceiptID string         // of the signature
	Wallet    string         // that was made, or refreshed
}

// Vault is that of the wallet, or of the one that is to be made.
func (o *Operation) Vault() string {
	if k := o.Intent.Keygen; k != nil {
		return k.Group
	}
	return o.Intent.Vault
}

// Front is what a node answers its callers by.
type Front struct {
	*Node
	*Desk
	*Freezer
	*witness
}

// NewFront is a node with its desk, where requests wait for people, with what is frozen, and with what it has witnessed.
func NewFront(n *Node) Front { return Front{n, n.desk, n.freezer, n.witness} }

// Freeze freezes what a request names, a wallet by its ID or public key; NotFound where no node knows it: a freeze of a misspelled one
// would stop nothing.
func (f Front) Freeze(ctx context.Context, req FreezeRequest) (*FreezeState, error) {
	if req.Scope == attest.ScopeWallet {
		w, err := f.Wallet(ctx, req.Name)
		if err != nil {
			return nil, err
		}
		req.Name = w.ID
	}
	return f.Freezer.Freeze(ctx, req)
}

// Operation shows a request that waits, or did; NotFound.
func (d *Desk) Operation(ctx context.Context, session string) (*Operation, error) {
	r, ok := d.record(session)
	if !ok {
		return nil, problem.New(problem.NotFound, "list them: `mpcd operation list`; another node may not have told it yet",
			"no request of session_id %q waits here for approvals, or did", session)
	}
	return d.operation(ctx, r)
}

func (d *Desk) operation(ctx context.Context, r waiterRecord) (*Operation, error) {
	st, err := d.core.ops.State(ctx, string(r.Intent.Operation), r.Intent.RequestID)
	if err != nil {
		return nil, err
	}
	s, why := d.judge(ctx, r)
	o := &Operation{Intent: s.in, Key: s.key.Record.Info, Rejected: s.rejected, Why: r.Failed}
	switch {
	case len(st.Answer) > 0 && s.asks.session != "" && st.Body != s.asks.body:
		o.State, o.Why = Failed, operation.Reused(r.Intent.RequestID).Error()
	case len(st.Answer) > 0:
		o.State = Succeeded
		o.ReceiptID, o.Wallet, err = d.kinds[r.Intent.Operation].made(st.Answer)
	case len(r.Cancelled) > 0:
		o.State = Cancelled
	case r.Failed != "":
		o.State = Failed
	case r.Intent.Initiation.Expires < d.core.cfg.Clock().UnixMilli():
		o.State = Expired
	case why != nil:
		o.State, o.Why = PendingApproval, problem.As(why).Error()
	case s.verdict.Allow:
		o.State, o.Why = Running, d.unheard(r.Intent.RequestID)
	default:
		o.State, o.Needs, o.Why = PendingApproval, s.verdict.Needs, d.unheard(r.Intent.RequestID)
		if len(o.Needs) == 0 {
			o.Why = denied(s.verdict).Error()
		}
	}
	if f := d.core.freezer.refuses(s.in.KeyID, s.vault); f != nil && why == nil && (o.State == Running || o.State == PendingApproval) {
		o.Why = f.Error()
	}
	return o, err
}

// Operations lists the requests that wait, or did, the newest first; of one state, or "" of all.
func (d *Desk) Operations(ctx context.Context, state OperationState) ([]Operation, error) {
	d.mu.Lock()
	all := make([]waiterRecord, 0, len(d.m))
	for _, w := range d.m {
		all = append(all, w.waiterRecord)
	}
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b waiterRecord) int {
		return cmp.Or(cmp.Compare(b.Intent.Initiation.Expires, a.Intent.Initiation.Expires), cmp.Compare(a.Intent.RequestID, b.Intent.RequestID))
	})
	out := []Operation{}
	for _, r := range all {
		o, err := d.operation(ctx, r)
		if err != nil {
			return nil, err
		}
		if state == "" || o.State == state {
			out = append(out, *o)
		}
	}
	return out, nil
}

// Approve takes an approver's word on a request, that it may be done or that it may not.
func (d *Desk) Approve(ctx context.Context, session string, x attest.Approval) (*Operation, error) {
	r, now, err := d.waiting(ctx, session, x.Rejects)
	if err != nil {
		return nil, err
	}
	who, _, _ := d.core.authority.inForce()
	s, err := d.judge(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := who.CheckApproval(s.in, s.decoded, x, now); err != nil {
		return nil, &problem.Error{Code: problem.Denied, Message: "the approval does not hold", Err: err,
			Next: "approve the operation as it is now: `mpcd approve`; the authority may be a newer one since it was signed"}
	}
	words := &r.Intent.Approvals
	if x.Rejects {
		words = &r.Rejected
	}
	*words = append(slices.Clone(*words), x)
	return d.change(ctx, r)
}

// Cancel takes the initiator's word that it takes its request back.
func (d *Desk) Cancel(ctx context.Context, session string, signature []byte) (*Operation, error) {
	r, _, err := d.waiting(ctx, session, true)
	if err != nil {
		return nil, err
	}
	who, _, _ := d.core.authority.inForce()
	if err := who.CheckCancel(r.Intent, signature); err != nil {
		return nil, &problem.Error{Code: problem.Denied, Message: "nobody who may has cancelled it", Err: err,
			Next: "cancel it as the initiator that asked for it"}
	}
	r.Cancelled = signature
	return d.change(ctx, r)
}

// waiting is the record of a request that still waits; to take it back, the others are asked whether it was signed.
func (d *Desk) waiting(ctx context.Context, session string, back bool) (r waiterRecord, now time.Time, err error) {
	o, err := d.Operation(ctx, session)
	if err != nil {
		return r, now, err
	}
	r, _ = d.record(session)
	now = d.core.cfg.Clock()
	if back && (o.State == PendingApproval || o.State == Running) {
		s, _ := d.judge(ctx, r)
		found, away, err := d.elsewhere(ctx, r, s)
		switch {
		case err != nil:
			return r, now, err
		case away != "":
			return r, now, problem.New(problem.Quorum, "start it, and repeat this", "it may have been signed: node %s led it, and is away", away)
		case found:
			o.State = Succeeded
		}
	}
	if o.State != PendingApproval && o.State != Running {
		return r, now, problem.New(problem.Conflict, "ask for it anew, under another session_id, if it is still wanted",
			"the operation is over: it is %s", o.State)
	}
	return r, now, nil
}

func (d *Desk) change(ctx context.Context, r waiterRecord) (*Operation, error) {
	if err := d.add(ctx, r); err != nil {
		return nil, err
	}
	return d.Operation(ctx, r.Intent.RequestID)
}

// Later has a request done that its caller does not wait for, as one that people have approved is, and returns how it stands. It is nil,
// and nothing is kept, where only who waits can have it: nobody has signed the request, or this node does not keep the wallet's key.
func (d *Desk) Later(ctx context.Context, req Request) (*Operation, error) {
	op, session, body := req.claims()
	if answer, err := d.others.stored(ctx, op, session, body); err != nil || answer != nil {
		return nil, err
	}
	r, err := req.waits(ctx, d)
	if err != nil || r == nil {
		return nil, err
	}
	r.Here = true
	return d.change(ctx, *r)
}

// Follow has the channel filled when a request has changed, or may have, until stop is called.
func (d *Desk) Follow(session string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	d.following.Lock()
	defer d.following.Unlock()
	d.followers[c] = session
	return c, func() {
		d.following.Lock()
		defer d.following.Unlock()
		delete(d.followers, c)
	}
}

// tell tells those who follow a request, or with "" any, that it has changed.
func (d *Desk) tell(session string) {
	d.following.Lock()
	defer d.following.Unlock()
	for c, of := range d.followers {
		if session != "" && session != of {
			continue
		}
		select {
		case c <- struct{}{}:
		default: // it is full: who follows has not looked yet
		}
	}
}
