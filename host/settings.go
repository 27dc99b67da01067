package main

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
)

// setting is one key of the configuration and every way to give it.
type setting struct {
	key  string   // in mpcd.yaml: "hsm.uri"
	flag string   // of `mpcd start` and the commands on a node; "" for none
	env  []string // beside MPCD_<KEY>: the names of the seed documents
	def  string
	list bool
	help string
}

// settings is the whole configuration. It is the manual: `mpcd config show` prints it.
var settings = []setting{
	{key: "cluster", help: "name of the cluster: a-z, 0-9, - and _"},
	{key: "node_id", flag: "node", env: []string{"NODE_ID"}, help: "name of this node, as the roster has it"},
	{key: "data_dir", flag: "data", help: "directory of this node's vault, state and audit log"},
	{key: "listen", flag: "listen", def: "127.0.0.1:8080", help: "address of the HTTP API, host:port"},
	{key: "threshold", env: []string{"THRESHOLD"}, def: "0", help: "signers needed where a keygen request does not say; 0 is a majority"},
	{key: "total_nodes", env: []string{"TOTAL_NODES"}, def: "0", help: "number of nodes, checked against the roster; 0 checks nothing"},

	{key: "roster", help: "file with the signed roster"},
	{key: "roster_root", help: "what the roster is trusted by: the operator's public key (0x…) or the roster's fingerprint (r_…)"},

	{key: "api.tls.cert", help: "certificate of the API, PEM; without it the API is plain HTTP, in dev on loopback only"},
	{key: "api.tls.key", help: "its key, PEM"},
	{key: "api.tls.client_ca", help: "certificates that clients' certificates must come from, PEM"},
	{key: "api.jwt.keys", list: true, help: "files with public keys (PEM) that tokens are signed with"},
	{key: "api.jwt.audience", help: "aud that tokens must carry; the cluster's name if empty"},

	{key: "nats.listen", flag: "nats-listen", help: "address for routes from the other nodes, host:port"},
	{key: "nats.routes", flag: "nats-routes", list: true, help: "route addresses of the other nodes"},
	{key: "nats.advertise", help: "host:port by which the others reach nats.listen, behind NAT"},
	{key: "nats.url", flag: "nats-url", env: []string{"NATS_URL"}, help: "an existing broker instead of routes"},
	{key: "nats.creds", help: "credentials file for that broker"},
	{key: "nats.tls.cert", help: "certificate for routes, PEM"},
	{key: "nats.tls.key", help: "its key, PEM"},
	{key: "nats.tls.ca", help: "the cluster's CA, PEM"},

	{key: "hsm.uri", flag: "hsm-signer", env: []string{"MPC_HSM_SIGNER", "MPC_HSM_URI"}, help: "the token: a URI, or aws, gcp, tpm, pkcs11, softhsm, local"},
	{key: "hsm.attest_key", flag: "hsm-signer-key-id", env: []string{"MPC_HSM_SIGNER_KEY_ID"}, def: "attest", help: "key in the token that attests shares"},
	{key: "hsm.cosign_key", def: "cosign", help: "key in the token that cosigns intents"},
	{key: "hsm.vault_key", def: "vault", help: "key that wraps the vault's keys"},
	{key: "hsm.vault_uri", help: "the token that key is in; hsm.uri if empty"},
	{key: "hsm.counter", def: counterAuto, help: "what counts the vault's generations, so that an older copy is refused: auto (its token, if that counts), none, or the URI of a TPM"},
	{key: "hsm.recovery", list: true, help: "age recipients who can open the vault if its token is lost"},
	{key: "hsm.plugin.network", def: "false", help: "true if the token's library speaks to a network HSM"},
	{key: "hsm.plugin.user", help: "user that the token's library runs as; this one if empty"},
	{key: "hsm.plugin.env", list: true, help: "variables for the token's library: NAME, NAME* or NAME=value"},
	{key: "hsm.plugin.read", list: true, help: "files and directories the token's library may read"},
	{key: "hsm.plugin.write", list: true, help: "files and directories it may write"},
	{key: "hsm.plugin.dir", help: "directory of drivers of others, mpcd-hsm-NAME, for plugin:NAME"},
	{key: "hsm.softhsm_conf", env: []string{"SOFTHSM2_CONF"}, help: "configuration file of SoftHSM, where the token is one"},
	{key: "hsm.sessions", def: "0", help: "parallel operations on the token; 0 is the driver's choice"},

	{key: "password.provider", flag: "hsm-provider", env: []string{"MPC_HSM_PROVIDER"}, def: "hsm", help: "where the store's secret is: hsm (a file the token sealed), or a password from file, env, cred, aws, gcp, pkcs11, tpm"},
	{key: "password.key_id", flag: "hsm-key-id", env: []string{"MPC_HSM_KEY_ID"}, help: "which: a path, or the name of a variable; hsm: <data_dir>/store.key if empty"},
	{key: "password.sealed", help: "aws, gcp, pkcs11, tpm: the sealed password, env:NAME or file:/path; env:ZAPDB_ENCRYPTED_PASSWORD if empty"},
	{key: "password.uri", help: "pkcs11, tpm: the token that opens it, hsm.uri if empty; aws, gcp: region and endpoint, as a URI"},
	{key: "password.human", def: "false", help: "true if a human chose the password: then Argon2id is run on it"},
	{key: "attest", flag: "hsm-attest", env: []string{"MPC_HSM_ATTEST"}, def: "true", help: "attest shares with the token; this build always does"},

	{key: "limits.request", def: "30s", help: "how long a request may take"},
	{key: "limits.silence", def: "2s", help: "how long a silent node is waited for"},
	{key: "limits.batch", def: "64", help: "most signatures of one ceremony"},
	{key: "limits.queue", def: "4096", help: "most requests waiting"},
	{key: "limits.ceremonies", def: "128", help: "most ceremonies at once"},
	{key: "limits.shares", def: "512", help: "most key shares kept open in memory"},
	{key: "limits.presignatures", def: "64", help: "ECDSA presignatures kept ready in memory for a key in use; 0 for none"},

	{key: "log.level", flag: "log-level", def: "info", help: "debug, info, warn, error"},
	{key: "log.format", flag: "log-format", def: "text", help: "text or json"},

	{key: "consul_addr", env: []string{"CONSUL_ADDR"}, help: "accepted for older deployments; not used by this build, members stand in the roster"},
}

// variable is the name of the environment variable of a key.
func (s setting) variable() string {
	return "MPCD_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// otherVariables begin with MPCD_ and belong to commands, not to the configuration.
var otherVariables = []string{"MPCD_CONFIG", "MPCD_API", "MPCD_TOKEN", "MPCD_CA", "MPCD_CERT", "MPCD_KEY", "MPCD_DEV"}

func findSetting(key string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// value is what a key is set to, and by what.
type value struct {
	text   string
	list   []string
	origin string // "default", "file /etc/mpcd/mpcd.yaml:12", "env MPCD_LISTEN", "flag --listen"
}

func (v value) String() string {
	if v.list != nil {
		return strings.Join(v.list, ",")
	}
	return v.text
}

// values are all settings by key.
type values map[string]value

func defaults() values {
	vs := values{}
	for _, s := range settings {
		v := value{text: s.def, origin: "default"}
		if s.list {
			v.list = []string{}
		}
		vs[s.key] = v
	}
	return vs
}

// set gives a key a value from text; lists are separated by commas.
func (vs values) set(s setting, text, origin string) {
	v := value{text: text, origin: origin}
	if s.list {
		v.text, v.list = "", []string{}
		for _, item := range strings.Split(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				v.list = append(v.list, item)
			}
		}
	}
	vs[s.key] = v
}

// environment reads the variables. Those that begin with MPCD_ and mean nothing are returned, for a warning: they are likely
// misspelt, but a container platform may have put them there.
func (vs values) environment() (unknown []string) {
	known := map[string]bool{}
	for _, name := range otherVariables {
		known[name] = true
	}
	for _, s := range settings {
		for _, name := range append([]string{s.variable()}, s.env...) {
			known[name] = true
		}
		for i := len(s.env) - 1; i >= -1; i-- { // MPCD_… last: it wins
			name := s.variable()
			if i >= 0 {
				name = s.env[i]
			}
			if text, ok := os.LookupEnv(name); ok && text != "" {
				vs.set(s, text, "env "+name)
			}
		}
	}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "MPCD_") && !known[name] {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	return unknown
}

// nearest is the known word that differs least, for "did you mean"; "" if none is near.
func nearest(word string, known []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is Levenshtein's: single-character edits between two words.
func distance(a, b string) int {
	line := make([]int, len(b)+1)
	for j := range line {
		line[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := line[0]
		line[0] = i
		for j := 1; j <= len(b); j++ {
			d := diagonal
			if a[i-1] != b[j-1] {
				d = 1 + min(diagonal, line[j], line[j-1])
			}
			diagonal, line[j] = line[j], d
		}
	}
	return line[len(b)]
}

func keyNames() []string {
	out := make([]string, len(settings))
	for i, s := range settings {
		out[i] = s.key
	}
	return out
}

// didYouMean ends an error about an unknown key.
func didYouMean(key string) string {
	if n := nearest(key, keyNames()); n != "" {
		return fmt.Sprintf("did you mean %s? `mpcd config show` lists every key", n)
	}
	return "`mpcd config show` lists every key"
}
