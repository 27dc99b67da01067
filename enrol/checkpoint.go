package enrol

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
)

// PrintCheckpoints writes checkpoints as a table.
func PrintCheckpoints(w io.Writer, all []wire.Checkpoint) {
	fmt.Fprintln(w, "NODE\tENTRIES\tWITNESSED\tTROUBLE")
	for _, x := range all {
		when := "never"
		if x.WitnessedMS > 0 {
			when = time.UnixMilli(x.WitnessedMS).UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%q\t%d\t%s\t%q\n", x.Node, x.Entries, when, x.Trouble)
	}
}

// WriteCheckpoint writes the checkpoint of one node's log, as it is; err is why there are none.
func WriteCheckpoint(w io.Writer, all []wire.Checkpoint, node string, err error) error {
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(x wire.Checkpoint) bool { return x.Node == node })
	if i < 0 {
		return fault.Usage("name one that `mpcd audit checkpoints` lists", "the node asked has no checkpoint of %.64q", node)
	}
	_, err = io.WriteString(w, all[i].Checkpoint)
	return err
}
