package appliance_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// screener is a program that approves: by the session_id of what it is asked it says yes or no, or something else.
type screener struct {
	t       testing.TB
	key     ed25519.PrivateKey
	wallet  threshold.KeyInfo
	another *attest.Intent // another payment
	mu      sync.Mutex
	asked   map[string]int // how often, by session_id; "elsewhere" is what a redirect leads to
	healed  bool           // it says yes to all
}

func (s *screener) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[what]
}

func (s *screener) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = true
}

func (s *screener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var o wire.Operation
	var in attest.Intent
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		s.t.Error(err)
	}
	if err := json.Unmarshal(o.Intent, &in); err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	s.asked[o.ID]++
	id := o.ID
	if s.healed {
		id = "yes"
	}
	s.mu.Unlock()
	word := func(of *attest.Intent, by string, rejects bool) {
		x, err := of.Approve(read(s.t, of, s.wallet), by, time.Now().Add(time.Hour), rejects, sim.Sign(s.key))
		if err != nil {
			s.t.Error(err)
			return
		}
		_ = json.NewEncoder(w).Encode(wire.Approval{By: x.By, Expires: x.Expires, Signature: wire.Hex(x.Signature), Rejects: x.Rejects})
	}
	switch id {
	case "hangs":
		select {
		case <-r.Context().Done():
		case <-s.t.Context().Done():
		}
	case "status":
		w.WriteHeader(http.StatusAccepted)
		word(&in, "screen", false)
	case "redirect":
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	case "rubbish":
		fmt.Fprint(w, `{"approved":true}`)
	case "long":
		fmt.Fprint(w, strings.Repeat(" ", 1<<20))
		word(&in, "screen", false)
	case "another-name":
		word(&in, "ann", false)
	case "another-payment":
		of := *s.another
		of.Authority, of.Vault = in.Authority, in.Vault
		word(&of, "screen", false)
	default:
		word(&in, "screen", id == "no")
	}
}

// screened has the cluster go by a policy by which a program approves.
func (c *cluster) screened(key ed25519.PrivateKey, webhook string) {
	c.t.Helper()
	der, err := attest.MarshalPublicKey(key.Public())
	if err != nil {
		c.t.Fatal(err)
	}
	c.asker.Chain = c.change(func(a *attest.Authority) {
		a.Policy = `@id("screened") permit (principal, action, resource) when { context.approvals.screening >= 1 };`
		a.Approvers = []attest.Approver{{Name: "screen", Key: der, Groups: []string{"screening"}, Webhook: webhook}}
	})
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(c.t.Context(), c.asker.Chain); err != nil {
			c.t.Fatal(err)
		}
	}
}

// asked has node1 asked for a payment that waits, and returns the request.
func (c *cluster) asked(wallet, session string) appliance.SignRequest {
	c.t.Helper()
	_, req := c.draft(wallet, session, 5)
	if _, err := c.nodes[0].node.Sign(c.t.Context(), req); problem.As(err).Code != problem.Unapproved {
		c.t.Fatalf("%s: %v", session, err)
	}
	return req
}

// Goal: what a program must approve is signed when it says so, at all nodes, with its word in the receipt; it is asked once, and never
// about what it has refused. Whatever else it does is no approval: it is told, asked again later, and holds up nothing else. Method: a
// program that does it all, asked over HTTP.
func TestWebhook(t *testing.T) {
	c := newCluster(t, 3)
	c.ask = api.AskWebhook
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	ctx := t.Context()
	s := &screener{t: t, key: ed25519.NewKeyFromSeed(randomSeed()), wallet: c.nodes[0].node.KeyInfo(ctx, w.ID), asked: map[string]int{}}
	s.another, _ = c.draft(w.ID, "no payment", 9)
	mux := http.NewServeMux()
	mux.Handle("/screen", s)
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked["elsewhere"]++
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	c.screened(s.key, server.URL+"/screen")
	ask := func(session string) appliance.SignRequest { return c.asked(w.ID, session) }
	wrong := map[string]string{"hangs": "its webhook does not answer: ", "status": "answers 202 Accepted", "redirect": "which is not followed",
		"rubbish": "its webhook answers what is no approval", "long": "answers more than 16 KiB", "another-name": "the approval does not hold",
		"another-payment": "the approval does not hold"}
	for session := range wrong {
		ask(session)
	}
	waitFor(t, "it hangs", func() bool { return s.count("hangs") > 0 })

	req := ask("yes")
	c.everywhere("yes", appliance.Succeeded)
	sig, err := c.nodes[2].node.Sign(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if err := attest.VerifyReceipt(sig.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{Authority: c.asker.Chain}); err != nil ||
		len(sig.Receipt.Intent.Approvals) != 1 || sig.Receipt.Intent.Approvals[0].By != "screen" {
		t.Errorf("its receipt: %v", err)
	}
	ask("no")
	for _, m := range c.nodes {
		waitFor(t, string(m.id)+" knows of the rejection", func() bool {
			o, err := m.front().Operation(ctx, "no")
			return err == nil && len(o.Rejected) == 1
		})
		m.node.WakeDesk() // and asks nobody again
	}
	_, again := c.draft(w.ID, "no", 5)
	if _, err := c.nodes[1].node.Sign(ctx, again); problem.As(err).Code != problem.Unapproved {
		t.Errorf("what it refused: %v", err)
	}

	for session, want := range wrong {
		first := c.nodes[c.nodes[0].node.FirstFor(session)]
		waitFor(t, "what is wrong is told of "+session, func() bool {
			o, err := first.front().Operation(ctx, session)
			return err == nil && strings.HasPrefix(o.Why, "screen has not said whether it may: ") && strings.Contains(o.Why, want)
		})
		for _, m := range c.nodes {
			if o, err := m.front().Operation(ctx, session); err != nil || o.State != appliance.PendingApproval || len(o.Intent.Approvals) > 0 {
				t.Errorf("%s at %s: %+v, %v", session, m.id, o, err)
			}
		}
	}
	if n := s.count("elsewhere"); n > 0 {
		t.Errorf("it was followed to where the authority does not say, %d times", n)
	}
	s.heal()
	for _, m := range c.nodes {
		m.node.WakeDesk()
	}
	for session := range wrong {
		c.everywhere(session, appliance.Succeeded)
	}
	if yes, no := s.count("yes"), s.count("no"); yes != 1 || no != 1 {
		t.Errorf("asked %d times for what it permits, %d for what it does not", yes, no)
	}
}

// Goal: a program that hangs holds up no request but that one, and only the node asks whose turn it is. Method: a node looks at many
// requests at once, in any order; of one it hears nothing.
func TestWebhookHangs(t *testing.T) {
	c := newCluster(t, 3)
	var ready atomic.Bool
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	key, info := ed25519.NewKeyFromSeed(randomSeed()), c.nodes[0].node.KeyInfo(t.Context(), w.ID)
	c.ask = func(_ context.Context, _ string, o *appliance.Operation) (*attest.Approval, error) {
		if !ready.Load() {
			return nil, errors.New("not yet")
		}
		if o.Intent.RequestID == "hangs" {
			<-release
		}
		return o.Intent.Approve(read(t, &o.Intent, info), "screen", time.Now().Add(time.Hour), false, sim.Sign(key))
	}
	c.screened(key, "https://screen.example/")
	for _, m := range c.nodes {
		m.node.WaitTurns(time.Hour)
	}
	at := c.nodes[c.nodes[0].node.FirstFor("hangs")]
	sessions := []string{"hangs"}
	for i := 0; len(sessions) < 9; i++ {
		if s := fmt.Sprint("later-", i); c.nodes[c.nodes[0].node.FirstFor(s)] == at {
			sessions = append(sessions, s)
		}
	}
	for _, s := range sessions {
		c.asked(w.ID, s)
		waitFor(t, "it has asked about "+s, func() bool {
			o, err := at.front().Operation(t.Context(), s)
			return err == nil && o.Why != ""
		})
	}
	ready.Store(true)
	at.node.WakeDesk()
	for _, s := range sessions[1:] {
		c.everywhere(s, appliance.Succeeded)
	}
	for _, m := range c.nodes {
		o, err := m.front().Operation(t.Context(), "hangs")
		if err != nil || o.State != appliance.PendingApproval || (m == at) != (o.Why != "") {
			t.Errorf("%s, what nobody has heard of: %+v, %v", m.id, o, err)
		}
	}
}

// Goal: no program is asked about what is taken back or frozen, nor one whose group the rules do not want, nor a person. Method: each, and
// who would be asked.
func TestWebhookNotAsked(t *testing.T) {
	c := newCluster(t, 3)
	c.ask = func(context.Context, string, *appliance.Operation) (*attest.Approval, error) {
		return nil, errors.New("not yet")
	}
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	ctx := t.Context()
	c.asker.Chain = c.change(func(a *attest.Authority) {
		a.Policy = agreed
		for i, name := range []string{"ann", "robot", "screen"} {
			der, err := attest.MarshalPublicKey(ed25519.NewKeyFromSeed(randomSeed()).Public())
			if err != nil {
				t.Fatal(err)
			}
			x := attest.Approver{Name: name, Key: der, Webhook: []string{"", "https://robot.example/", "https://screen.example/"}[i]}
			x.Groups = []string{[]string{"treasury", "treasury", "screening"}[i]}
			a.Approvers = append(a.Approvers, x)
		}
	})
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(ctx, c.asker.Chain); err != nil {
			t.Fatal(err)
		}
	}
	at := c.nodes[1]
	in := c.waits(w.ID, "cancelled")
	if got := at.node.Programs(ctx, "cancelled"); !slices.Equal(got, []string{"robot"}) {
		t.Errorf("asked about what waits for the treasury: %q", got)
	}
	word, err := c.asker.Cancel(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at.front().Cancel(ctx, "cancelled", word); err != nil {
		t.Fatal(err)
	}
	if got := at.node.Programs(ctx, "cancelled"); len(got) > 0 {
		t.Errorf("asked about what is cancelled: %q", got)
	}
	c.waits(w.ID, "frozen")
	theft := appliance.FreezeRequest{Scope: attest.ScopeWallet, Name: w.ID, Reason: "a theft", Requester: "op"}
	if _, err := at.front().Freeze(ctx, theft); err != nil {
		t.Fatal(err)
	}
	if got := at.node.Programs(ctx, "frozen"); len(got) > 0 {
		t.Errorf("asked about what is frozen: %q", got)
	}
}
