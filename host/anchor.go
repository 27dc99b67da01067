package host

import (
	"context"
	"log/slog"
	"time"

	"github.com/luxfi/mpcd/vault"
)

// anchorEvery is how often a running node has the token count, so that a copy of the data directory is refused once it is older
// than that, also where no key was made since: what was signed and burned meanwhile is in no older copy. A TPM bears some 100,000
// writes of a counter, which is eleven years of hours.
const anchorEvery = time.Hour

// keepAnchor counts until ctx ends. A vault without an anchor counts nothing.
func keepAnchor(ctx context.Context, v *vault.Vault, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := v.Advance(context.WithoutCancel(ctx)); err != nil {
			log.Error("the vault's commits were not counted: restart the node", "error", err)
			return
		}
	}
}
