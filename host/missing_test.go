package host

import (
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
)

// Goal: whoever starts a node with too little is told all that is missing at once, and what writes it. Method: the five variables of the
// seed's deployments and nothing else; then what every command needs, and nothing of what a start needs.
func TestAllThatIsMissing(t *testing.T) {
	for name, text := range map[string]string{"NODE_ID": "node1", "NATS_URL": "nats://127.0.0.1:4222", "CONSUL_ADDR": "127.0.0.1:8500",
		"THRESHOLD": "2", "TOTAL_NODES": "3"} {
		t.Setenv(name, text)
	}
	vs := Defaults()
	vs.Environment()
	c, err := Parse(vs)
	wantMissing(t, err, "no configuration file was read", "cluster", "data_dir", "hsm.uri", "roster", "roster_root", "api.tls.cert",
		"api.tls.key", "api.jwt.keys")
	if c.Node != "node1" || c.NATS.URL == "" || c.Threshold != 2 || c.Total != 3 {
		t.Errorf("the variables mean something else: %+v", c)
	}
	for _, kv := range [][2]string{{"cluster", "c"}, {"data_dir", "/d"}, {"hsm.uri", "softhsm"}} {
		vs.Set(kv[0], kv[1], "test")
	}
	if c, err = Parse(vs); err != nil {
		t.Fatalf("what no command but start needs: %v", err)
	}
	_, err = Listen(c)
	wantMissing(t, err, "the configuration", "roster", "roster_root", "api.tls.cert", "api.tls.key", "api.jwt.keys")
	c.Dev = true
	_, err = Listen(c)
	wantMissing(t, err, "the configuration", "roster", "roster_root")
	c.NATS.Listen = "127.0.0.1:1"
	_, err = Listen(c)
	wantMissing(t, err, "the configuration", "roster", "roster_root", "nats.tls.cert", "nats.tls.key", "nats.tls.ca")
}

// Goal: a configuration file that says nothing was read, and is named. Method: an empty one, and one of comments.
func TestFileWithNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n"} {
		vs := Defaults()
		if err := vs.YAML("/etc/x/mpcd.yaml", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(vs); err == nil || !strings.HasPrefix(err.Error(), "/etc/x/mpcd.yaml; not set: cluster") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func wantMissing(t *testing.T, err error, where string, keys ...string) {
	t.Helper()
	if err == nil || codeOf(err) != fault.CodeUsage || !strings.HasPrefix(err.Error(), where) ||
		!strings.HasSuffix(err.Error(), "not set: "+strings.Join(keys, ", ")) {
		t.Errorf("%v, want %s: %v", err, where, keys)
	}
}
