package schemes_test

import (
	"testing"

	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: what a node runs at boot passes on a sound machine. Method: run it.
func TestSelfTest(t *testing.T) {
	if err := schemes.SelfTest(); err != nil {
		t.Fatal(err)
	}
}
