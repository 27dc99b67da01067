package host

import (
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/hsm"
)

// Options are what a node is given beside its configuration. The zero value is a node as it ships, which logs nothing.
type Options struct {
	Release string // of the program
	Log     *slog.Logger
	Level   *slog.LevelVar   // of Log, where a reload may change it
	Clock   func() time.Time // nil is time.Now
	Rand    io.Reader        // nil is crypto/rand
	// Drivers take the place of the program's own with their schemes. A test has libraries loaded in its own process so.
	Drivers hsm.Drivers
	// Hangups ask a running node to reload; Again reads its configuration anew. Both may be nil.
	Hangups <-chan os.Signal
	Again   func() (Config, error)
	// Crash ends the process at once, and says why: a write of the store has failed, of which nobody knows the outcome, or this machine is
	// not any more the one that the node began on. nil has Run end the node as it ends otherwise.
	Crash func(error)
	// Network stands between the node and its network, where it is not nil.
	Network func(transport.Network) transport.Network
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o
}
