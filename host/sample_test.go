package host

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

var rewrite = flag.Bool("rewrite", false, "write docs/mpcd.yaml anew")

const sampleFile = "../docs/mpcd.yaml"

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

// sampleFor is what a setting without a default may look like.
var sampleFor = map[string]string{
	"api.tls.client_ca": "/etc/mpcd/tls/clients-ca.crt",
	"api.jwt.audience":  "treasury",
	"nats.advertise":    "node1.example:4248",
	"nats.url":          "tls://broker.example:4222",
	"nats.creds":        "/etc/mpcd/nats.creds",
	"hsm.recovery":      "age1…",
	"hsm.signer_key":    "arn:aws:kms:eu-central-1:111122223333:key/co-sign-key",
	"hsm.vault_uri":     "tpm:?pin-source=file:/etc/mpcd/tpm-pin",
	"hsm.plugin.user":   "mpcd-hsm",
	"hsm.plugin.env":    "VENDOR_*",
	"hsm.plugin.read":   "/etc/vendor",
	"hsm.plugin.write":  "/var/lib/vendor",
	"hsm.plugin.dir":    "/usr/lib/mpcd",
	"hsm.softhsm_conf":  "/etc/mpcd/softhsm2.conf",
	"password.key_id":   "/var/lib/mpcd/store.key",
	"password.sealed":   "file:/etc/mpcd/store.sealed",
	"password.uri":      "tpm:?pin-source=file:/etc/mpcd/tpm-pin",
	"consul_addr":       "127.0.0.1:8500",
}

// sample is docs/mpcd.yaml, made from the settings: each with what it means, the variables that give it too, and a value. What the
// sample leaves as it is stands behind #, in the same place.
func sample() string {
	var b strings.Builder
	b.WriteString("# Every setting of a node, in the order of `mpcd config show`. " +
		"Behind # stand settings that the sample leaves alone: their default,\n" +
		"# or what one without a default may look like. Flags win over variables, these over this file, and the file over the defaults.\n" +
		"# Relative paths, in URIs too, are relative to this file's directory, so that it may be moved. " +
		"No secret belongs here, only the place\n" +
		"# of one. This file is made from the program and tested with it.\n")
	var open []string // the sections we are in
	for _, s := range Settings {
		path := strings.Split(s.Key, ".")
		sections := path[:len(path)-1]
		shared := 0
		for shared < min(len(open), len(sections)) && open[shared] == sections[shared] {
			shared++
		}
		if len(path) == 1 || shared == 0 {
			b.WriteByte('\n')
		}
		for i := shared; i < len(sections); i++ {
			mark := ""
			if !sectionSet(strings.Join(sections[:i+1], ".") + ".") {
				mark = "#"
			}
			fmt.Fprintf(&b, "%s%s%s:\n", strings.Repeat("  ", i), mark, sections[i])
		}
		open = sections
		indent := strings.Repeat("  ", len(sections))
		for _, line := range wrapped(explained(s), 130-len(indent)) {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
		text, set := sampleSet[s.Key]
		mark := ""
		if !set {
			mark, text = "#", s.Default
			if text == "" {
				text = sampleFor[s.Key]
			}
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", indent, mark, path[len(path)-1], yamlValue(s, text))
	}
	return b.String()
}

// explained is the help of a setting and its other names.
func explained(s Setting) string {
	names := append([]string{s.Variable()}, s.Env...)
	if s.Flag != "" {
		names = append(names, "--"+s.Flag)
	}
	return s.Help + " (" + strings.Join(names, ", ") + ")"
}

// sectionSet tells whether the sample sets anything in a section.
func sectionSet(prefix string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(sampleSet)), func(key string) bool { return strings.HasPrefix(key, prefix) })
}

func yamlValue(s Setting, text string) string {
	if !s.List {
		if _, err := strconv.Atoi(text); err == nil || text == "true" || text == "false" {
			return text
		}
		return strconv.Quote(text)
	}
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		items = append(items, strconv.Quote(item))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// wrapped breaks a text into lines of at most n characters.
func wrapped(text string, n int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= n {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// Goal: the sample configuration is the program's: every setting, each with its explanation, nothing else. Method: docs/mpcd.yaml against
// what the table of settings makes; -rewrite writes it anew.
func TestSampleFile(t *testing.T) {
	want := sample()
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
