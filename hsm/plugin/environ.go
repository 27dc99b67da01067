package plugin

import (
	"os"
	"slices"
	"strings"
)

// passed are the variables that drivers are configured by. LD_LIBRARY_PATH and LD_PRELOAD are none of them.
var passed = []string{
	"SOFTHSM2_CONF", "SOFTHSM2_MODULE", "TPM2_PKCS11_*", "TSS2_LOG", "P11_KIT_*", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS",
	"CREDENTIALS_DIRECTORY", "XDG_RUNTIME_DIR", "HOME", "TZ", "LANG", "LC_ALL", "TMPDIR",
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
