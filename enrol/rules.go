package enrol

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/policy/cases"
)

// ReadRules reads rules as every node would.
func ReadRules(path string) (*policy.Rules, error) {
	b, err := durable.ReadFile(path, policy.MaxText)
	if err != nil {
		return nil, err
	}
	rules, err := policy.Parse(string(b))
	if err != nil {
		return nil, fault.Doing(path, fault.Usage("correct the line that it names; docs/POLICY.md has examples", "%w", err))
	}
	return rules, nil
}

// RulesRead is what is known of rules that every node could read.
type RulesRead struct {
	Rules     []string       `json:"rules"`
	Approvals map[string]int `json:"approvals"` // the most that a rule asks for of each group; 0 where that cannot be told
	Warn      string         `json:"warn,omitempty"`
}

// CheckRules reads rules, and holds the approvals that they count against the people of the authority in a file, "" for none.
func CheckRules(path, authority string) (*RulesRead, error) {
	rules, err := ReadRules(path)
	if err != nil {
		return nil, err
	}
	x := &RulesRead{Rules: rules.Names(), Approvals: rules.Wants()}
	if authority != "" {
		c, err := ReadChain(authority)
		if err != nil {
			return nil, err
		}
		x.Warn = c[len(c)-1].Authority.Unmanned(rules)
	}
	return x, nil
}

// Rows show it to people.
func (x *RulesRead) Rows() [][]any {
	rows := [][]any{{"rules", strings.Join(x.Rules, ", ")}}
	for _, g := range slices.Sorted(maps.Keys(x.Approvals)) {
		many := fmt.Sprintf("%d of %q", x.Approvals[g], g)
		if x.Approvals[g] == 0 {
			many = fmt.Sprintf("of %q; how many cannot be told", g)
		}
		rows = append(rows, []any{"approvals", many})
	}
	if x.Warn != "" {
		rows = append(rows, []any{"WARN", x.Warn + ": " + attest.Manned})
	}
	return rows
}

// TryRules tries rules by a file of cases.
func TryRules(path, of string) (*cases.Outcome, error) {
	rules, err := ReadRules(path)
	if err != nil {
		return nil, err
	}
	b, err := durable.ReadFile(of, cases.MaxFile)
	if err != nil {
		return nil, err
	}
	f, err := cases.Parse(b)
	var all *cases.Outcome
	if err == nil {
		all, err = f.Try(rules)
	}
	if err != nil {
		return nil, fault.Doing(of, fault.Usage("correct it; docs/POLICY.md has an example", "%w", err))
	}
	return all, nil
}

// Passed is the fault of an outcome where a case has failed.
func Passed(o *cases.Outcome, of string) error {
	if o.Failed == 0 {
		return nil
	}
	return fault.Doing(of, &fault.Error{Code: fault.CodeFailed, Err: fmt.Errorf("%d of %d cases failed", o.Failed, len(o.Results)),
		Do: "correct the rules, or what the cases expect of them"})
}

// Explanation is what rules say of a request, and what it did not say.
type Explanation struct {
	policy.Verdict
	NotGiven []string `json:"not_given"` // that the rules ask for
	Caveat   string   `json:"caveat,omitempty"`
}

// ExplainRules asks rules about a request; assets are as ParseAssets reads them.
func ExplainRules(path string, q cases.Request, assets []string) (*Explanation, error) {
	rules, err := ReadRules(path)
	if err != nil {
		return nil, err
	}
	known, err := ParseAssets(assets)
	if err != nil {
		return nil, err
	}
	asked, err := q.Policy(rules, known, nil)
	if err != nil {
		return nil, fault.Usage("say what is asked for: mpcd policy explain --help", "%w", err)
	}
	x := &Explanation{Verdict: rules.Judge(asked), NotGiven: append([]string{}, q.NotGiven(rules)...)}
	if len(q.Spent) == 0 {
		x.Caveat = rules.Caveat()
	}
	return x, nil
}

// Rows are it for people.
func (x *Explanation) Rows() [][]any {
	said := map[bool]string{true: "permitted", false: "DENIED"}[x.Allow]
	rows := [][]any{{said, "by " + x.Rule, strings.TrimSpace(x.Why + " " + x.Caveat)}}
	if len(x.Needs) > 0 {
		rows = append(rows, []any{"permitted", "with approvals", policy.Needs(x.Needs)})
	}
	return append(rows, []any{"not given", cmp.Or(strings.Join(x.NotGiven, ", "), "nothing that the rules ask for")})
}

// ReadTransaction reads a transaction from a file. What is all hex, or base64, is taken as that.
func ReadTransaction(path string) ([]byte, error) {
	b, err := durable.ReadFile(path, 3*intent.MaxPayload)
	if err != nil {
		return nil, err
	}
	if b = intent.Given(b); len(b) == 0 || len(b) > intent.MaxPayload {
		return nil, fault.Usage("give the file of one transaction", "%s has %d bytes of a transaction, want 1 to %d", path, len(b),
			intent.MaxPayload)
	}
	return b, nil
}
