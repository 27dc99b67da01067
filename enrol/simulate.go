package enrol

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// Simulation replays what a cluster was asked for by other rules: what was signed, by receipts, each of which is verified first, and what
// waits for approvals or did. Nothing is signed, and nothing that cannot be judged is guessed: it is counted, and why.
//
// The rules are put in the place of those of the newest authority, whose people, groups and assets they are judged with. What they permit
// counts, from the beginning on, for amounts over a time; before it, what was signed does.
type Simulation struct {
	rules  *policy.Rules
	roster *attest.SignedRoster
	chain  attest.AuthorityChain
	now    attest.Authority // the newest, with the assets
	from   time.Time        // what was asked for before is not judged
	since  time.Time        // what was asked for before does not count either

	asked  map[string]*asked  // by session_id
	logged map[string]*logged // by session_id
	waits  map[string]wire.Operation
	nodes  map[string]bool // whose logs were read
	given  int             // receipts
	missed map[string]*Unjudged
}

// asked is a request that can be judged again.
type asked struct {
	intent  attest.Intent
	decoded *intent.Decoded
	key     threshold.KeyInfo
	was     string // what became of it
}

// The words for what became of a request.
const (
	wasSigned  = "signed"
	wasWaiting = "waiting"
	wasExpired = "expired"
)

// logged is what the logs say of a request.
type logged struct {
	at       int64           // Unix milliseconds, of its first entry
	receipts map[string]bool // that there may be of it, by their IDs
	waited   bool            // it was refused, or waits
	key      bool            // a keygen or a refresh
	counted  bool            // among those that are not judged
}

// maxAsked bounds how many requests are held.
const maxAsked = 100_000

// Source is a node that is asked what it keeps.
type Source struct {
	Audit      func(token string) ([]wire.AuditEntry, string, error) // a page of its log, and the token of the next
	Receipt    func(id string) ([]byte, error)                       // nil where there is none
	Operations func() ([]wire.Operation, error)
}

// NewSimulation begins one of the rules in a file, over the last days until now. Assets, as ParseAssets reads them, stand in the place of
// those of the authority.
func NewSimulation(path string, assets []string, roster *attest.SignedRoster, chain attest.AuthorityChain, days int, now time.Time) (
	*Simulation, error) {
	rules, err := ReadRules(path)
	if err != nil {
		return nil, err
	}
	if days < 1 || days > 400 {
		return nil, fault.Usage("give --days 1 to 400: that is how long receipts are kept", "%d days", days)
	}
	s := &Simulation{rules: rules, roster: roster, chain: chain, now: chain[len(chain)-1].Authority, from: now.AddDate(0, 0, -days),
		asked: map[string]*asked{}, logged: map[string]*logged{}, waits: map[string]wire.Operation{},
		nodes: map[string]bool{}, missed: map[string]*Unjudged{}}
	s.now.Assets = slices.Clone(s.now.Assets)
	if err := (Amendment{Assets: assets}).assets(&s.now); err != nil {
		return nil, err
	}
	if s.since = s.from; rules.Counts() {
		s.since = s.from.Add(-policy.Windows[len(policy.Windows)-1].For)
	}
	return s, nil
}

// Read reads the log of a node, the receipts of what it names, and what waits for approvals there or did. The error is the source's.
func (s *Simulation) Read(src Source) error {
	for token := ""; ; {
		page, next, err := src.Audit(token)
		if err != nil {
			return err
		}
		for _, e := range page {
			s.entry(e)
		}
		if next == "" || len(page) == 0 {
			break
		}
		token = next
	}
	operations, err := src.Operations()
	if err != nil {
		return err
	}
	for _, o := range operations {
		if s.waits[o.ID] = o; o.State == "SUCCEEDED" {
			s.log(o.ID).receipts[o.ReceiptID] = true
		}
	}
	for _, session := range slices.Sorted(maps.Keys(s.logged)) {
		for id := range s.logged[session].receipts {
			b, err := src.Receipt(id)
			if err != nil {
				return err
			}
			if b != nil {
				s.receipt(b, id)
				delete(s.logged[session].receipts, id)
				s.logged[session].counted = true
			}
		}
	}
	return nil
}

// entry takes up what the log says of requests. That is its node's word: it says what to look for, and nothing is judged by it but when
// an operation was asked for.
func (s *Simulation) entry(e wire.AuditEntry) {
	s.nodes[e.Node] = true
	session := e.Facts["session"]
	line, what, _ := strings.Cut(e.Event, ".")
	key := line == "keygen" || line == "refresh"
	signs := e.Event == "sign.accept" || e.Event == "share.sign" || e.Event == "sign.done"
	waited := e.Event == "sign.refuse" || e.Event == "operation.change"
	if session == "" || e.TimeMS < s.since.UnixMilli() || !(signs || waited || key && (what == "begin" || what == "refuse")) {
		return
	}
	if s.logged[session] == nil && len(s.logged) >= maxAsked {
		s.miss("", "beyond the first %d requests: give fewer --days", maxAsked)
		return
	}
	l := s.log(session)
	l.at = min(cmp.Or(l.at, e.TimeMS), e.TimeMS)
	l.waited, l.key = l.waited || waited, l.key || key
	if b, err := hex.DecodeString(e.Facts["intent"]); signs && err == nil && len(b) == len(attest.Hash{}) {
		l.receipts[attest.ReceiptID([32]byte(b))] = true
	}
}

func (s *Simulation) log(session string) *logged {
	if s.logged[session] == nil {
		s.logged[session] = &logged{receipts: map[string]bool{}}
	}
	return s.logged[session]
}

// Receipt takes up a receipt, in JSON, of a file.
func (s *Simulation) Receipt(b []byte) {
	s.given++
	s.receipt(b, "")
}

// receipt believes a receipt that verifies, and that is the one that was asked for, where one was.
func (s *Simulation) receipt(b []byte, id string) {
	r, err := host.CheckReceipt(b, s.roster, s.chain)
	switch {
	case errors.Is(err, attest.ErrRoster):
		s.miss(err.Error(), "receipts of another roster: simulate with the one that they name")
		return
	case err != nil:
		s.miss(err.Error(), "receipts that do not hold")
		return
	case id != "" && r.ID != id:
		s.miss(id, "receipts that are not those that were asked for")
		return
	}
	if was := s.asked[r.SessionID]; was != nil && was.was == wasSigned && was.intent.Created > r.Intent.Created {
		return // a session_id stands for one act, and counts from when it was tried last
	}
	if time.UnixMilli(r.Intent.Created).Before(s.since) {
		if id == "" {
			s.miss(r.ID, "receipts from before the days that are judged")
		}
		return
	}
	s.asked[r.SessionID] = &asked{r.Intent, r.Decoded, infoOf(r.Key), wasSigned}
}

// infoOf is what rules can ask of a key.
func infoOf(k attest.KeyRecord) threshold.KeyInfo {
	return threshold.KeyInfo{Kind: k.Kind, Committee: threshold.Committee{Parties: k.Parties, Threshold: k.Threshold}}
}

// operation takes up a request that waits, or did.
func (s *Simulation) operation(o wire.Operation) {
	l := s.logged[o.ID]
	was := map[string]string{"PENDING_APPROVAL": wasWaiting, "EXPIRED": wasExpired}[o.State]
	switch {
	case s.asked[o.ID] != nil || o.State == "SUCCEEDED":
		return // its receipt counts
	case l == nil:
		s.miss(o.ID, "operations that were asked for before, or at a node whose log was not read")
		return
	case was == "":
		l.counted = true
		s.miss(o.ID, "operations that are %s: rules have not decided them", strings.ToLower(o.State))
		return
	}
	p, err := ParseOperation(&o)
	if err == nil {
		err = s.initiated(p, l.at)
	}
	if err != nil {
		l.counted = true
		s.miss(err.Error(), "operations that do not hold")
		return
	}
	s.asked[o.ID] = &asked{p.Intent, p.Decoded, infoOf(p.Key), was}
}

// initiated tells why nobody asked for an operation who might, or why an approval does not hold, and has it asked for at a time.
func (s *Simulation) initiated(p *Pending, at int64) error {
	who := s.chain.Named(p.Intent.Authority)
	if who == nil {
		return errors.New("it is under an authority that is not in the chain: get a newer one")
	}
	if err := who.CheckApprovals(p.Intent, p.Decoded, time.UnixMilli(p.Intent.Created)); err != nil {
		return err
	}
	p.Intent.Created = at
	return who.CheckInitiation(p.Intent, time.UnixMilli(at))
}

// Unjudged is how many requests could not be judged, and why.
type Unjudged struct {
	Why     string `json:"why"`
	Count   int    `json:"count"`
	Example string `json:"example,omitempty"`
}

func (s *Simulation) miss(example, format string, a ...any) {
	why := fmt.Sprintf(format, a...)
	if s.missed[why] == nil {
		s.missed[why] = &Unjudged{Why: why, Example: example}
	}
	s.missed[why].Count++
}

// Differs is a request of which the rules say another thing than what became of it.
type Differs struct {
	Time      time.Time `json:"time"` // when it was asked for
	Session   string    `json:"session_id"`
	Initiator string    `json:"initiator"`
	Wallet    string    `json:"wallet_id"`
	Was       string    `json:"was"`   // signed, waiting, expired
	Would     string    `json:"would"` // be: denied, waiting, permitted
	policy.Verdict
}

// Simulated is what rules would have changed.
type Simulated struct {
	Judged    int         `json:"judged"`
	Denied    int         `json:"denied"`    // that were signed, or waited
	Waiting   int         `json:"waiting"`   // for approvals, that were signed
	Permitted int         `json:"permitted"` // that waited, or have expired
	Same      int         `json:"same"`
	Changes   []Differs   `json:"changes"`
	Unjudged  []*Unjudged `json:"unjudged"`
	Notes     []string    `json:"notes"`
}

// Outcome judges all that was read, in the order in which it was asked for.
func (s *Simulation) Outcome() *Simulated {
	out := &Simulated{Changes: []Differs{}, Unjudged: []*Unjudged{}}
	for _, id := range slices.Sorted(maps.Keys(s.waits)) {
		s.operation(s.waits[id])
	}
	var acts []policy.Act
	order := slices.SortedFunc(maps.Keys(s.asked), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.asked[a].intent.Created, s.asked[b].intent.Created), cmp.Compare(a, b))
	})
	for _, session := range order {
		x := s.asked[session]
		in, at := x.intent, time.UnixMilli(x.intent.Created)
		act := policy.Act{At: at, Network: in.Chain, Wallet: in.KeyID, Vault: in.Vault, Initiator: in.Initiation.By,
			Amounts: policy.Counted(x.decoded)}
		if at.Before(s.from) {
			if x.was == wasSigned {
				acts = append(acts, act)
			}
			continue
		}
		v := s.now.Judge(s.rules, in, x.decoded, x.key, policy.Before(acts, act))
		if v.Allow {
			acts = append(acts, act)
		}
		out.add(Differs{at.UTC(), session, act.Initiator, act.Wallet, x.was, "", v})
	}
	s.unjudged(out)
	out.Notes = s.notes()
	return out
}

// add counts a request that was judged.
func (o *Simulated) add(c Differs) {
	o.Judged++
	signed := c.Was == wasSigned
	switch {
	case c.Allow && signed, !c.Allow && len(c.Needs) > 0 && !signed:
		o.Same++
		return
	case c.Allow:
		o.Permitted++
		c.Would = "permitted"
	case len(c.Needs) > 0:
		o.Waiting++
		c.Would = "waiting"
	default:
		o.Denied++
		c.Would = "denied"
	}
	o.Changes = append(o.Changes, c)
}

// unjudged counts what the logs name of which nothing is known that could be judged.
func (s *Simulation) unjudged(out *Simulated) {
	for session, l := range s.logged {
		switch {
		case s.asked[session] != nil || l.counted || l.at != 0 && l.at < s.from.UnixMilli():
		case l.key:
			s.miss(session, "keygen or refresh, of which there are no receipts")
		case l.waited && len(l.receipts) == 0:
			s.miss(session, "refused, and what was asked for is kept nowhere")
		default:
			s.miss(session, "let pass, and there is no receipt: it came to nothing, or the node that has it was not asked")
		}
	}
	for _, why := range slices.Sorted(maps.Keys(s.missed)) {
		out.Unjudged = append(out.Unjudged, s.missed[why])
	}
}

// notes say how far the answer goes.
func (s *Simulation) notes() []string {
	of := fmt.Sprintf("the %d receipts that were given: of anything else nothing is known", s.given)
	if len(s.nodes) > 0 {
		of = "the logs of " + strings.Join(slices.Sorted(maps.Keys(s.nodes)), ", ") + ": what others signed without them is not in these"
	}
	notes := []string{"since " + s.from.UTC().Format(time.RFC3339) + ", by " + of,
		fmt.Sprintf("people, groups and assets are those of the authority of serial %d", s.now.Serial)}
	if s.rules.Counts() {
		notes = append(notes, "amounts over a time are those of the receipts that were read, from a week before on: signers count for themselves")
	}
	if none := s.now.Unmanned(s.rules); none != "" {
		notes = append(notes, none)
	}
	return notes
}

// Rows are it for people.
func (o *Simulated) Rows() [][]any {
	var rows [][]any
	if len(o.Changes) > 0 {
		rows = append(rows, []any{"ASKED FOR", "SESSION", "BY", "WALLET", "WAS", "WOULD BE", "BY RULE", "WHY"})
	}
	for _, c := range o.Changes {
		why := c.Why
		if len(c.Needs) > 0 {
			why = "for " + policy.Needs(c.Needs) + ": " + why
		}
		rows = append(rows, []any{c.Time.Format(time.RFC3339), c.Session, c.Initiator, c.Wallet, c.Was, c.Would, c.Rule, why})
	}
	rows = append(rows, []any{fmt.Sprintf("would have denied %d, had %d wait for approvals, permitted %d; %d of %d as it was", o.Denied,
		o.Waiting, o.Permitted, o.Same, o.Judged)})
	for _, x := range o.Unjudged {
		said := fmt.Sprintf("not judged: %d × %s", x.Count, x.Why)
		if x.Example != "" {
			said += fmt.Sprintf(" (one is %.300s)", x.Example)
		}
		rows = append(rows, []any{said})
	}
	for _, x := range o.Notes {
		rows = append(rows, []any{x})
	}
	return rows
}
