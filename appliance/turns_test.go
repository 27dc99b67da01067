package appliance

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Goal: whatever number of keys a member has others wait for, one that begins to wait is asked about at once, one that waits long is asked
// about within a known time, and none is remembered that waits no more. Method: thousands of junk keys, one old key and new ones.
func TestTurns(t *testing.T) {
	var x turns
	now, ids := time.Unix(1, 0), make([]string, 3200)
	for i := range ids {
		ids[i] = fmt.Sprintf("junk%04d", i)
	}
	waiting := append([]string{"old"}, ids...)
	seen := map[string]int{}
	tick := func(waiting []string) (got []string) {
		now = now.Add(time.Second)
		got = x.next(now, waiting, askMax)
		for _, id := range got {
			seen[id]++
		}
		return got
	}
	for range 2 * len(waiting) / askMax {
		if got := tick(waiting); len(got) != askMax {
			t.Fatalf("%d are asked about, there is room for %d", len(got), askMax)
		}
	}
	if seen["old"] == 0 {
		t.Errorf("a key is not asked about in %d turns of %d", 2*len(waiting)/askMax, askMax)
	}
	if got := tick(append([]string{"new"}, waiting...)); !slices.Contains(got, "new") {
		t.Error("a key that begins to wait is not asked about at once")
	}
	for k := range turnsFresh * len(waiting) / askMax { // now all have waited long; junk goes on coming
		fresh := make([]string, askMax)
		for i := range fresh {
			fresh[i] = fmt.Sprintf("more%d-%d", k, i)
		}
		tick(append(fresh, waiting...))
	}
	before := seen["old"]
	for k := range 3 * len(waiting) / askMax {
		fresh := make([]string, askMax)
		for i := range fresh {
			fresh[i] = fmt.Sprintf("last%d-%d", k, i)
		}
		tick(append(fresh, waiting...))
	}
	if seen["old"] == before {
		t.Error("fresh junk starves a key that has waited long")
	}
	if x.asked(now, "old") == 0 || x.asked(now, "nobody") != 0 {
		t.Error("how long a key was asked about is not known")
	}
	if tick([]string{"old"}); len(x.m) != 1 {
		t.Errorf("%d keys are remembered", len(x.m))
	}
}
