// Package policy judges intents: a verdict, and the rule that gave it. Every node asks its own.
package policy

import (
	"context"
	"fmt"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
)

// Verdict is what a policy decided, and by which rule.
type Verdict struct {
	Allow bool
	Rule  string
	Why   string
}

// Policy judges an intent. Every node asks its own before its first protocol message; an error denies.
type Policy interface {
	Judge(ctx context.Context, in *attest.Intent, committee threshold.Committee) (Verdict, error)
}

// Majority allows every authenticated intent on keys whose threshold is a majority, t ≥ ⌊n/2⌋+1, so that no two
// disjoint groups of nodes can sign. AllowMinority lifts the rule.
type Majority struct{ AllowMinority bool }

// Judge implements Policy.
func (p Majority) Judge(_ context.Context, _ *attest.Intent, c threshold.Committee) (Verdict, error) {
	if need := c.N()/2 + 1; c.Threshold < need && !p.AllowMinority {
		return Verdict{Rule: "majority",
			Why: fmt.Sprintf("threshold %d of %d is no majority, at least %d is required", c.Threshold, c.N(), need)}, nil
	}
	return Verdict{Allow: true, Rule: "majority"}, nil
}
