package benchmarks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/softhsm"
)

// TestMain makes the test binary stand for mpcd where a token is measured: as the driver process, and as what makes SoftHSM tokens.
func TestMain(m *testing.M) {
	args := strings.Join(os.Args[1:], " ")
	var err error
	switch {
	case args == "hsm-plugin":
		err = plugin.Serve(plugin.Program{Name: "test", Release: "1", Drivers: hsm.Drivers{"pkcs11": pkcs11.Open}})
	case strings.HasPrefix(args, "hsm init --softhsm "):
		var p softhsm.Provisioned
		if p, err = softhsm.Provision(os.Args[4], os.Args[6], "", ""); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(map[string]string{"uri": p.URI, "softhsm_conf": filepath.Join(os.Args[4], "softhsm2.conf")})
		}
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Goal: every provider can be measured, and the table has a row for each. Method: the shortest loads, on the real parts; the binary of the
// test is the driver process.
func TestTokens(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all, err := Tokens(t.Context(), program, time.Millisecond, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := PrintTokens(&table, all); err != nil {
		t.Fatal(err)
	}
	for i, p := range providers {
		f := all[i]
		if f.Name != p.name || !strings.Contains(table.String(), "\n"+p.name) || f.Wrap <= 0 || f.Unwrap <= 0 || len(f.Levels) != len(sessions) {
			t.Errorf("%s: %+v", p.name, f)
		}
		for k, l := range f.Levels {
			if l.Sessions != sessions[k] || l.P50 <= 0 || l.P99 < l.P50 || l.Rate <= 0 {
				t.Errorf("%s: %+v", p.name, l)
			}
		}
	}
	overhead, err := PluginOverhead(t.Context(), program, time.Millisecond)
	if err != nil || len(overhead) != 3 || overhead[2].Value != overhead[1].Value-overhead[0].Value || overhead[0].Value <= 0 {
		t.Errorf("%+v, %v", overhead, err)
	}
}

// Goal: a load counts what was done, and an error ends it. Method: callers that count, one that fails.
func TestClosedLoop(t *testing.T) {
	times, elapsed, err := closedLoop(t.Context(), 4, 0, func(int) error { return nil })
	if err != nil || len(times) != 4 || elapsed <= 0 || !slices.IsSorted(times) {
		t.Errorf("%v in %v, %v", times, elapsed, err)
	}
	fails := errors.New("it fails")
	if _, _, err := closedLoop(t.Context(), 4, time.Hour, func(i int) error {
		if i < 0 {
			return nil
		}
		return fails
	}); !errors.Is(err, fails) {
		t.Errorf("a failing load: %v", err)
	}
	if _, _, err := closedLoop(t.Context(), 2, 0, func(i int) error { return fails }); !errors.Is(err, fails) {
		t.Errorf("a load that fails while it warms up: %v", err)
	}
}

// Goal: the TPM is held against SoftHSM round by round, and every promised figure of tokens is made. Method: rounds on a machine that
// changes its speed.
func TestTokenFigures(t *testing.T) {
	run := func(rates ...float64) (out []loaded) {
		for _, r := range rates {
			out = append(out, loaded{rate: r, times: []time.Duration{time.Millisecond}})
		}
		return out
	}
	figures := tokenFigures([]*tokenCluster{{what: onSoftHSM, runs: run(1000, 100, 500)}, {what: onTPM, runs: run(900, 80, 500)},
		{what: onSlow, runs: run(300, 400, 350)}}, 3, 5)
	got := map[string]float64{"hsm plugin overhead": 0}
	for _, f := range figures {
		got[f.Name] = f.Value
	}
	for name, want := range map[string]float64{"attested by SoftHSM": 500, "attested by TPM (swtpm)": 500, "attested by 20 operations/s": 350,
		"TPM (swtpm) of SoftHSM": 90} {
		if v := got["node ed25519 3-of-5 sustained, "+name]; v != want {
			t.Errorf("%s: %g, want %g", name, v, want)
		}
	}
	for _, target := range Targets {
		if _, made := got[target.Name]; !made && (strings.HasPrefix(target.Name, "hsm ") || strings.Contains(target.Name, "sustained, ")) {
			t.Errorf("target %q is never measured", target.Name)
		}
	}
}

// Goal: a node's software token is replaced, and nothing else. Method: a file with it, and files without.
func TestSlowNode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mpcd.yaml")
	for text, want := range map[string]string{
		"hsm:\n  uri: \"local:" + dir + "/hsm\"\nlisten: x\n": "hsm:\n  uri: \"plugin:slow\"\n  plugin:\n    dir: \"/d\"\n    env: " +
			"[\"SLOWTOKEN_DIR=" + dir + "/hsm\"]\n    write: [\"" + dir + "/hsm\"]\nlisten: x\n",
		"hsm:\n  uri: \"softhsm:\"\n": "",
		"":                            "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := slowNode(dir, "/d")
		if b, _ := os.ReadFile(path); want != "" && (err != nil || string(b) != want) || want == "" && (err == nil || string(b) != text) {
			t.Errorf("%q: %v, %q", text, err, b)
		}
	}
}

// Goal: the driver builds under the name that plugin:slow looks for.
func TestBuildSlow(t *testing.T) {
	dir := t.TempDir()
	if err := buildSlow(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	tok, err := openSlow(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	if err := makeKeys(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	l, err := signLoad(t.Context(), tok, 4, 200*time.Millisecond)
	if err != nil || l.Rate > 25 {
		t.Errorf("%+v, %v: want at most 20 a second, and what was under way", l, err)
	}
}

func openSlow(t *testing.T, drivers string) (hsm.Token, error) {
	keys := t.TempDir()
	u, err := hsm.ParseURI("plugin:slow")
	if err != nil {
		return nil, err
	}
	return plugin.External(drivers, plugin.Config{Env: []string{"SLOWTOKEN_DIR=" + keys}, Sandbox: plugin.Sandbox{Write: []string{keys}}})(
		t.Context(), u, hsm.Options{Dev: true})
}
