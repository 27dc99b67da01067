package host

import (
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
)

// Goal: every kind of error has one next step, a clause that can follow "do:", and none sends people to a backup, which would be an older
// copy of the data directory (docs/OPERATIONS.md). Method: the table, and the advice that the node's rooms share.
func TestFaultsSayWhatToDo(t *testing.T) {
	steps := map[string]string{"problem.Restore": problem.Restore}
	for _, k := range kinds {
		if k.code == 0 {
			t.Errorf("%v has no code", k.err)
		}
		steps[k.err.Error()] = k.do
	}
	for of, do := range steps {
		if do == "" || strings.HasSuffix(do, ".") || strings.ToLower(do[:1]) != do[:1] || strings.Contains(do, "backup") {
			t.Errorf("%s: %q", of, do)
		}
	}
}
