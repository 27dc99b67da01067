package host

import (
	"log/slog"
	"os"
	"runtime/debug"
)

// memoryGoal is what the Go heap may grow to before it is collected more often, in bytes; it is no hard limit. GOMEMLIMIT
// overrides it.
const memoryGoal = 98 << 20

// LimitMemory has the process of a node keep to memoryGoal.
func LimitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryGoal)
	}
}

// memoryAdvice is what to do where secrets may reach a disk.
const memoryAdvice = "give the node LimitMEMLOCK=infinity or CAP_IPC_LOCK, or switch swap off"

// RemarkMemory tells what keeps the secrets of this process in memory.
func RemarkMemory(log *slog.Logger) {
	detail, well := guarded()
	if !well {
		log.Warn("secrets may reach a disk: "+memoryAdvice, "state", detail)
		return
	}
	log.Info("memory", "state", detail)
}

// Remark tells what was configured and has no effect.
func (c Config) Remark(log *slog.Logger) {
	for _, name := range c.Unknown {
		log.Warn("this variable means nothing to mpcd; is it misspelt?", "variable", name)
	}
	if c.Consul != "" {
		log.Info("Consul is not used by this build: who is a member stands in the roster", "origin", c.Consul)
	}
}
