package enrol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: no PIN gets into a configuration, nor into what is said of it. Method: a URI with one, and no file after it.
func TestConfigureTakesNoPIN(t *testing.T) {
	dir, vs := filepath.Join(t.TempDir(), "n1"), host.Defaults()
	vs.Set("cluster", "treasury", "flag")
	vs.Set("node_id", "n1", "flag")
	vs.Set("hsm.uri", "pkcs11:token=x?module-path=/lib.so&pin-value=481516", "flag")
	_, err := Configure(dir, vs, Place{Endpoint: "https://127.0.0.1:8443"}, t.Logf)
	if codeOf(err) != fault.CodeUsage || strings.Contains(err.Error(), "481516") {
		t.Errorf("taken: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
}
