package docs

import (
	"strings"
	"testing"
	"testing/fstest"
)

// Goal: no text of the program tells a keeper to put an older copy of a node's data in its place, which docs/OPERATIONS.md forbids: the
// copy holds shares of a dead epoch, and has forgotten what the node promised since. Method: look through the texts of all source that
// ships; texts in every form are found out.
func TestNoAdviceOfAnOlderCopy(t *testing.T) {
	faults, err := Advice(module())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Errorf("advises an older copy: %s", f)
	}
	for text, bad := range map[string]bool{
		`"changed; restore this node from its backup: %w"`:                true,
		"\"put back; restore \" +\n\t\t\"this node from its backup\"":     true,
		`"is the disk mounted? Restore it otherwise"`:                     true,
		`"keep the disk and restore no older copy of the data directory"`: false,
		`// restore this node from its backup`:                            false,
	} {
		faults, err := Advice(fstest.MapFS{"a.go": {Data: []byte("package a\nvar x = " + text)}, "a_test.go": {Data: []byte(text)}})
		if err != nil || (len(faults) == 1) != bad || len(faults) > 1 {
			t.Errorf("%s: %q, %v", strings.TrimSpace(text), faults, err)
		}
	}
}
