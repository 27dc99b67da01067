package natsnet

import (
	"testing"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Goal: who is not in the roster has no place of its own in an inbox, whatever names it invents. Method: names of every sort.
func TestSender(t *testing.T) {
	n := &Network{config: Config{Peers: transport.Peers{"a": {}}}}
	for name, want := range map[string]transport.NodeID{"a": "a", "b": "", "": "", "a.b": ""} {
		if got := n.sender(name); got != want {
			t.Errorf("%q counts as %q, want %q", name, got, want)
		}
	}
	if got := (&Network{}).sender("b"); got != "b" { // without a roster all are known
		t.Errorf("%q", got)
	}
}
