package plugin

import (
	"log/slog"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// Executable checks a driver of others and makes its command.
func Executable(dir, name string) (*exec.Cmd, func(), error) { return executable(dir, name)() }

// What the tests of single pieces use.
var (
	Clean        = clean
	Environ      = environ
	OpenPublic   = openPublic
	PackPublic   = packPublic
	PackFailure  = failure
	OpenFailure  = opened
	OpenEvidence = openEvidence
	PackEvidence = packEvidence
	MayMeanSame  = mayMeanSame
	Sentinels    = sentinels
	Buffers      = wiping
)

// NewRelay is a relay whose run reads to the end.
var NewRelay = newRelay

// Run reads all lines.
func (r *relay) Run(from interface{ Read([]byte) (int, error) }) { r.run(from) }

// Abilities are as many as the wire knows, the unspecified one left out.
func Abilities() (known, named int) { return len(abilities), len(wire.Ability_name) - 1 }

// NewServer is a server that has no process.
func NewServer(d hsm.Drivers) wire.DriverServer {
	return &server{program: Program{Drivers: d}, log: slog.New(slog.DiscardHandler), tokens: map[uint64]*held{}}
}

// Fence puts up landlock alone, or the filter of calls alone.
func Fence(by string) ([]string, error) {
	if by == "landlock" {
		report, _, err := landlocked(Sandbox{})
		return report, err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil { // of this thread, and seccomp(2) of a user asks for it
		return nil, err
	}
	return nil, filter(inner(Sandbox{}, os.Getpid()), unix.SECCOMP_FILTER_FLAG_TSYNC)
}

// ScopesSignals tells whether this kernel's landlock keeps signals in.
func ScopesSignals() bool { return scopesSignals(landlockABI()) }

// Needs is the fence of a child that has no token yet.
func Needs(c Config) Sandbox {
	_, fence := newHost(c, nil).needs()
	return fence
}

// KillChild kills the child of a token as a stranger would, and waits for its end.
func KillChild(t *Token) {
	t.mu.Lock()
	c := t.session.child
	t.mu.Unlock()
	c.signal()
	<-c.gone
}
