package appliance

import (
	"log/slog"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: parties whose pair states differ meet as different views, which accuses nobody. Method: compare what they bind.
func TestSetupBindsPairs(t *testing.T) {
	n, c, in := &making{core: &core{members: &ceremony.Members{}}}, &ceremony.Ceremony{}, &attest.Intent{}
	a, b := n.setup(c, threshold.Committee{}, in, [32]byte{1}), n.setup(c, threshold.Committee{}, in, [32]byte{2})
	if string(a.Context) == string(b.Context) {
		t.Error("the pair state is not bound")
	}
}

// Goal: what a stranger writes into a proposal neither names an event nor makes us write to thousands. Method: propose nonsense.
func TestNonsenseProposal(t *testing.T) {
	p := proposal{Version: proposalVersion, Operation: "export", Signers: make([]threshold.PartyID, threshold.MaxParties+1)}
	body := canon.MustMarshal(p)
	n := &Node{core: core{cfg: Config{Logger: slog.New(slog.DiscardHandler), Clock: time.Now}, members: &ceremony.Members{}}}
	n.router = ceremony.NewRouter(ceremony.Hall{Members: n.members, Clock: time.Now, Send: func(transport.Envelope) {}})
	n.answerProposal(t.Context(), transport.Envelope{From: "m", Topic: proposalTopic(body), Body: body})
	if _, err := n.router.Enter(proposalTopic(body), "m", nil); err != nil || n.counts.refused.Load() != 1 {
		t.Error("a proposal to too many parties was looked at")
	}
}

// Goal: refused proposals of one peer cannot fill the audit log, and do not silence another's. Method: count in two minutes.
func TestRefusalRate(t *testing.T) {
	var r refusalRate
	now := time.Now()
	count := func(peer transport.NodeID) (n int) {
		for range 1000 {
			if r.allow(now, refusedTo{peer: peer}, refusalsMinute) {
				n++
			}
		}
		return n
	}
	if a, b := count("a"), count("b"); a != refusalsMinute || b != refusalsMinute {
		t.Errorf("%d and %d on record", a, b)
	}
	if !r.allow(now, refusedTo{"a", true}, refusalsMinute) {
		t.Error("what fills the pool is counted with all else")
	}
	now = now.Add(time.Minute)
	if a := count("a"); a != refusalsMinute {
		t.Errorf("%d on record in the next minute", a)
	}
}
