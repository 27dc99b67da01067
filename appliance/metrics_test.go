package appliance

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
)

// Goal: requests to sign are counted by scheme and by how they ended. Method: one of each.
func TestTally(t *testing.T) {
	var n tally
	n.add("frost-ed25519", nil)
	n.add("frost-ed25519", nil)
	n.add("frost-ed25519", fmt.Errorf("deep: %w", problem.New(problem.Quorum, "", "")))
	n.add("", errors.New("anything"))
	if got := fmt.Sprint(n.m); got != "map[{ internal}:1 {frost-ed25519 ok}:2 {frost-ed25519 quorum}:1]" {
		t.Error(got)
	}
}

// Goal: a histogram of the token's signatures is one: each bound counts all that were no slower, and what failed is counted apart. Method:
// signatures on both sides of bounds.
func TestTokenTimes(t *testing.T) {
	var c counters
	for _, took := range []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Minute} {
		c.signing(took, nil)
	}
	c.signing(time.Hour, errors.New("gone"))
	x := c.token
	if x.Signed != 3 || x.Failed != 1 || x.Sum != time.Minute+3*time.Millisecond {
		t.Errorf("%+v", x)
	}
	for i, bound := range TokenBounds {
		want := uint64(0)
		if bound >= .001 {
			want++
		}
		if bound >= .002 {
			want++
		}
		if x.Below[i] != want {
			t.Errorf("below %g: %d, want %d", bound, x.Below[i], want)
		}
	}
}
