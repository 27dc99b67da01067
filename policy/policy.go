// Package policy judges requests by rules in Cedar that a cluster's officers have signed. What no rule permits is denied, and so is what
// a rule that forbids cannot be evaluated for.
package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"reflect"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/luxfi/mpcd/intent"
)

const (
	// MaxText is the longest policy, in bytes.
	MaxText = 64 << 10
	// maxRules bounds what one question costs.
	maxRules = 256
	// maxParts bounds what one request costs: a transaction of more parts is denied.
	maxParts = 256
	// MaxApprovals is how many approvals of a group can count.
	MaxApprovals = 32
	// MaxDecimals bounds those of an asset.
	MaxDecimals = 77
	// defaultDeny is named where no rule permits.
	defaultDeny = "default-deny"
)

// Verdict is what was decided, and by which rule.
type Verdict struct {
	Allow bool   `json:"allow"`
	Rule  string `json:"rule"` // several, joined by ", "
	Why   string `json:"why"`
	// Needs are the approvals, by group, with which it would be allowed: how many people in all, fewest first by the name of the group.
	Needs map[string]int `json:"needs,omitempty"`
	// Counted tells that what is denied was judged by amounts over a time too: it may be permitted later.
	Counted bool `json:"-"`
}

// Needs says in words how many people of which groups must approve.
func Needs(of map[string]int) string {
	var all []string
	for _, group := range slices.Sorted(maps.Keys(of)) {
		all = append(all, fmt.Sprintf("%d of %q", of[group], group))
	}
	return strings.Join(all, " and ")
}

// Rules is a policy that was read.
type Rules struct {
	set    *cedar.PolicySet
	counts bool // a rule names amounts over a time
}

// Parse reads a policy in Cedar's text form. Every rule has an annotation @id of its own, by which verdicts name it.
func Parse(text string) (*Rules, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("policy: %d bytes, at most %d", len(text), MaxText)
	}
	list, err := cedar.NewPolicyListFromBytes("policy", []byte(text))
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if len(list) > maxRules {
		return nil, fmt.Errorf("policy: %d rules, at most %d", len(list), maxRules)
	}
	r := &Rules{set: cedar.NewPolicySet()}
	for _, p := range list {
		id := string(p.Annotations()["id"])
		if id == "" || len(id) > 64 {
			return nil, fmt.Errorf("policy: the rule in line %d has no name: write @id(\"…\") before it, of at most 64 bytes", p.Position().Line)
		}
		if r.set.Get(cedar.PolicyID(id)) != nil || id == defaultDeny {
			return nil, fmt.Errorf("policy: two rules are named %q", id)
		}
		counts, err := names(p, spentWord)
		if err != nil {
			return nil, fmt.Errorf("policy: rule %q: %w", id, err)
		}
		r.set.Add(cedar.PolicyID(id), p)
		r.counts = r.counts || counts
	}
	return r, nil
}

// approvalsWord is what rules call the numbers of people who approve.
const approvalsWord = "approvals"

// Groups are those that rules count approvals of, sorted. It is for people who write rules: nothing is judged by it.
func (r *Rules) Groups() []string { return slices.Sorted(maps.Keys(r.Wants())) }

// Wants are the groups that rules count approvals of, each with the most that a rule asks for: what the count must come to for its
// comparison with a number to turn out otherwise than without anybody. 0 where a rule does something else with the count, as add it to
// another, from which nothing can be told. It is for people, too.
func (r *Rules) Wants() map[string]int {
	all := map[string]int{}
	for _, p := range r.set.All() {
		b, _ := p.MarshalJSON() // Cedar's JSON form, which Parse has made of it once
		var tree any
		_ = json.Unmarshal(b, &tree)
		wants(tree, all)
	}
	return all
}

// wants looks for the groups in a part of a rule, and for what their counts are compared with.
func wants(x any, all map[string]int) {
	switch x := x.(type) {
	case []any:
		for _, y := range x {
			wants(y, all)
		}
	case map[string]any:
		if group, ok := groupOf(x); ok {
			all[group] = max(all[group], 0)
		}
		for op, y := range x {
			if group, n := compared(op, y); n > all[group] {
				all[group] = n
			}
			wants(y, all)
		}
	}
}

// groupOf is the group after context.approvals, of the operator "." or "has".
func groupOf(x any) (string, bool) {
	counted := map[string]any{"left": map[string]any{"Var": "context"}, "attr": approvalsWord}
	node, _ := x.(map[string]any)
	left, _ := node["left"].(map[string]any)
	group, ok := node["attr"].(string)
	return group, ok && reflect.DeepEqual(left["."], any(counted))
}

// turned are the comparisons, each as it is with its sides exchanged.
var turned = map[string]string{">=": "<=", "<=": ">=", ">": "<", "<": ">", "==": "==", "!=": "!="}

// compared is the group whose count is compared with a number, and from how many on it turns out otherwise; 0 for what is no comparison.
func compared(op string, x any) (group string, n int) {
	node, _ := x.(map[string]any)
	left, _ := node["left"].(map[string]any)
	right, _ := node["right"].(map[string]any)
	group, ok := groupOf(left["."])
	if !ok {
		group, ok = groupOf(right["."])
		op, right = turned[op], left
	}
	number, is := right["Value"].(float64)
	if !ok || !is || turned[op] == "" {
		return group, 0
	}
	if op == ">" || op == "<=" || number == 0 && (op == "==" || op == "!=") {
		number++
	}
	return group, int(max(0, min(number, math.MaxInt32)))
}

// Asks tells whether a rule has an attribute, or an entity of a type, of one of the names. It is for people who write rules: nothing is
// judged by it.
func (r *Rules) Asks(of ...string) bool {
	for _, p := range r.set.All() {
		b, _ := p.MarshalJSON() // which Parse has made of it once
		for _, name := range of {
			if bytes.Contains(b, []byte(`"attr":"`+name+`"`)) || bytes.Contains(b, []byte(`"type":"`+name+`"`)) {
				return true
			}
		}
	}
	return false
}

// Names are those of the rules, sorted.
func (r *Rules) Names() []string {
	var out []string
	for id := range r.set.All() {
		out = append(out, string(id))
	}
	slices.Sort(out)
	return out
}

// Request is what is judged.
type Request struct {
	Initiator string // who asks
	Operation string // sign, sign-raw, keygen, refresh
	Wallet    Wallet
	Network   string          // that a signature is for, where the caller says
	Decoded   *intent.Decoded // nil where nothing was read
	At        time.Time       // when it was asked for
	Assets    []Asset
	// Approvals are how many people of each group have approved it, and Approvers how many there are; both have every group.
	Approvals, Approvers map[string]int
	// Spent is what was signed before, for rules that name amounts over a time.
	Spent Spent
}

// Wallet is what a request is about: for keygen, one that is to be.
type Wallet struct {
	ID        string // "" for keygen
	Vault     string
	Kind      string
	Threshold int
	Parties   int
}

// Asset is one whose amounts rules can name, in its whole unit.
type Asset struct {
	Network  string `cbor:"1,keyasint" json:"network"`
	ID       string `cbor:"2,keyasint" json:"id"` // contract, mint, denomination, as intent.Transfer has it
	Decimals int    `cbor:"3,keyasint" json:"decimals"`
}

// Judge asks the rules about every part of a request, and permits it if they permit each. What they would permit with more approvals is
// denied, with what it needs.
func (r *Rules) Judge(q Request) Verdict {
	v := r.judge(q)
	if !v.Allow {
		v.Needs = r.needs(q)
	}
	return v
}

// needs are the fewest approvals with which a request is permitted, group by group; none where all there can be do not suffice.
func (r *Rules) needs(q Request) map[string]int {
	had, needs := q.Approvals, maps.Clone(q.Approvers)
	q.Approvals = needs
	if len(needs) == 0 || !r.judge(q).Allow {
		return nil
	}
	for _, g := range slices.Sorted(maps.Keys(needs)) {
		least := sort.Search(needs[g]-had[g], func(n int) bool {
			needs[g] = had[g] + n
			return r.judge(q).Allow
		})
		needs[g] = had[g] + least
	}
	maps.DeleteFunc(needs, func(g string, n int) bool { return n == had[g] })
	return needs
}

func (r *Rules) judge(q Request) Verdict {
	parts := q.parts()
	if len(parts) > maxParts {
		return Verdict{Rule: defaultDeny, Why: fmt.Sprintf("it has %d parts, at most %d are judged", len(parts), maxParts)}
	}
	var rules []string
	for _, p := range parts {
		v := r.ask(q, p)
		if !v.Allow {
			return v
		}
		rules = append(rules, v.Rule)
	}
	slices.Sort(rules)
	return Verdict{Allow: true, Rule: strings.Join(slices.Compact(rules), ", ")}
}

// part is one thing that a request would do.
type part struct {
	what, to, asset, method string
	amount                  *big.Int
}

// The words for parts beside those of intent.What.
const (
	partCall    = "call"    // of a contract or program, which was not read as transfers
	partUnknown = "unknown" // in the transaction, and could not be read
	partMessage = "message" // a text, which moves nothing by itself
	partRaw     = "raw"     // a digest or message that nobody can read
	partKey     = "key"     // the key itself: keygen, refresh
)

// parts are what the request would do, at least one. What comes back to the wallet is none.
func (q Request) parts() []part {
	d := q.Decoded
	switch {
	case q.Operation == "keygen" || q.Operation == "refresh":
		return []part{{what: partKey}}
	case d == nil:
		return []part{{what: partRaw}}
	}
	var out []part
	for _, t := range d.Transfers {
		if t.What != intent.Change {
			out = append(out, part{what: string(t.What), to: t.To, asset: t.Asset, amount: t.Amount})
		}
	}
	for _, c := range d.Calls {
		out = append(out, part{what: partCall, to: c.To, method: c.Method})
	}
	for _, u := range d.Unknown {
		out = append(out, part{what: partUnknown, method: u})
	}
	if len(out) == 0 {
		out = append(out, part{what: partMessage})
	}
	return out
}

// ask puts one question to the rules.
func (r *Rules) ask(q Request, p part) Verdict {
	request, entities, sums := q.cedar(p, r.counts)
	said := p.say() + sums
	decision, why := cedar.Authorize(r.set, entities, request)
	for _, e := range why.Errors {
		if r.set.Get(e.PolicyID).Effect() == cedar.Forbid {
			return Verdict{Rule: string(e.PolicyID), Why: said + ": the rule cannot be evaluated: " + e.Message}
		}
	}
	var rules []string
	for _, x := range why.Reasons {
		rules = append(rules, string(x.PolicyID))
	}
	slices.Sort(rules)
	rule := strings.Join(rules, ", ")
	switch {
	case decision == cedar.Allow:
		return Verdict{Allow: true, Rule: rule}
	case rule == "":
		return Verdict{Rule: defaultDeny, Why: said + ": no rule permits it", Counted: sums != ""}
	}
	return Verdict{Rule: rule, Why: said + ": the rule forbids it", Counted: sums != ""}
}

// say names a part to whom it is denied.
func (p part) say() string {
	s := p.what
	if p.amount != nil {
		s += " " + p.amount.String()
	}
	for _, x := range []string{p.asset, p.method} {
		if x != "" {
			s += fmt.Sprintf(" %q", x)
		}
	}
	if p.to != "" {
		s += fmt.Sprintf(" to %q", p.to)
	}
	return s
}

// cedar is the question as Cedar takes it: principal Initiator, action Action, resource Wallet, in its Vault, with Network and part as
// context. An amount is in whole units, rounded up to 4 places, the greatest decimal if it is above; it is left out where the asset's
// decimals are not known, so that no rule that names it permits. Where rules count amounts over a time, these are there too, and in words.
func (q Request) cedar(p part, counts bool) (_ cedar.Request, _ cedar.EntityMap, sums string) {
	who, vault := cedar.NewEntityUID("Initiator", cedar.String(q.Initiator)), cedar.NewEntityUID("Vault", cedar.String(q.Wallet.Vault))
	wallet := cedar.NewEntityUID("Wallet", cedar.String(q.Wallet.ID))
	entities := cedar.EntityMap{
		who: {UID: who}, vault: {UID: vault},
		wallet: {UID: wallet, Parents: cedar.NewEntityUIDSet(vault), Attributes: cedar.NewRecord(cedar.RecordMap{
			"vault": cedar.String(q.Wallet.Vault), "kind": cedar.String(q.Wallet.Kind),
			"threshold": cedar.Long(q.Wallet.Threshold), "parties": cedar.Long(q.Wallet.Parties)})},
	}
	at := q.At.UTC()
	context := cedar.RecordMap{"network": cedar.String(q.Network), "what": cedar.String(p.what), "to": cedar.String(p.to),
		"asset": cedar.String(p.asset), "method": cedar.String(p.method), "at": cedar.NewDatetime(at),
		"hour": cedar.Long(at.Hour()), "weekday": cedar.Long((int(at.Weekday())+6)%7 + 1)}
	if d, ok := q.amount(p.asset, p.amount); ok {
		context["amount"] = d
		if counts {
			var words cedar.RecordMap
			words, sums = q.spent(p)
			context[spentWord] = cedar.NewRecord(words)
		}
	}
	facts := cedar.RecordMap{}
	if q.Decoded != nil {
		facts = factsOf(q.Decoded)
		context["kind"] = cedar.String(q.Decoded.Kind)
		if d, ok := q.amount("", q.Decoded.Fee); ok {
			context["fee"] = d
		}
	}
	context["facts"] = cedar.NewRecord(facts)
	approvals := cedar.RecordMap{}
	for group, n := range q.Approvals {
		approvals[cedar.String(group)] = cedar.Long(n)
	}
	context[approvalsWord] = cedar.NewRecord(approvals)
	return cedar.Request{Principal: who, Action: cedar.NewEntityUID("Action", cedar.String(q.Operation)), Resource: wallet,
		Context: cedar.NewRecord(context)}, entities, sums
}

// factsOf are those that stand once: of a word with two values no rule can tell which it means, so none permits by it.
func factsOf(d *intent.Decoded) cedar.RecordMap {
	facts, seen := cedar.RecordMap{}, map[string]bool{}
	for _, f := range d.Facts {
		if seen[f.Name] {
			delete(facts, cedar.String(f.Name))
			continue
		}
		seen[f.Name], facts[cedar.String(f.Name)] = true, cedar.String(f.Value)
	}
	return facts
}

// Decimals of Cedar have four places.
const places, scale = 4, 10_000

// amount is a number of smallest units in whole ones, rounded up; false where it cannot be said.
func (q Request) amount(asset string, n *big.Int) (cedar.Decimal, bool) {
	decimals, ok := q.decimals(asset)
	if !ok || n == nil || n.Sign() < 0 {
		return cedar.Decimal{}, false
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
	scaled, rest := new(big.Int).DivMod(new(big.Int).Mul(n, big.NewInt(scale)), unit, new(big.Int))
	if rest.Sign() > 0 {
		scaled.Add(scaled, big.NewInt(1))
	}
	if !scaled.IsInt64() { // an allowance without end, perhaps: it is above every limit, also of a rule that asks whether there is an amount
		scaled.SetInt64(math.MaxInt64)
	}
	d, err := cedar.NewDecimal(scaled.Int64(), -places)
	return d, err == nil
}

// Smallest is an amount of an asset that is written in whole units, as rules are given it, in its smallest one; nil for none, "".
func (q Request) Smallest(asset, text string) (*big.Int, error) {
	if text == "" {
		return nil, nil
	}
	decimals, ok := q.decimals(asset)
	if !ok {
		return nil, fmt.Errorf("the decimals of asset %.64q of network %.64q are not known, so no rule sees an amount of it: name them", asset,
			q.Network)
	}
	whole, rest, _ := strings.Cut(text, ".")
	digits := whole + rest + strings.Repeat("0", max(0, decimals-len(rest)))
	if whole == "" || len(rest) > decimals || len(digits) > 2*MaxDecimals || strings.Trim(digits, "0123456789") != "" {
		return nil, fmt.Errorf("%.64q is no amount in whole units, with at most %d places", text, decimals)
	}
	n, _ := new(big.Int).SetString(digits, 10)
	return n, nil
}

// decimals of an asset, "" the network's own.
func (q Request) decimals(asset string) (int, bool) {
	if asset == "" {
		return intent.Decimals(q.Network)
	}
	i := slices.IndexFunc(q.Assets, func(a Asset) bool { return a.Network == q.Network && a.ID == asset })
	if i < 0 {
		return 0, false
	}
	return q.Assets[i].Decimals, true
}
