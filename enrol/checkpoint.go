package enrol

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
)

// PrintCheckpoints writes checkpoints as a table.
func PrintCheckpoints(w io.Writer, all []wire.Checkpoint) {
	fmt.Fprintln(w, "NODE\tENTRIES\tWITNESSED\tED25519\tML-DSA-44\tTROUBLE")
	for _, x := range all {
		when := "never"
		if x.WitnessedMS > 0 {
			when = time.UnixMilli(x.WitnessedMS).UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%q\t%d\t%s\t%q\t%q\t%q\n", x.Node, x.Entries, when, strings.Join(x.CosignedBy, ","), strings.Join(x.CosignedMLDSA, ","),
			x.Trouble)
	}
}

// WriteCheckpoint writes the checkpoint of one node's log, as it is, if it can be seen: the node asked may be of any release, and the node
// whose log it is has signed it. err is why there are none.
func WriteCheckpoint(w io.Writer, all []wire.Checkpoint, node string, err error) error {
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(x wire.Checkpoint) bool { return x.Node == node })
	if i < 0 {
		return fault.Usage("name one that `mpcd audit checkpoints` lists", "the node asked has no checkpoint of %.64q", node)
	}
	for line := range strings.Lines(all[i].Checkpoint) {
		if !attest.Printable(strings.TrimSuffix(line, "\n")) {
			return &fault.Error{Code: fault.CodeIntegrity,
				Err: fmt.Errorf("the checkpoint of %.64q has a text that cannot be seen: %.200q", node, line),
				Do:  "take it as no checkpoint: find out what that node's token has signed, and who had it do so"}
		}
	}
	_, err = io.WriteString(w, all[i].Checkpoint)
	return err
}
