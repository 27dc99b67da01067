package appraise

import (
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/hsm"
)

// Why evidence is refused.
var (
	// ErrPolicy: the evidence is whole, but the policy wants more.
	ErrPolicy = errors.New("evidence does not suffice")
	// ErrBroken: the evidence was changed, is for something else, or contradicts itself. No policy accepts it.
	ErrBroken = errors.New("evidence is broken")
)

// Level is how much is known of a key, the more the greater.
type Level uint8

// The levels. The zero value is Refused.
const (
	Refused  Level = iota
	None           // no evidence
	Software       // the token says that no hardware guards it
	Reported       // the driver or service says that hardware does
	Proven         // hardware signed it, and the signature leads to a trusted root
)

var levelNames = [...]string{"refused", "none", "software", "reported", "proven"}

// String is the level's word.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return fmt.Sprintf("level %d", uint8(l))
}

// MarshalText writes the level's word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// ProvenFact follows from signatures that lead to a trusted root, checked here.
type ProvenFact string

// ReportedFact is what somebody says: a driver, a service, or a key that nobody vouches for. It is not checked.
type ReportedFact string

// Problem is what stands against a key, and what a human can do.
type Problem struct {
	Fact string `json:"fact"`
	Next string `json:"next"`
	// Refuses is true where it is why the verdict is Refused; Broken where no policy would accept it.
	Refuses bool `json:"refuses,omitempty"`
	Broken  bool `json:"broken,omitempty"`
}

// Verdict is what Appraise found. Its texts are for humans, in the order in which they are best read; what is quoted from evidence is
// escaped.
type Verdict struct {
	KeyID  string      `json:"key"`
	Type   hsm.KeyType `json:"type"`
	Format string      `json:"format,omitempty"`
	Policy string      `json:"policy"`
	Level  Level       `json:"level"`
	// Software is true where the token calls itself software, whatever the level: a test authority certifies emulators too.
	Software bool           `json:"software,omitempty"`
	Proven   []ProvenFact   `json:"proven,omitempty"`
	Reported []ReportedFact `json:"reported,omitempty"`
	Problems []Problem      `json:"problems,omitempty"`
}

// Err is nil, or why the verdict is Refused: it wraps ErrBroken or ErrPolicy and says the first fact that refuses. What to do is in
// Refusal.
func (v Verdict) Err() error {
	p := v.Refusal()
	if p == nil {
		return nil
	}
	kind := ErrPolicy
	if p.Broken {
		kind = ErrBroken
	}
	return fmt.Errorf("appraise: key %s: %w: %s", quoted(v.KeyID), kind, p.Fact)
}

// Refusal is the problem for which the verdict is Refused: what is broken before what the policy wants. Nil if it is not refused.
func (v Verdict) Refusal() *Problem {
	var first *Problem
	for i := range v.Problems {
		switch p := &v.Problems[i]; {
		case p.Broken:
			return p
		case p.Refuses && first == nil:
			first = p
		}
	}
	return first
}

// quoted is text of a stranger's as a terminal may show it.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%+q…", s[:most])
	}
	return fmt.Sprintf("%+q", s)
}
