package host

import (
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
)

// Goal: whatever stands in a configuration file, reading it ends with values or a usage fault, and what was read is known.
func FuzzYAML(f *testing.F) {
	f.Add([]byte("cluster: a\nnats:\n  routes: [a, b]\n"))
	f.Add([]byte("hsm: {uri: softhsm}\nattest: true\n"))
	f.Add([]byte("a: &x [*x]\n"))
	f.Add([]byte("? [a]\n: b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		vs := Defaults()
		err := vs.YAML("x.yaml", b)
		if err != nil && codeOf(err) != fault.CodeUsage {
			t.Fatalf("exit code %d: %v", codeOf(err), err)
		}
		if delete(vs, fileKey); len(vs) != len(Settings) {
			t.Fatalf("%d values of %d settings", len(vs), len(Settings))
		}
		_, _ = Parse(vs)
	})
}

// Goal: every default is a value the parser accepts. Method: the smallest configuration.
func TestDefaults(t *testing.T) {
	vs := Defaults()
	for _, kv := range [][2]string{{"cluster", "c"}, {"node_id", "n"}, {"data_dir", "/d"}, {"hsm.uri", "softhsm"}} {
		vs.Set(kv[0], kv[1], "test")
	}
	c, err := Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	if c.API.Audience != "c" || c.StoreKeyPath() != "/d/store.key" || c.Limits.Batch != 64 {
		t.Errorf("%+v", c)
	}
}

// Goal: a wrong value is refused with its key and origin, in a whole sentence. Method: one of each kind of setting.
func TestWrongValues(t *testing.T) {
	for key, text := range map[string]string{
		"cluster": "Not A Name", "node_id": "", "data_dir": "", "listen": "8080", "threshold": "two", "total_nodes": "-1",
		"nats.listen": "host:99999", "hsm.uri": "", "hsm.sessions": "1000", "password.provider": "aws", "password.human": "maybe",
		"attest": "false", "limits.request": "1 hour", "limits.silence": "1ms", "limits.batch": "0", "log.level": "loud", "log.format": "xml",
		"api.tls.cert": "/only/the/cert", "events.webhooks": "http://alerts.example *", "events.key": "/only/the/key",
	} {
		vs := Defaults()
		for _, kv := range [][2]string{{"cluster", "c"}, {"node_id", "n"}, {"data_dir", "/d"}, {"hsm.uri", "softhsm"}, {key, text}} {
			vs.Set(kv[0], kv[1], "test "+kv[0])
		}
		_, err := Parse(vs)
		if err == nil || !strings.Contains(err.Error(), key) || codeOf(err) != fault.CodeUsage ||
			strings.HasSuffix(err.Error(), " is not") || strings.HasSuffix(err.Error(), " is neither") {
			t.Errorf("%s: %q: %v", key, text, err)
		}
	}
}

// Goal: a batch that no kind of key can be signed in is refused, and the refusal says which can. Method: the largest, and one more.
func TestLargestBatch(t *testing.T) {
	for size, fits := range map[int]bool{512: true, 513: false} {
		vs := Defaults()
		for _, kv := range [][2]string{{"cluster", "c"}, {"node_id", "n"}, {"data_dir", "/d"}, {"hsm.uri", "softhsm"},
			{"limits.batch", strconv.Itoa(size)}} {
			vs.Set(kv[0], kv[1], "test "+kv[0])
		}
		_, err := Parse(vs)
		if (err == nil) != fits || err != nil && !strings.Contains(err.Error(), "from 1 to 512") {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// Goal: the hint names what was perhaps meant, and nothing far away.
func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"lisen": "listen", "node-id": "node_id", "hsm.url": "hsm.uri", "hsm.cosignkey": "hsm.cosign_key", "completely_else": "", "x": "",
	} {
		if got := Nearest(word, keyNames()); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if distance("kitten", "sitting") != 3 || distance("", "abc") != 3 || distance("abc", "abc") != 0 {
		t.Error("distance is not Levenshtein's")
	}
}

// Goal: every setting can be told apart by key, flag and variable.
func TestSettingsAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, s := range Settings {
		names := append([]string{s.Key, s.Variable()}, s.Env...)
		if s.Flag != "" {
			names = append(names, "--"+s.Flag)
		}
		for _, n := range names {
			if seen[n] != "" {
				t.Errorf("%s is of %s and of %s", n, seen[n], s.Key)
			}
			seen[n] = s.Key
		}
		if s.Help == "" {
			t.Errorf("%s has no help", s.Key)
		}
	}
	for _, n := range otherVariables {
		if seen[n] != "" {
			t.Errorf("%s is also of %s", n, seen[n])
		}
	}
}

// Goal: a value that somebody gave is judged without the rest, and what may be shown to others shows no PIN. Method: wrong values alone, a
// configuration with nothing in it, and a URI with a PIN where it does not belong.
func TestShownValues(t *testing.T) {
	vs := Defaults()
	if err := CheckGiven(vs); err != nil {
		t.Errorf("nothing given: %v", err)
	}
	for key, text := range map[string]string{"log.level": "verbose", "limits.request": "30", "listen": "8080", "node_id": "Not A Name"} {
		wrong := Defaults()
		wrong.Set(key, text, "test")
		if err := CheckGiven(wrong); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	vs.Set("hsm.uri", "pkcs11:token=x?pin-value=1234&module-path=/m", "test")
	vs.Set("nats.routes", "a:1,pin-value=1234", "test")
	vs.Set("hsm.recovery", "age1234,AGE-SECRET-KEY-1234", "test")
	vs.Set("node_id", "age-secret-key-pq-1234", "test")
	vs.Set("hsm.vault_uri", "pkcs11:?pin-source=,1234&module-path=/m?PIN-value=1234,1234", "test")
	vs.Set("hsm.counter", "pkcs11:?pin-source=1234:&module-path=/m", "test")
	vs.Set("password.uri", "pkcs11:?pin-source=file:/p?pin%3D1234", "test")
	for _, key := range []string{"hsm.uri", "nats.routes", "hsm.recovery", "node_id", "hsm.vault_uri", "hsm.counter", "password.uri"} {
		shown := vs[key].Redacted().String()
		if strings.Contains(strings.TrimPrefix(shown, "age1234"), "1234") || !strings.Contains(shown, "[redacted]") {
			t.Errorf("%s: %s", key, shown)
		}
		if !strings.Contains(vs[key].String(), "1234") {
			t.Errorf("%s was changed by showing it", key)
		}
	}
	for _, source := range []string{"file:/p", "cred:p", "env:P"} {
		vs.Set("hsm.uri", "pkcs11:?pin-source="+source+"&module-path=/m", "test")
		if shown := vs["hsm.uri"].Redacted().String(); shown != vs["hsm.uri"].String() {
			t.Errorf("a source is hidden: %s", shown)
		}
	}
}

// Goal: the one key ID that a node is given, as --hsm-signer-key-id, is of what cosigns and of what attests, and a key that is named by
// itself wins over it where both come from one source; a later source wins over an earlier one, as ever. Method: each from file, variable
// and flag.
func TestSignerKey(t *testing.T) {
	for _, x := range []struct {
		yaml           string
		set            [][2]string
		cosign, attest string
	}{
		{"", [][2]string{{"hsm.signer_key", "one"}}, "one", "one"},
		{"", [][2]string{{"hsm.signer_key", "one"}, {"hsm.cosign_key", "mine"}}, "mine", "one"},
		{"hsm: {signer_key: one}", nil, "one", "one"},
		{"hsm: {signer_key: one, attest_key: mine}", nil, "one", "mine"},
		{"hsm: {attest_key: mine, signer_key: one}", nil, "one", "mine"},
		{"hsm: {attest_key: mine}", [][2]string{{"hsm.signer_key", "one"}}, "one", "one"},
		{"hsm: {signer_key: one}", [][2]string{{"hsm.attest_key", "mine"}}, "one", "mine"},
	} {
		vs := Defaults()
		if err := vs.YAML("x.yaml", []byte(x.yaml)); err != nil {
			t.Fatal(err)
		}
		for _, kv := range append([][2]string{{"cluster", "c"}, {"node_id", "n"}, {"data_dir", "/d"}, {"hsm.uri", "softhsm"}}, x.set...) {
			vs.Set(kv[0], kv[1], "test")
		}
		c, err := Parse(vs)
		if err != nil || c.HSM.CosignKey != x.cosign || c.HSM.AttestKey != x.attest {
			t.Errorf("%+v: cosign %q, attest %q (%v)", x, c.HSM.CosignKey, c.HSM.AttestKey, err)
		}
	}
	t.Setenv("MPC_HSM_SIGNER_KEY_ID", "one")
	t.Setenv("MPCD_HSM_ATTEST_KEY", "mine")
	vs := Defaults()
	vs.Environment()
	if vs["hsm.cosign_key"].Text != "one" || vs["hsm.attest_key"].Text != "mine" ||
		vs["hsm.cosign_key"].Origin != "env MPC_HSM_SIGNER_KEY_ID" {
		t.Error(vs["hsm.cosign_key"], vs["hsm.attest_key"])
	}
}
