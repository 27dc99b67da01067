package plugin

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// Config says how a driver process is started and what it may do. The zero value of all but Command is a working one.
type Config struct {
	// Command is the program and its arguments, the program by its absolute path. {"/proc/self/exe", "hsm-plugin"} is this very
	// program, even where its file was replaced by a newer one since. External ignores it.
	Command []string
	// Env adds to the environment of the process, which has otherwise only what drivers are configured by: "NAME=value" sets,
	// "NAME" passes ours on, "NAME*" passes on all that begin so. A variable that a pin-source names is never passed on; a token
	// whose pin-source names one that a process was given before is refused (hsm.ErrPINSource).
	Env []string
	// UID and GID, where not 0, are the user and group that the process runs as; for that, the node must run as root.
	UID, GID uint32
	// Dir is where the process has its socket, in a directory of its own that ends with it; the one for temporary files if "".
	Dir string
	// Free tells the free space on the disk of a directory, in bytes; nil asks the file system.
	Free func(dir string) (int64, error)
	// Sandbox is what the driver needs beyond computing and its libraries.
	Sandbox Sandbox
	// Limits bound its answers.
	Limits Limits
	// Logger gets starts and ends of the process, with the cause, and what the process writes to stderr; nil for none. A token's
	// hsm.Options.Logger is not used.
	Logger *slog.Logger
}

// Sandbox is what a driver may do beyond what every driver may. System libraries, /opt and the configuration of what drivers
// stand on may always be read; so may the module-path and the pin-source of a URI that is open when the process starts, and read and
// written the token directories that SOFTHSM2_CONF and TPM2_PKCS11_STORE name, and /dev/tpm0 and /dev/tpmrm0 where a variable
// TPM2_PKCS11_* is in the environment of the process.
type Sandbox struct {
	// Network allows sockets of IPv4 and IPv6: for network HSMs.
	Network bool
	// Exec allows to start programs: for libraries that need a helper.
	Exec bool
	// Read and Write are more paths, of files or whole directories. One that is absent is left out until a token needs it again.
	Read, Write []string
}

// Limits are times; zero stands for the default.
type Limits struct {
	Start    time.Duration // of a process, up to the handshake; 10 s
	Open     time.Duration // of a token; 30 s
	Call     time.Duration // of every other operation; 10 s
	Generate time.Duration // of GenerateKey; 2 min, since RSA keys take their time in small hardware
	// Grace is how much longer than its limit a call may go unanswered, while no other call on its token is answered either, before
	// the process is killed as hanging; 2 s.
	Grace time.Duration
	// Backoff is the wait before the first restart; it doubles with every further one up to BackoffMax, with a jitter of half. A
	// process that lived for Steady begins anew. 50 ms, 10 s, 30 s.
	Backoff, BackoffMax, Steady time.Duration
}

func (l Limits) defaults() Limits {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&l.Start, 10*time.Second)
	set(&l.Open, 30*time.Second)
	set(&l.Call, 10*time.Second)
	set(&l.Generate, 2*time.Minute)
	set(&l.Grace, 2*time.Second)
	set(&l.Backoff, 50*time.Millisecond)
	set(&l.BackoffMax, 10*time.Second)
	set(&l.Steady, 30*time.Second)
	return l
}

func (c Config) log() *slog.Logger {
	if c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}

// Stats count what happened to a process and its successors, all tokens together.
type Stats struct {
	PID      int       `json:"pid"`      // of the process; 0 while there is none
	Since    time.Time `json:"since"`    // its start
	Starts   uint64    `json:"starts"`   // processes that got ready
	Restarts uint64    `json:"restarts"` // of them, in the place of one that ended unasked
	Hangs    uint64    `json:"hangs"`    // processes killed for not answering
	Calls    uint64    `json:"calls"`    // operations begun
	Retries  uint64    `json:"retries"`  // operations repeated on a new process
	Unknown  uint64    `json:"unknown"`  // operations with an unknown outcome
	Wrong    uint64    `json:"wrong"`    // signatures dropped since they did not verify
}

// About is what the handshake told.
type About struct {
	Driver  string   `json:"driver"`  // name of the program
	Release string   `json:"release"` // its version
	Schemes []string `json:"schemes"` // of the URIs that it opens
	// Sandbox is what is in force, such as "seccomp", and what is not and why, such as "no landlock: the kernel has none".
	Sandbox []string `json:"sandbox"`
}

// Driver is the driver of a command: an hsm.OpenFunc whose tokens are *Token. All tokens that are open at a time are in one
// process, which starts with the first and ends with the last; so one value serves all URIs of a library, pkcs11 and softhsm alike.
//
// Errors beside those of the driver in the process: ErrVersion, ErrUnavailable.
func Driver(c Config) hsm.OpenFunc {
	if len(c.Command) == 0 {
		return failing(fmt.Errorf("hsm plugin: no command is configured"))
	}
	return newHost(c, commanded(c.Command)).open
}
