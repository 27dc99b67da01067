package host

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/luxfi/mpcd/internal/durable"
)

// anchorEvery is how often a running node has the token count, so that a copy of the data directory is refused once it is older
// than that, also where no key was made since: what was signed and burned meanwhile is in no older copy. A TPM bears some 100,000
// writes of a counter, which is eleven years of hours.
const anchorEvery = time.Hour

// keepAnchor makes a commit of the vault, which counts, until ctx ends. What the commit keeps is the head of the audit log, so that
// neither the log nor the directory can be put back further than that.
func keepAnchor(ctx context.Context, commit func(context.Context) error, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		switch err := commit(context.WithoutCancel(ctx)); {
		case durable.IsFull(err), errors.Is(err, durable.ErrMoved):
			log.Warn("the head of the audit log was not kept in the vault; it is tried again", "error", err)
		case err != nil:
			log.Error("the vault's commits were not counted: restart the node", "error", err)
			return
		}
	}
}
