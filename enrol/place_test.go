package enrol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// newNode are the values of a new node that names a token of its own.
func newNode(more map[string]string) host.Values {
	vs := host.Defaults()
	for key, text := range map[string]string{"cluster": "c", "node_id": "n1", "hsm.uri": "local:/nowhere"} {
		vs.Set(key, text, "flag")
	}
	for key, text := range more {
		vs.Set(key, text, "flag")
	}
	return vs
}

// Goal: in enrolments and rosters stands an endpoint that clients can dial, and no password of anybody. Method: endpoints in and beside
// their one form.
func TestEndpointForm(t *testing.T) {
	for _, good := range []string{"https://a", "https://a.example:1", "https://127.0.0.1:65535", "https://[::1]:8080", "https://[::1]",
		"https://4f3a2b:8080", "https://mpcd_node_1:8080"} {
		if _, err := (Place{Endpoint: good}).endpoint(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a:8080", "http://a:8080", "HTTPS://a:8080", "https://", "https://:8080", "https://a:", "https://a:0",
		"https://a:65536", "https://127.0.0.9:99999", "https://a:08080", "https://a:+80", "https://user:pw@host", "https://user@host:8080",
		"https://a/", "https://a:8080/x", "https://a?", "https://a?x=1", "https://a#", "https://a#x", "https://a b", "https://-a",
		"https://a..b", "https://a.", "https://1.2.3.999:80", "https://0.0.0.0:8080", "https://[::]:80", "https://[fe80::1%25eth0]:80",
		"https://::1:80", " https://a", "https://a\n", "https://%61:80", "https://\u0430:80", "https://" + strings.Repeat("a.", 130) + "a"} {
		dir := filepath.Join(t.TempDir(), "n1")
		_, err := Configure(dir, newNode(nil), Place{Endpoint: bad}, t.Logf)
		if codeOf(err) != fault.CodeUsage || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", bad, err)
		}
		if bad == "" {
			continue
		}
		_, err = Node(t.Context(), testNode(t, "n1"), host.Options{}, Place{Endpoint: bad}, false)
		if codeOf(err) != fault.CodeUsage {
			t.Errorf("%q, without a configuration to make: %v", bad, err)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%q: something was made: %v", bad, err)
		}
	}
}

// Goal: the roster names no node that clients cannot reach, whatever made its enrolment. Method: enrolments as an earlier release made
// them, of a new node and of one that the roster has, with and without an endpoint there.
func TestRosterNamesThePlace(t *testing.T) {
	roster := func(endpoint string) *attest.SignedRoster {
		return &attest.SignedRoster{Roster: attest.Roster{Nodes: []attest.RosterNode{{ID: "n1", Endpoint: endpoint}}}}
	}
	for _, x := range []struct {
		before *attest.SignedRoster
		at     string
		ok     bool
	}{
		{nil, "https://a:8080", true}, {nil, "", false}, {nil, "https://user:pw@a/x", false}, {nil, "https://a:0", false},
		{roster("https://a"), "", true}, {roster("https://a"), "http://a", false}, {roster(""), "", false}, {roster(""), "https://a", true},
	} {
		if err := checkPlaces(x.before, []Enrolment{{Node: "n1", Endpoint: x.at}}); (err == nil) != x.ok {
			t.Errorf("%+v: %v", x, err)
		}
	}
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Node(t.Context(), testNode(t, "n1"), host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Admit([]Judgement{{Enrolment: e}}, nil, nil); codeOf(err) != fault.CodeUsage {
		t.Errorf("admitted: %v", err)
	}
	if _, err := os.Stat(filepath.Join(a.dir, RosterFile)); !os.IsNotExist(err) {
		t.Errorf("a roster was signed: %v", err)
	}
}

// Goal: what is wrong with a new node is told before anything is made, so that the corrected command does. Method: settings that the file
// could hold and no node could start with, then the right ones in the same directory.
func TestConfigureChecksFirst(t *testing.T) {
	dir, at := filepath.Join(t.TempDir(), "n1"), Place{Endpoint: "https://127.0.0.1:8080"}
	for key, text := range map[string]string{"nats.routes": "foo", "listen": "127.0.0.1:99999", "threshold": "many", "cluster": "C c",
		"node_id": "../n1", "roster_root": "0x12", "hsm.uri": "token", "hsm.recovery": "age1nonsense", "log.level": "loud"} {
		if _, err := Configure(dir, newNode(map[string]string{key: text}), at, t.Logf); codeOf(err) != fault.CodeUsage {
			t.Errorf("%s %q: %v", key, text, err)
		}
	}
	for _, routes := range []string{"127.0.0.2:0", "127.0.0.2", ":6222", "127.0.0.2:99999", "a b:1", "127.0.0.2:6222,foo", "u:p@a:6222"} {
		if _, err := Configure(dir, newNode(map[string]string{"nats.routes": routes}), at, t.Logf); codeOf(err) != fault.CodeUsage {
			t.Errorf("routes %q: %v", routes, err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("something was made: %v", err)
	}
	right := map[string]string{"nats.routes": "127.0.0.2:6222,nats-route://b.example:6222"}
	if _, err := Configure(dir, newNode(right), at, t.Logf); err != nil {
		t.Error(err)
	}
}

// Goal: a repetition that says something else than what was written is refused, with both values, and changes nothing; one that says the
// same, or less, is taken. Method: each, and again after the operator changed the file.
func TestConfigureAgain(t *testing.T) {
	dir, at := filepath.Join(t.TempDir(), "n1"), Place{Endpoint: "https://127.0.0.1:8080"}
	first := map[string]string{"nats.routes": "127.0.0.2:6222", "hsm.uri": "local:token"} // relative to where we are
	path, err := Configure(dir, newNode(first), at, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, vs := range map[string]host.Values{"the same": newNode(first), "less": host.Defaults()} {
		if _, err := Configure(dir, vs, at, t.Logf); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, x := range []struct{ key, text, endpoint, was string }{
		{"nats.routes", "127.0.0.3:6222", at.Endpoint, "127.0.0.2:6222"}, {"node_id", "n2", at.Endpoint, "n1"},
		{"cluster", "d", at.Endpoint, "c"}, {"hsm.uri", "local:other", at.Endpoint, "token"}, {"data_dir", "d", at.Endpoint, "data"},
		{"roster_root", "r_x", at.Endpoint, `""`}, {"node_id", "n1", "https://127.0.0.1:9090", "127.0.0.1:8080"},
		{"node_id", "n1", "https://b.example:8080", "127.0.0.1:8080"},
	} {
		more := map[string]string{"hsm.uri": "local:token", x.key: x.text}
		_, err := Configure(dir, newNode(more), Place{Endpoint: x.endpoint}, t.Logf)
		if codeOf(err) != fault.CodeUsage || !strings.Contains(err.Error(), x.was) || !strings.Contains(err.Error(), "here it would be") {
			t.Errorf("%s %s %s: %v", x.key, x.text, x.endpoint, err)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != string(before) {
			t.Fatalf("%s: the file was changed, or %v", x.key, err)
		}
	}
	other := strings.Replace(string(before), "listen: \"127.0.0.1:8080\"", "listen: \"127.0.0.9:8080\"", 1)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil || other == string(before) {
		t.Fatal("the test changes nothing", err)
	}
	if _, err := Configure(dir, newNode(first), at, t.Logf); codeOf(err) != fault.CodeUsage {
		t.Errorf("where the operator has it listen elsewhere: %v", err)
	}
}
