package plugin

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/luxfi/mpcd/hsm"
)

// passed are the variables that drivers are configured by. LD_LIBRARY_PATH and LD_PRELOAD are none of them.
var passed = []string{
	"SOFTHSM2_CONF", "SOFTHSM2_MODULE", "TPM2_PKCS11_*", "TSS2_LOG", "P11_KIT_*", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS",
	"CREDENTIALS_DIRECTORY", "XDG_RUNTIME_DIR", "HOME", "TZ", "LANG", "LC_ALL", "TMPDIR",
}

// variables remembers, for the life of the process, which variables hold a PIN, by the pin-sources of all tokens that were ever opened,
// and which a child was ever given. No variable may be both.
var variables struct {
	mu            sync.Mutex
	pins, granted map[string]bool
}

// claimPIN keeps the variable of a pin-source from all children to come. It is an error if one of the past has it.
func claimPIN(source string) error {
	name, ok := strings.CutPrefix(source, "env:")
	if !ok {
		return nil
	}
	variables.mu.Lock()
	defer variables.mu.Unlock()
	if variables.granted[name] {
		return fmt.Errorf("hsm plugin: %w: the variable of pin-source=env:%s was passed to a driver process before this token was opened; "+
			"take it, or the pattern that it fits, out of hsm.plugin.env, or use pin-source=cred: or file:, then restart the process",
			hsm.ErrPINSource, clean(name, nameMax))
	}
	if variables.pins == nil {
		variables.pins = map[string]bool{}
	}
	variables.pins[name] = true
	return nil
}

// grantEnviron is the environment of the next child.
func grantEnviron(extra []string) []string {
	variables.mu.Lock()
	defer variables.mu.Unlock()
	env := environ(extra, slices.Collect(maps.Keys(variables.pins)))
	if variables.granted == nil {
		variables.granted = map[string]bool{}
	}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		variables.granted[name] = true
	}
	return env
}

// environ is the environment of a child: the allow-list, and what the configuration adds. Variables that hold a PIN are left out,
// and so are those that carry go-plugin's own settings.
func environ(extra, pinVariables []string) []string {
	var out []string
	add := func(name, entry string) {
		if slices.Contains(pinVariables, name) || strings.HasPrefix(name, "PLUGIN_") || name == cookieName {
			return
		}
		out = slices.DeleteFunc(out, func(e string) bool { return strings.HasPrefix(e, name+"=") })
		out = append(out, entry)
	}
	for _, pattern := range slices.Concat(passed, extra) {
		if name, _, sets := strings.Cut(pattern, "="); sets {
			add(name, pattern)
			continue
		}
		prefix, many := strings.CutSuffix(pattern, "*")
		for _, entry := range os.Environ() {
			name, _, _ := strings.Cut(entry, "=")
			if name == pattern || many && strings.HasPrefix(name, prefix) {
				add(name, entry)
			}
		}
	}
	return out
}
