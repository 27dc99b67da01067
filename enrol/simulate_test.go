package enrol

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// simulated is when simulations of tests end; they begin two days before.
var simulated = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// simulation is one of rules, with an authority of which ann is in the treasury and eve may ask, by their keys.
func simulation(t *testing.T, rules string) (s *Simulation, eve, ann ed25519.PrivateKey) {
	t.Helper()
	hexOf := func(k ed25519.PrivateKey) attest.Hex {
		der, err := attest.MarshalPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	eve, ann = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	a := attest.Authority{Version: 1, Cluster: "c", Serial: 1, Quorum: 1,
		Initiators: []attest.Initiator{{Name: "eve", Key: hexOf(eve), May: []attest.Grant{{Operations: []attest.Operation{attest.OpSignRaw},
			Vaults: []string{attest.AnyVault}}}}},
		Approvers: []attest.Approver{{Name: "ann", Key: hexOf(ann), Groups: []string{"treasury"}}},
		Assets:    []policy.Asset{{Network: "ethereum", ID: "0xA0b8", Decimals: 18}}}
	path := filepath.Join(t.TempDir(), "rules.cedar")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewSimulation(path, []string{"ethereum/0xA0b8=6"}, nil, attest.AuthorityChain{{Authority: a}}, 2, simulated)
	if err != nil {
		t.Fatal(err)
	}
	return s, eve, ann
}

// ether is a request to send so many of the smallest units, hours before the simulation ends.
func ether(hours int, asset string, n int64, was string) *asked {
	return &asked{was: was, decoded: &intent.Decoded{Transfers: []intent.Transfer{{What: intent.Send, To: "0x35", Asset: asset,
		Amount: big.NewInt(n)}}}, intent: attest.Intent{Operation: attest.OpSign, Chain: "ethereum", KeyID: "w_1",
		Payload: &attest.Payload{}, Initiation: &attest.Initiation{By: "eve"},
		Created: simulated.Add(time.Duration(-hours) * time.Hour).UnixMilli()}}
}

// Goal: what rules would have changed is told as it would have come: each request judged when it was asked for, amounts counted of what
// the rules permit, and of what was signed before they begin. Method: tokens of a limit a day, in another order than they were asked for.
func TestSimulatedInOrder(t *testing.T) {
	const million = 1_000_000
	s, _, _ := simulation(t, `@id("daily") permit (principal, action, resource) when
		{ context.what == "send" && context.spent.wallet.day.lessThanOrEqual(decimal("10.0")) };
		@id("agreed") permit (principal, action, resource) when { context.to == "0x36" && context.approvals.treasury >= 1 };`)
	s.asked = map[string]*asked{
		"a-history":  ether(60, "0xA0b8", 7*million, wasSigned), // counts until 36 hours before the end
		"b-expired":  ether(59, "0xA0b8", 9*million, wasExpired),
		"z-first":    ether(47, "0xA0b8", 4*million, wasSigned), // 11 with the history
		"y-second":   ether(40, "0xA0b8", 3*million, wasSigned), // 10
		"x-third":    ether(20, "0xA0b8", 6*million, wasSigned), // 9: the first was not, the history is over
		"w-fourth":   ether(19, "0xA0b8", 1*million, wasExpired),
		"v-fifth":    ether(18, "0xA0b8", 1*million, wasSigned), // the fourth would have been
		"u-unknown":  ether(10, "0xDDDD", 1, wasWaiting),
		"t-approves": ether(9, "0xDDDD", 1, wasSigned),
		"s-waits":    ether(8, "0xDDDD", 1, wasWaiting),
	}
	for _, session := range []string{"t-approves", "s-waits"} {
		s.asked[session].decoded.Transfers[0].To = "0x36"
	}
	x := s.Outcome()
	var said []string
	for _, c := range x.Changes {
		said = append(said, fmt.Sprintf("%s %s %s %s", c.Session, c.Was, c.Would, c.Rule))
	}
	want := []string{"z-first signed denied default-deny", "w-fourth expired permitted daily", "v-fifth signed denied default-deny",
		"u-unknown waiting denied default-deny", "t-approves signed waiting default-deny"}
	if !slices.Equal(said, want) || x.Judged != 8 || x.Denied != 3 || x.Permitted != 1 || x.Waiting != 1 || x.Same != 3 {
		t.Errorf("%q\n%+v", said, x)
	}
	if c := x.Changes[0]; c.Time != simulated.Add(-47*time.Hour) || c.Initiator != "eve" || c.Wallet != "w_1" ||
		!strings.Contains(c.Why, "wallet 4.0, 11.0, 11.0") {
		t.Errorf("%+v", c)
	}
	if said := fmt.Sprint(x.Rows()); !strings.Contains(said, "had 1 wait") || !strings.Contains(said, `for 1 of "treasury"`) ||
		!strings.Contains(said, "from a week before on") {
		t.Error(said)
	}
}

// Goal: what a node says waits is judged if its initiator has asked for it and its approvals hold, at the time that a log has; else it is
// counted, and why. Method: an operation, and one thing wrong with it each.
func TestSimulatedOperations(t *testing.T) {
	s, eve, ann := simulation(t, `@id("raw") permit (principal, action, resource) when { context.approvals.treasury >= 1 };`)
	sign := func(k ed25519.PrivateKey) attest.SignFunc {
		return func(m []byte) ([]byte, error) { return ed25519.Sign(k, m), nil }
	}
	group := bytes.Repeat([]byte{3}, 32)
	key := attest.KeyRecord{Kind: threshold.Ed25519.ID, Threshold: 2, Parties: []threshold.PartyID{1, 2}, GroupKey: group,
		PublicShares: []attest.Hex{}}
	key.KeyID = attest.KeyID(key.Kind, key.GroupKey)
	digest := s.chain[0].Authority.Digest()
	at := simulated.Add(-time.Hour)
	for name, row := range map[string]struct {
		change func(o *wire.Operation, in *attest.Intent, e *wire.AuditEntry)
		want   string // why it is not judged; "" where it is
	}{
		"good":          {func(*wire.Operation, *attest.Intent, *wire.AuditEntry) {}, ""},
		"has expired":   {func(o *wire.Operation, _ *attest.Intent, _ *wire.AuditEntry) { o.State = "EXPIRED" }, ""},
		"was cancelled": {func(o *wire.Operation, _ *attest.Intent, _ *wire.AuditEntry) { o.State = "CANCELLED" }, "are cancelled"},
		"runs":          {func(o *wire.Operation, _ *attest.Intent, _ *wire.AuditEntry) { o.State = "RUNNING" }, "are running"},
		"in no log":     {func(_ *wire.Operation, _ *attest.Intent, e *wire.AuditEntry) { e.Event = "node.start" }, "whose log was not read"},
		"too old":       {func(_ *wire.Operation, _ *attest.Intent, e *wire.AuditEntry) { e.TimeMS = 1 }, "whose log was not read"},
		"of nobody": {func(_ *wire.Operation, in *attest.Intent, _ *wire.AuditEntry) { in.Initiation.Signature[0] ^= 1 },
			"do not hold"},
		"approved by nobody": {func(_ *wire.Operation, in *attest.Intent, _ *wire.AuditEntry) { in.Approvals[0].Signature[0] ^= 1 },
			"do not hold"},
		"under another authority": {func(_ *wire.Operation, in *attest.Intent, _ *wire.AuditEntry) { in.Authority = make(attest.Hex, 32) },
			"do not hold"},
		"of another key": {func(_ *wire.Operation, in *attest.Intent, _ *wire.AuditEntry) { in.KeyID = "w_2" }, "do not hold"},
		"when it was over": {func(_ *wire.Operation, _ *attest.Intent, e *wire.AuditEntry) { e.TimeMS = simulated.UnixMilli() + 1 },
			"do not hold"},
	} {
		s.asked, s.logged, s.waits, s.missed = map[string]*asked{}, map[string]*logged{}, map[string]wire.Operation{}, map[string]*Unjudged{}
		in := attest.Intent{Version: attest.IntentVersion, Cluster: "c", Operation: attest.OpSign, RequestID: "s-1", KeyID: key.KeyID,
			Message: attest.Hex{1}, Signers: []threshold.PartyID{}, Created: simulated.UnixMilli(), Authority: digest[:]}
		var err error
		if in.Initiation, err = in.Initiate("eve", simulated, sign(eve)); err != nil {
			t.Fatal(err)
		}
		approval, err := in.Approve(nil, "ann", simulated, false, sign(ann))
		if err != nil {
			t.Fatal(err)
		}
		in.Approvals = []attest.Approval{*approval}
		o := wire.Operation{ID: "s-1", State: "PENDING_APPROVAL"}
		e := wire.AuditEntry{Node: "node1", Event: "operation.change", TimeMS: at.UnixMilli(), Facts: map[string]string{"session": "s-1"}}
		row.change(&o, &in, &e)
		o.Intent, _ = json.Marshal(in)
		o.Key, _ = json.Marshal(key)
		src := Source{Audit: page(e), Operations: func() ([]wire.Operation, error) { return []wire.Operation{o, o}, nil }}
		if err := s.Read(src); err != nil {
			t.Fatal(err)
		}
		x := s.Outcome()
		if row.want == "" {
			if x.Permitted != 1 || len(x.Unjudged) > 0 || x.Changes[0].Time != at || x.Changes[0].Rule != "raw" {
				t.Errorf("%s: %+v, %+v", name, x, x.Unjudged)
			}
			continue
		}
		if x.Judged > 0 || len(x.Unjudged) != 1 || x.Unjudged[0].Count != 1 || !strings.Contains(x.Unjudged[0].Why, row.want) {
			t.Errorf("%s: %+v, %v", name, x, x.Rows())
		}
	}
}

// page is a log of one page.
func page(all ...wire.AuditEntry) func(string) ([]wire.AuditEntry, string, error) {
	return func(string) ([]wire.AuditEntry, string, error) { return all, "", nil }
}

// Goal: what logs name is looked for where it may be, and counted where it is not found; nothing is believed that does not verify, or is
// another receipt. Method: two pages of a log with an entry of each kind, and a source without receipts, with rubbish, with a receipt of
// another request, and that fails.
func TestSimulatedLogs(t *testing.T) {
	s, _, _ := simulation(t, `@id("all") permit (principal, action, resource);`)
	entry := func(hours int, event, session string, facts ...string) wire.AuditEntry {
		e := wire.AuditEntry{Node: "node1", Event: event, TimeMS: simulated.Add(time.Duration(-hours) * time.Hour).UnixMilli(),
			Facts: map[string]string{"session": session}}
		if len(facts) > 0 {
			e.Facts["intent"] = facts[0]
		}
		return e
	}
	hash := strings.Repeat("ab", 32)
	first := []wire.AuditEntry{entry(60, "share.sign", "old", hash), entry(2, "share.sign", "party", hash),
		entry(2, "sign.accept", "coordinator", hash), entry(2, "sign.refuse", "denied"),
		entry(2, "operation.change", "denied"), entry(2, "node.start", "")}
	second := []wire.AuditEntry{entry(1, "keygen.begin", "key"), entry(1, "refresh.refuse", "refresh"), entry(1, "keygen.certified", "done"),
		entry(1, "share.prove", "proof", hash), entry(1, "sign.done", "rubbish", "x")}
	var wanted []string
	src := Source{
		Audit: func(token string) ([]wire.AuditEntry, string, error) {
			if token == "" {
				return first, "5", nil
			}
			return second, "", nil
		},
		Receipt: func(id string) ([]byte, error) { wanted = append(wanted, id); return nil, nil },
		Operations: func() ([]wire.Operation, error) {
			return []wire.Operation{{ID: "op", State: "SUCCEEDED", ReceiptID: "rc_op"}}, nil
		},
	}
	if err := s.Read(src); err != nil {
		t.Fatal(err)
	}
	id := attest.ReceiptID([32]byte(bytes.Repeat([]byte{0xab}, 32)))
	if slices.Sort(wanted); fmt.Sprint(wanted) != fmt.Sprint([]string{id, id, "rc_op"}) {
		t.Errorf("%q", wanted)
	}
	var said []string
	for _, u := range s.Outcome().Unjudged {
		said = append(said, fmt.Sprint(u.Count, " ", strings.Fields(u.Why)[0]))
	}
	if fmt.Sprint(said) != "[2 keygen 4 let 1 refused,]" {
		t.Errorf("%q", said)
	}

	roster, err := os.ReadFile("../attest/testdata/receipt_v2_roster.json")
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile("../attest/testdata/receipt_v2.json")
	if err != nil {
		t.Fatal(err)
	}
	s.chain = nil // the receipt is of before there were initiators
	if s.roster, err = attest.ParseRoster(roster); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		b    []byte
		want string
	}{
		"rubbish":        {[]byte("{}"), "do not hold"},
		"another":        {good, "not those that were asked for"},
		"changed":        {bytes.Replace(good, []byte(`"req-1"`), []byte(`"req-2"`), 2), "do not hold"},
		"another roster": {bytes.Replace(good, []byte(`"r_k`), []byte(`"r_j`), 1), "another roster"},
	} {
		s.asked, s.missed = map[string]*asked{}, map[string]*Unjudged{}
		s.logged = map[string]*logged{"party": {at: simulated.UnixMilli(), receipts: map[string]bool{id: true}}}
		src.Audit, src.Receipt = page(), func(string) ([]byte, error) { return row.b, nil }
		src.Operations = func() ([]wire.Operation, error) { return nil, nil }
		if err := s.Read(src); err != nil {
			t.Fatal(err)
		}
		x := s.Outcome()
		if len(s.asked) > 0 || len(x.Unjudged) != 1 || !strings.Contains(x.Unjudged[0].Why, row.want) {
			t.Errorf("%s: %v", name, x.Rows())
		}
	}
	s.since = time.UnixMilli(1_000_000_000_000)
	s.Receipt(good)
	s.Receipt(bytes.Clone(good))
	if len(s.asked) != 1 || s.given != 2 {
		t.Errorf("a good one: %+v", s.asked)
	}
	down := errors.New("down")
	src.Audit = func(string) ([]wire.AuditEntry, string, error) { return nil, "", down }
	if err := s.Read(src); !errors.Is(err, down) {
		t.Errorf("a node that is away: %v", err)
	}
}

// Goal: a log without end does not take all memory. Method: one entry more than is held.
func TestSimulatedIsBounded(t *testing.T) {
	s, _, _ := simulation(t, `@id("all") permit (principal, action, resource);`)
	for n := range maxAsked + 1 {
		s.entry(wire.AuditEntry{Event: "sign.refuse", TimeMS: simulated.UnixMilli(), Facts: map[string]string{"session": fmt.Sprint(n)}})
	}
	s.entry(wire.AuditEntry{Event: "sign.refuse", TimeMS: simulated.UnixMilli(), Facts: map[string]string{"session": "0"}})
	if x := s.Outcome(); len(s.logged) != maxAsked || len(x.Unjudged) != 2 || x.Unjudged[0].Count != 1 || x.Unjudged[1].Count != maxAsked {
		t.Errorf("%d are held, %v", len(s.logged), x.Rows())
	}
}
