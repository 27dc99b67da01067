// Goal: the self-test passes, and fails on any damage to a constant or table. Method: change one bit at a time and restore it.
package secp256k1

import "testing"

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
}

func TestSelfTestSeesDamage(t *testing.T) {
	for name, limb := range map[string]*uint64{
		"x of G":                &generator.x.n[0],
		"y of G":                &generator.y.n[3],
		"7 of the curve":        &curveSeven.n[0],
		"first base entry":      &baseTable[0][0].y.n[1],
		"some base entry":       &baseTable[23][7].x.n[2],
		"last base entry":       &baseTable[baseWindows-1][baseEntries-1].x.n[3],
		"start of the base":     &baseStart.x.n[0],
		"generator entry":       &generatorOdd[63].x.n[0],
		"generator entry phi":   &generatorOddPhi[31].y.n[0],
		"lambda":                &splitLambda.n[1],
		"2^512":                 &twoTo512.n[2],
		"beta":                  &beta.n[2],
		"first column, split":   &splitMinusB1.n[1],
		"second column, split":  &splitMinusB2.n[0],
		"first divisor, split":  &splitG1[3],
		"second divisor, split": &splitG2[3],
		"A' of the isogeny":     &isoA.n[0],
		"B' of the isogeny":     &isoB.n[0],
		"Z of the map":          &mapZ.n[3],
		"root of the map":       &mapRootOf11.n[1],
		"numerator of x":        &isoXNum[3].n[0],
		"denominator of x":      &isoXDen[1].n[2],
		"numerator of y":        &isoYNum[0].n[3],
		"denominator of y":      &isoYDen[2].n[1],
	} {
		*limb ^= 1 << 60
		if err := SelfTest(); err == nil {
			t.Errorf("a damaged %s is not seen", name)
		}
		*limb ^= 1 << 60
	}
	if err := SelfTest(); err != nil {
		t.Fatal("not restored: ", err)
	}
}
