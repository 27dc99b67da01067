package host

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

var rewrite = flag.Bool("rewrite", false, "write docs/mpcd.yaml anew")

const sampleFile = "../docs/mpcd.yaml"

const sampleHead = `# Every setting of a node, in the order of mpcd config show. Behind # stand settings that the sample leaves alone:
# their default, or what one without a default may look like. Flags win over variables, these over this file, and the file over the
# defaults. Relative paths, in URIs too, are relative to this file's directory, so that it may be moved. No secret belongs here, only the
# place of one. This file is made from the program and tested with it.
`

// sampleSet is what a node of the sample sets: three hosts with a PKCS#11 token each, routes between them, JWT at the API.
var sampleSet = map[string]string{
	"cluster":       "treasury",
	"node_id":       "node1",
	"data_dir":      "/var/lib/mpcd",
	"listen":        "10.0.0.1:8080",
	"threshold":     "2",
	"total_nodes":   "3",
	"roster":        "/etc/mpcd/roster.json",
	"roster_root":   "r_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"api.tls.cert":  "/etc/mpcd/tls/node.crt",
	"api.tls.key":   "/etc/mpcd/tls/node.key",
	"api.jwt.keys":  "/etc/mpcd/api-tokens.pub",
	"nats.listen":   "10.0.0.1:4248",
	"nats.routes":   "10.0.0.2:4248,10.0.0.3:4248",
	"nats.tls.cert": "/etc/mpcd/tls/node.crt",
	"nats.tls.key":  "/etc/mpcd/tls/node.key",
	"nats.tls.ca":   "/etc/mpcd/tls/ca.crt",
	"hsm.uri":       "pkcs11:token=mpcd?module-path=/usr/lib/vendor/libpkcs11.so&pin-source=file:/etc/mpcd/pin",
}

// Goal: the sample configuration is the program's: every setting, each with its explanation, nothing else. Method: docs/mpcd.yaml against
// what the table of settings makes; -rewrite writes it anew.
func TestSampleFile(t *testing.T) {
	want := Sample(sampleHead, sampleSet)
	if *rewrite {
		if err := os.WriteFile(sampleFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/mpcd.yaml is not what the settings make; run go test ./host -run TestSampleFile -rewrite and read the difference")
	}
	for _, m := range []map[string]string{sampleSet, sampleFor} {
		for key := range m {
			if _, ok := findSetting(key); !ok {
				t.Errorf("the sample knows a setting %s, the program does not", key)
			}
		}
	}
}

// Goal: the sample is a configuration that a node takes, and so is each line of it behind #. Method: read it strictly and parse it, as it
// stands and with every # before a setting taken away; then every key comes from the file.
func TestSampleIsRead(t *testing.T) {
	b, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	uncommented := regexp.MustCompile(`(?m)^( *)#([a-z_]+:)`).ReplaceAll(b, []byte("$1$2"))
	// No recipient stands in the sample, for it would be somebody's.
	uncommented = bytes.ReplaceAll(uncommented, []byte(sampleFor["hsm.recovery"]), []byte(newOfficer(t).recipient))
	for name, text := range map[string][]byte{"as it stands": b, "with every setting": uncommented} {
		vs := Defaults()
		if err := vs.YAML(sampleFile, text); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := Parse(vs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, key := range []string{"hsm.uri", "hsm.vault_uri", "password.uri"} {
			if text := vs[key].Text; text != "" {
				if _, err := hsm.ParseURI(text); err != nil {
					t.Errorf("%s: %s: %v", name, key, err)
				}
			}
		}
		for _, s := range Settings {
			_, set := sampleSet[s.Key]
			if fromFile := strings.HasPrefix(vs[s.Key].Origin, "file "); fromFile != (set || name == "with every setting") {
				t.Errorf("%s: %s comes from %s", name, s.Key, vs[s.Key].Origin)
			}
			if !set && s.Default != "" && vs[s.Key].Text != s.Default {
				t.Errorf("%s: %s is %q, not its default %q", name, s.Key, vs[s.Key].Text, s.Default)
			}
		}
	}
}
