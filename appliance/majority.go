package appliance

import (
	"context"
	"fmt"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// Policy is what a node holds every intent against, whatever the rules of the authority permit. Every node asks its own before its first
// protocol message; an error denies.
type Policy interface {
	Judge(ctx context.Context, in *attest.Intent, committee threshold.Committee) (policy.Verdict, error)
}

// Majority allows every authenticated intent on keys whose threshold is a majority, t ≥ ⌊n/2⌋+1, so that no two
// disjoint groups of nodes can sign. AllowMinority lifts the rule.
type Majority struct{ AllowMinority bool }

// Judge implements Policy.
func (p Majority) Judge(_ context.Context, _ *attest.Intent, c threshold.Committee) (policy.Verdict, error) {
	if need := c.N()/2 + 1; c.Threshold < need && !p.AllowMinority {
		return policy.Verdict{Rule: "majority",
			Why: fmt.Sprintf("threshold %d of %d is no majority, at least %d is required", c.Threshold, c.N(), need)}, nil
	}
	return policy.Verdict{Allow: true, Rule: "majority"}, nil
}
