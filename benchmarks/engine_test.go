package benchmarks

import (
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: what is measured works for every scheme. Method: one run of each, with its own checks.
func TestEngine(t *testing.T) {
	for _, s := range schemes.All() {
		if _, ok := s.(threshold.Provisioner); ok {
			continue
		}
		shares, err := EngineKey(s, 3, 5)
		if err != nil {
			t.Fatal(err)
		}
		if shares, err = EngineRefresh(s, shares); err != nil {
			t.Fatal(err)
		}
		if err := EngineSign(s, shares, 3); err != nil {
			t.Fatal(err)
		}
	}
}
