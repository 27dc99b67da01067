package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Goal: the demo installs what its token needs and nothing else. Method: scripts/setup.sh on a machine that has none of the tools, whose
// apt-get writes down what it is asked for.
func TestSetupInstallsWhatIsNeeded(t *testing.T) {
	script, err := filepath.Abs("../setup.sh")
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"build":   "gcc libc6-dev",
		"softhsm": "gcc libc6-dev softhsm2",
		"tpm":     "gcc libc6-dev swtpm swtpm-tools",
		"gcp":     "gcc libc6-dev",
	} {
		bin := t.TempDir()
		for _, tool := range []string{"bash", "id", "mktemp", "rm", "env", "uname", "dirname", "cat", "mkdir", "go"} {
			path, err := exec.LookPath(tool)
			if err == nil {
				err = os.Symlink(path, filepath.Join(bin, tool))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		asked := filepath.Join(bin, "asked")
		for name, text := range map[string]string{"apt-get": "echo \"$@\" >>" + asked, "sudo": "exec \"$@\""} {
			if err := os.WriteFile(filepath.Join(bin, name), []byte("#!"+filepath.Join(bin, "bash")+"\n"+text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "bash", script, what)
		cmd.Env = []string{"PATH=" + bin, "HOME=" + bin}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", what, err, out)
		}
		b, err := os.ReadFile(asked)
		if err != nil {
			t.Fatal(err)
		}
		_, packages, _ := strings.Cut(string(b), "--no-install-recommends ")
		got := strings.Fields(packages)
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", what, got, want)
		}
	}
}
