package wire

import "testing"

// Goal: a problem says why and what next in whole sentences, and gives each alone to who has a place of its own for it. Method: texts with
// and without advice, a full stop, and a field's name at their beginning.
func TestProblemSays(t *testing.T) {
	for _, x := range []struct{ why, next, detail, alone string }{
		{"threshold 1 is too small", "give 2", "threshold 1 is too small. Give 2.", "threshold 1 is too small"},
		{"no wallet here.", "list them; /docs has the path", "no wallet here. List them; /docs has the path.", "no wallet here"},
		{"the node failed", "", "the node failed.", "the node failed"},
		{"", "give one", "Give one.", "Give one"},
	} {
		var p Problem
		p.Say(x.why, x.next)
		if p.Detail != x.detail || p.Next != x.next || p.Why() != x.alone {
			t.Errorf("%q, %q: %q, %q, %q", x.why, x.next, p.Detail, p.Next, p.Why())
		}
	}
	if p := (Problem{Detail: "of another node."}); p.Why() != "of another node" {
		t.Errorf("%q", p.Why())
	}
}
