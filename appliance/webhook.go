package appliance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
)

// AskFunc asks a program that approves, at the webhook of its approver, whether an operation may be done: it returns its word, an approval
// or a rejection, and gives up after a time. What is said is judged as every approval is, so it does not matter over what it came.
type AskFunc func(ctx context.Context, webhook string, o *Operation) (*attest.Approval, error)

// webhooksAtOnce is how many webhooks are asked at once.
const webhooksAtOnce = 16

// programs are the approvers with a webhook whose word a request lacks, of the groups that must approve. Nobody is asked about what cannot
// be judged, is taken back, or is frozen.
func (d *Desk) programs(s standing, err error) (out []attest.Approver) {
	who, _, _ := d.core.authority.inForce()
	if err != nil || who == nil || s.verdict.Allow || len(s.cancelled) > 0 ||
		d.core.freezer.refuses(s.in.KeyID, s.vault) != nil {
		return nil
	}
	said := append(slices.Clone(s.in.Approvals), s.rejected...)
	for _, x := range who.Approvers {
		needed := slices.ContainsFunc(x.Groups, func(g string) bool { return s.verdict.Needs[g] > 0 })
		if x.Webhook != "" && needed && !slices.ContainsFunc(said, func(y attest.Approval) bool { return y.By == x.Name }) {
			out = append(out, x)
		}
	}
	return out
}

// ask asks programs at once whether a request may be done, and takes up what they say. It returns when to look again, if nothing is new:
// who does not answer has not approved.
func (d *Desk) ask(ctx context.Context, session string, programs []attest.Approver) time.Duration {
	errs := make([]error, len(programs))
	var all sync.WaitGroup
	for i, x := range programs {
		all.Go(func() { errs[i] = d.askOne(ctx, session, x) })
	}
	all.Wait()
	heard := ""
	for i, err := range errs {
		if err == nil || ctx.Err() != nil {
			continue
		}
		heard = fmt.Sprintf("%s has not said whether it may: %.300s", programs[i].Name, problem.As(err).Error())
		if d.core.remarks.due(d.core.cfg.Clock(), transport.NodeID(programs[i].Name), "webhook") {
			d.core.cfg.Logger.Warn("an approver that is asked by webhook has not answered as it should; what waits for it is asked again",
				"approver", programs[i].Name, "session", session, "error", problem.As(err).Error())
		}
	}
	d.hear(session, heard)
	return deskRetry
}

// hear keeps why a request is not done yet, for who asks how it stands.
func (d *Desk) hear(session, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.m[session]; w != nil {
		w.heard = why
	}
}

// unheard is why a request is not done yet, as this node has heard: a program has not said its word, or a node cannot do its part.
func (d *Desk) unheard(session string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.m[session]; w != nil {
		return w.heard
	}
	return ""
}

func (d *Desk) askOne(ctx context.Context, session string, x attest.Approver) error {
	select {
	case d.asking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.asking }()
	o, err := d.Operation(ctx, session)
	if err != nil || o.State != PendingApproval {
		return err
	}
	word, err := d.core.cfg.Ask(ctx, x.Webhook, o)
	if err == nil {
		_, err = d.Approve(ctx, session, *word)
	}
	return err
}
