// Goal: the self-test passes, and fails on damage. Method: change a constant of the gadget, the self-test's own among them.
package ot

import "testing"

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
}

func TestSelfTestSeesDamage(t *testing.T) {
	for _, j := range []int{0, 100, xi - 1} {
		keep := gadget[j]
		gadget[j].Negate(&gadget[j])
		if SelfTest() == nil {
			t.Errorf("a damaged g_%d is not seen", j+1)
		}
		gadget[j] = keep
	}
}

func BenchmarkSelfTest(b *testing.B) {
	for b.Loop() {
		if err := SelfTest(); err != nil {
			b.Fatal(err)
		}
	}
}
