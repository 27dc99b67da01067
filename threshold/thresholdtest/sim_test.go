package thresholdtest_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

var (
	seeds = flag.Int("seeds", seedsFromEnv(1000), "how many seeds to simulate")
	seed  = flag.Uint64("seed", 0, "simulate this seed alone")
)

func seedsFromEnv(otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv("MPCD_SIM_SEEDS")); err == nil {
		return n
	}
	return otherwise
}

// Goal: keys live, sign and are refreshed on a network that reorders, delays, loses, repeats, replays and forges. Method:
// whole lives on a simulated network, each a function of its seed; the schemes take turns, those with pair state, whose lives take
// longer, one time in 100.
func TestSeeds(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	for s := first; s <= last; s++ {
		scheme := simple()[s%uint64(len(simple()))]
		if x := paired(); s%100 == 0 {
			scheme = x[s/100%uint64(len(x))]
		}
		if err := thresholdtest.Simulate(scheme, s); err != nil {
			t.Errorf("%s, seed %d: %v\n\treplay: go test ./threshold/thresholdtest -run TestSeeds -seed %d   (more: make sim SEEDS=100000)",
				scheme.ID(), s, err, s)
			if t.Failed() && s > first+20 {
				t.FailNow()
			}
		}
	}
}

// Goal: a seed replays exactly. Method: one ceremony on the rough network, twice: every delivery is the same; another seed
// gives another run.
func TestSeedReplays(t *testing.T) {
	trace := func(seed uint64) string {
		w := thresholdtest.NewWorld(seed, 4, 3)
		w.Faults = thresholdtest.Rough
		var b strings.Builder
		w.Trace = func(to threshold.PartyID, m threshold.Message) { fmt.Fprintf(&b, "%d %d %x\n", m.From, to, m.Encode()) }
		ks, err := w.Keygen(simple()[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range ks {
			k.Destroy()
		}
		return b.String()
	}
	if a := trace(7); a != trace(7) || a == trace(8) {
		t.Error("a run is not a function of its seed")
	}
}
