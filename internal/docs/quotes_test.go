package docs

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Goal: what docs/FAULTS.md quotes a test of its row looks for, so that a text cannot change and leave the page behind. Method: each quote
// of the page; pages with quotes that no test has, that a test of another row has, and that stand for where it is said.
func TestQuotes(t *testing.T) {
	faults, count, err := Quotes(module())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	if count < 30 {
		t.Errorf("%d quotes found, there are more: the test looks in the wrong place", count)
	}
	for row, want := range map[string]int{
		"| a disk | `it is full`, `/readyz` | none | space | `TestA`, `TestB` |":    0,
		"| a disk | `it is full`, `it is broken` | none | space | `TestA` |":        1,
		"| a disk | `it is full`, in `mpcd node list` | none | space | `TestB` |":   1,
		"| a disk | `it is full`, `it is broken` | none | space | `TestGone` |":     2,
		"| a disk | `what TestFaults reads` | none | space | `TestFaults` |":        0,
		"| a disk | nothing | none | space | `TestB` |\n\nIn prose `it is broken`.": 0,
	} {
		root := fstest.MapFS{
			faultsPage:    {Data: []byte("| fault | says | code | heals | run by |\n|---|---|---|---|---|\n" + row + "\n")},
			"a/a_test.go": {Data: []byte("package a\nfunc TestA() { _ = \"node: it is full, now\" }\n")},
			"b/b_test.go": {Data: []byte("package b\nfunc TestB() {} // it is full\nfunc helper() { _ = `/else` }\n")},
			"b/b.go":      {Data: []byte("package b\nvar _ = \"it is broken\"\n")},
		}
		faults, _, err := Quotes(root)
		if err != nil || len(faults) != want || slices.ContainsFunc(faults, func(f string) bool { return !strings.Contains(f, "a disk") }) {
			t.Errorf("%s: %q, %v", row, faults, err)
		}
	}
}
