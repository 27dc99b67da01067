package nss_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/internal/parts/nss"
)

// Goal: a database is whole, private, and made once. Method: Mozilla's own tool reads it; a second one in the same directory is refused.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	tok, err := nss.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Stop()
	if !strings.Contains(tok.URI, "init-args=configdir='sql:") {
		t.Errorf("URI %s", tok.URI)
	}
	pin, err := os.ReadFile(dir + "/pin")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "certutil", "-K", "-d", "sql:"+dir, "-f", dir+"/pin").CombinedOutput(); err == nil ||
		!strings.Contains(string(out), "no keys found") {
		t.Errorf("certutil: %v: %s", err, out)
	}
	if st, err := os.Stat(dir + "/pin"); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the PIN's file: %v, %v", st, err)
	}
	for _, bad := range []string{dir, dir + "/it's", "/nonexistent"} {
		if _, err := nss.Start(bad); err == nil {
			t.Errorf("a database in %s", bad)
		}
	}
	if again, err := os.ReadFile(dir + "/pin"); err != nil || string(again) != string(pin) {
		t.Errorf("the PIN was lost: %v", err)
	}
}
