// Package cases reads files of requests and of what rules are to say of them, and tries rules by them. Nobody is asked, and nothing signed.
package cases

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/luxfi/mpcd/policy"
)

const (
	// MaxFile is the longest file of cases, in bytes.
	MaxFile = 1 << 20
	// maxCases bounds what one file costs.
	maxCases = 4096
)

// File is what a file of cases says.
type File struct {
	Assets []policy.Asset `yaml:"assets"` // whose amounts the rules name
	// Approvers are how many each group has; where nobody says, as many as can count.
	Approvers map[string]int `yaml:"approvers"`
	Cases     []Case         `yaml:"cases"`
}

// Case is a request, and what the rules are to say of it.
type Case struct {
	Name    string  `yaml:"name"`
	Request Request `yaml:"request"`
	Expect  Expect  `yaml:"expect"`
}

// Expect is what is expected of a verdict. What is left out may be anything.
type Expect struct {
	Verdict string         `yaml:"verdict"` // allow or deny
	Rule    string         `yaml:"rule"`    // several, as verdicts name them, sorted and joined by ", "
	Needs   map[string]int `yaml:"needs"`   // the approvals with which it would be allowed; {} is none
}

// The verdicts that may be expected.
const (
	allow = "allow"
	deny  = "deny"
)

// Parse reads a file of cases, in YAML or JSON: one document, no field that is not known, none twice.
func Parse(b []byte) (*File, error) {
	if len(b) > MaxFile {
		return nil, fmt.Errorf("cases: %d bytes, at most %d", len(b), MaxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	var f File
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cases: %w", err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("cases: something stands behind the first document")
	}
	if len(f.Cases) == 0 || len(f.Cases) > maxCases {
		return nil, fmt.Errorf("cases: %d cases, want 1 to %d", len(f.Cases), maxCases)
	}
	names := map[string]bool{}
	for n, c := range f.Cases {
		switch x := c.Expect; {
		case c.Name == "":
			return nil, fmt.Errorf("cases: case %d has no name", n+1)
		case names[c.Name]:
			return nil, fmt.Errorf("cases: two cases are named %.64q", c.Name)
		case x.Verdict != allow && x.Verdict != deny:
			return nil, fmt.Errorf("cases: case %.64q: expect.verdict is %s or %s, and not %.16q", c.Name, allow, deny, x.Verdict)
		case x.Verdict == allow && len(x.Needs) > 0:
			return nil, fmt.Errorf("cases: case %.64q: what is allowed needs nothing: expect.needs is of what is denied", c.Name)
		}
		names[c.Name] = true
	}
	for _, a := range f.Assets {
		if a.Decimals < 0 || a.Decimals > policy.MaxDecimals {
			return nil, fmt.Errorf("cases: asset %.64q: decimals are 0 to %d", a.ID, policy.MaxDecimals)
		}
	}
	return &f, nil
}

// Result is what came of a case.
type Result struct {
	Case   string         `json:"case"`
	Passed bool           `json:"passed"`
	Said   policy.Verdict `json:"said"`
	Why    string         `json:"why,omitempty"` // it failed
}

// Outcome is what came of all cases of a file.
type Outcome struct {
	Failed  int      `json:"failed"`
	Results []Result `json:"results"`
	// Untried are the rules that have decided no case.
	Untried []string `json:"untried"`
}

// Try asks rules about each case. It fails where a request cannot be: the error names its case.
func (f *File) Try(rules *policy.Rules) (*Outcome, error) {
	out, decided := &Outcome{Untried: []string{}}, map[string]bool{}
	for _, c := range f.Cases {
		q, err := c.Request.Policy(rules, f.Assets, f.Approvers)
		if err != nil {
			return nil, fmt.Errorf("case %.64q: %w", c.Name, err)
		}
		v := rules.Judge(q)
		r := Result{Case: c.Name, Said: v, Why: c.Expect.differs(v)}
		if r.Passed = r.Why == ""; !r.Passed {
			out.Failed++
		}
		out.Results = append(out.Results, r)
		for _, id := range strings.Split(v.Rule, ", ") {
			decided[id] = true
		}
	}
	for _, id := range rules.Names() {
		if !decided[id] {
			out.Untried = append(out.Untried, id)
		}
	}
	return out, nil
}

// differs says how a verdict is another than what is expected; "" where it is not.
func (x Expect) differs(v policy.Verdict) string {
	said := deny
	if v.Allow {
		said = allow
	}
	switch {
	case said != x.Verdict:
		return fmt.Sprintf("want %s, and it is %s by rule %q", x.Verdict, said, v.Rule)
	case x.Rule != "" && x.Rule != v.Rule:
		return fmt.Sprintf("want rule %q, and it is %q", x.Rule, v.Rule)
	case x.Needs != nil && !maps.Equal(x.Needs, v.Needs):
		return fmt.Sprintf("want needs of %s, and it needs %s", orNone(x.Needs), orNone(v.Needs))
	}
	return ""
}

func orNone(needs map[string]int) string {
	if len(needs) == 0 {
		return "nobody"
	}
	return policy.Needs(needs)
}

// Rows are a table of the outcome, for people.
func (o *Outcome) Rows() [][]any {
	rows := [][]any{{"RESULT", "CASE", "VERDICT", "BY", "WHY"}}
	for _, r := range o.Results {
		result, verdict, why := "passed", "permitted", r.Said.Why
		if !r.Said.Allow {
			verdict = "denied"
		}
		if len(r.Said.Needs) > 0 {
			why = "with " + policy.Needs(r.Said.Needs) + " it is permitted; " + why
		}
		if !r.Passed {
			result, why = "FAILED", strings.TrimSuffix(r.Why+"; "+why, "; ")
		}
		rows = append(rows, []any{result, r.Case, verdict, r.Said.Rule, why})
	}
	rows = append(rows, []any{fmt.Sprintf("%d of %d cases passed", len(o.Results)-o.Failed, len(o.Results))})
	if len(o.Untried) > 0 {
		rows = append(rows, []any{"decided by no case: " + strings.Join(slices.Clone(o.Untried), ", ")})
	}
	return rows
}
