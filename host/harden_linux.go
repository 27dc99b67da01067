package host

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/luxfi/mpcd/host/fault"
)

// Harden keeps the memory of the process out of core dumps and away from debuggers of the same user (prctl(2),
// PR_SET_DUMPABLE). It is called before anything secret is read.
func Harden() error {
	// gRPC, which carries the driver process and Google's client, would write whole messages, keys in them, to a file.
	if os.Getenv("GRPC_BINARY_LOG_FILTER") != "" {
		return fault.Usage("unset it", "GRPC_BINARY_LOG_FILTER is set, which writes secrets to disk")
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the process undumpable: %w", err)
	}
	return nil
}
