package appliance

import (
	"context"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
)

// Goal: of key ceremonies under way and dropped together a caller has so many, what ends well counts no more, what was dropped is forgotten
// within a minute, and nothing is kept of who has none. Method: one caller beside another, by a clock of the test's.
func TestCallers(t *testing.T) {
	now := time.Now()
	var c callers
	begin := func(caller string) func(context.Context, *error) {
		end, err := c.begin(now, caller)
		if err != nil && problem.As(err).Code != problem.Overload {
			t.Fatal(err)
		}
		return end
	}
	fill := func() (ends []func(context.Context, *error)) {
		for end := begin("eve"); end != nil && len(ends) < 2*callerKeys; end = begin("eve") {
			ends = append(ends, end)
		}
		return ends
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	well, failed := error(nil), context.Canceled
	ends := fill()
	if len(ends) != callerKeys || begin("bob") == nil {
		t.Errorf("%d under way", len(ends))
	}
	ends[0](gone, &well)
	ends[1](gone, &failed)
	ends[2](t.Context(), &failed)
	if n := len(fill()); n != 2 {
		t.Errorf("%d more after one that ended, one that was dropped, and one that failed", n)
	}
	now = now.Add(time.Minute / callerKeys)
	last := fill()
	if len(last) != 1 {
		t.Errorf("%d more when one is forgotten", len(last))
	}
	for range callerKeys {
		c.m["eve"].open--
	}
	now = now.Add(time.Second)
	begin("bob")
	if c.m["eve"] != nil || c.m["bob"].open != 2 {
		t.Errorf("%+v is kept of who has none", c.m["eve"])
	}
}
