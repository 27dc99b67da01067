package main

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/softhsm"
)

// Goal: what cannot work is refused with the exit code of its kind and a next step, and no PIN is tried for it; the token
// works afterwards. Method: each mistake in the configuration of a node, for `mpcd start` and `mpcd doctor`, with a library between
// that counts logins.
func TestBadHardware(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 2, 2)
	node := c.Nodes[0]
	module, err := softhsm.Find()
	if err != nil {
		t.Fatal(err)
	}
	spy := sim.NewLoginSpy(t, module)
	spied := strings.Replace(node.URI(), module, spy.Path, 1)
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(node.Dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pin := filepath.Join(node.Dir, "hsm", "pin")
	with := func(old, now string) string { return strings.Replace(spied, old, now, 1) }
	aws, credentials, region := startAWS(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + nobody.Addr().String()
	_ = nobody.Close()
	noCredentials := []string{"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}

	for _, x := range []struct {
		name string
		env  []string
		code fault.Code
		says []string
		slow bool // tried again for ten seconds
	}{
		{"library missing", []string{"MPCD_HSM_URI=" + with(spy.Path, "/usr/lib/nowhere.so")}, fault.CodeHSM,
			[]string{"/usr/lib/nowhere.so", "installed"}, false},
		{"no library", []string{"MPCD_HSM_URI=" + with(spy.Path, file("lib.so", "no library\n", 0o700))}, fault.CodeHSM,
			[]string{"lib.so", "library"}, false},
		{"no such token", []string{"MPCD_HSM_URI=" + with("token=mpcd-node1", "token=other")}, fault.CodeHSM,
			[]string{`"other"`, `"mpcd-node1"`, "token="}, false},
		{"PIN in the URI", []string{"MPCD_HSM_URI=" + with("pin-source=file:"+pin, "pin-value=123456")}, fault.CodeUsage,
			[]string{"pin-source=file:"}, false},
		{"unknown attribute", []string{"MPCD_HSM_URI=" + with("token=", "tokn=")}, fault.CodeUsage, []string{"tokn", "known are"}, false},
		{"PIN file missing", []string{"MPCD_HSM_URI=" + with(pin, pin+"2")}, fault.CodeUsage, []string{"pin2", "correct pin-source"}, false},
		{"PIN file of everybody", []string{"MPCD_HSM_URI=" + with(pin, file("open-pin", "1234\n", 0o644))}, fault.CodeUsage,
			[]string{"open-pin", "chmod 600"}, false},
		{"PIN file empty", []string{"MPCD_HSM_URI=" + with(pin, file("empty-pin", "", 0o600))}, fault.CodeUsage,
			[]string{"empty", "correct pin-source"}, false},
		{"counter that cannot count", []string{"MPCD_HSM_COUNTER=" + spied}, fault.CodeHSM, []string{"no monotonic counter", "a TPM has"}, false},
		{"user unknown", []string{"MPCD_HSM_PLUGIN_USER=nobody-of-this-name"}, fault.CodeUsage, []string{"hsm.plugin.user"}, false},
		{"TPM missing", []string{"MPCD_HSM_VAULT_URI=tpm:device=%2Fnowhere%2Ftpm"}, fault.CodeHSM, []string{"/nowhere/tpm", "do:"}, false},
		{"not a TPM", []string{"MPCD_HSM_VAULT_URI=tpm:device=" + url.PathEscape(file("tpm", "", 0o600))}, fault.CodeHSM,
			[]string{"tpm", "do:"}, false},
		{"AWS without credentials", append(noCredentials, "MPCD_HSM_VAULT_URI="+aws), fault.CodeHSM,
			[]string{"no credentials for AWS", "AWS_ACCESS_KEY_ID"}, false},
		{"AWS in another region", append(credentials, "MPCD_HSM_VAULT_URI="+strings.Replace(aws, region, "eu-nowhere-1", 1)), fault.CodeHSM,
			[]string{"alias/mpcd/vault", "eu-nowhere-1"}, false},
		{"AWS unreachable", append(credentials, "MPCD_HSM_VAULT_URI=awskms:region=eu-central-1?endpoint="+dead), fault.CodeHSM,
			[]string{dead, "do:"}, true},
		{"AWS in the clear", append(credentials, "MPCD_HSM_VAULT_URI=awskms:region=eu-central-1?endpoint=http://kms.example"), fault.CodeUsage,
			[]string{"hsm.vault_uri", "https"}, false},
		{"no such provider", []string{"MPCD_HSM_URI=yubihsm:x"}, fault.CodeUsage, []string{"yubihsm", "awskms"}, false},
		{"driver of others without a directory", []string{"MPCD_HSM_URI=plugin:acme"}, fault.CodeUsage, []string{"hsm.plugin.dir"}, false},
	} {
		node.Env = append(append([]string{"MPCD_HSM_URI=" + spied}, spy.Env...), x.env...)
		starting(t, node, "with "+x.name, x.code, x.says...)
		if !x.slow {
			wants(t, "doctor: "+x.name, node.Run("doctor"), x.code, x.says...)
		}
		logins := spy.Logins(t)
		if strings.Contains(strings.Join(x.env, " "), "MPCD_HSM_URI=") && logins != 0 {
			t.Errorf("%s: %d logins", x.name, logins)
		}
	}

	node.Env = append([]string{"MPCD_HSM_URI=" + spied}, spy.Env...)
	healthy(t, node, map[string]string{"vault": ""})
	if n := spy.Logins(t); n != 1 {
		t.Errorf("control: the doctor logs in %d times, want 1", n)
	}
	twin := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "mpcd-node1", "--pin", "4321", "--so-pin", "8765")
	twin.Env = append(twin.Environ(), "SOFTHSM2_CONF="+filepath.Join(node.Dir, "hsm", "softhsm2.conf"))
	if out, err := twin.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	starting(t, node, "with two tokens of one label", fault.CodeHSM, "2 tokens", "add serial=")
	if n := spy.Logins(t); n != 0 {
		t.Errorf("two tokens with one label: %d logins", n)
	}
}
