package host

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// sampleFor is what a setting without a default may look like.
var sampleFor = map[string]string{
	"api.tls.client_ca":  "/etc/mpcd/tls/clients-ca.crt",
	"api.clients":        "payouts spki-sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 role:requester vault:trading",
	"api.jwt.audience":   "treasury",
	"api.jwt.revoked":    "jti:t-4ot2",
	"api.oidc.issuer":    "https://login.example",
	"api.oidc.audience":  "treasury",
	"api.oidc.keys_host": "keys.example",
	"api.oidc.ca":        "/etc/mpcd/tls/login-ca.crt",
	eventKeyKey:          "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
	"events.webhooks":    "https://alerts.example/mpcd *.refuse freeze.* share.sign/large",
	"events.key":         "/etc/mpcd/events.key",
	"nats.advertise":     "node1.example:4248",
	"nats.url":           "tls://broker.example:4222",
	"nats.creds":         "/etc/mpcd/nats.creds",
	"hsm.recovery":       "age1…",
	"hsm.signer_key":     "arn:aws:kms:eu-central-1:111122223333:key/co-sign-key",
	"hsm.vault_uri":      "tpm:?pin-source=file:/etc/mpcd/tpm-pin",
	"hsm.plugin.user":    "mpcd-hsm",
	"hsm.plugin.env":     "VENDOR_*",
	"hsm.plugin.read":    "/etc/vendor",
	"hsm.plugin.write":   "/var/lib/vendor",
	"hsm.plugin.dir":     "/usr/lib/mpcd",
	"hsm.softhsm_conf":   "/etc/mpcd/softhsm2.conf",
	"password.key_id":    "/var/lib/mpcd/store.key",
	"password.sealed":    "file:/etc/mpcd/store.sealed",
	"password.uri":       "tpm:?pin-source=file:/etc/mpcd/tpm-pin",
	"consul_addr":        "127.0.0.1:8500",
}

// Sample is an mpcd.yaml with every setting, what it means, and the variables that give it too. Those in set have that value, lists with
// commas between; the others stand behind #, each in its place. It begins with the comment head.
func Sample(head string, set map[string]string) string {
	var b strings.Builder
	b.WriteString(head)
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
			if !sectionSet(set, strings.Join(sections[:i+1], ".")+".") {
				mark = "#"
			}
			fmt.Fprintf(&b, "%s%s%s:\n", strings.Repeat("  ", i), mark, sections[i])
		}
		open = sections
		indent := strings.Repeat("  ", len(sections))
		for _, line := range wrapped(explained(s), 130-len(indent)) {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
		text, given := set[s.Key]
		mark := ""
		if !given {
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
func sectionSet(set map[string]string, prefix string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(set)), func(key string) bool { return strings.HasPrefix(key, prefix) })
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
		if item != "" {
			items = append(items, strconv.Quote(item))
		}
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
