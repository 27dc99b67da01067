package host

import (
	"slices"
	"strings"
)

// Setting is one key of the configuration and every way to give it.
type Setting struct {
	Key     string   // in mpcd.yaml: "hsm.uri"
	Flag    string   // of `mpcd start` and the commands on a node; "" for none
	Env     []string // beside MPCD_<KEY>: the names of the seed documents
	Default string
	List    bool
	For     []string // keys that it gives a value to, where what gives it gives them none
	Help    string
}

// Settings is the whole configuration. It is the manual: `mpcd config show` prints it.
var Settings = []Setting{
	{Key: "cluster", Flag: "cluster", Help: "name of the cluster: a-z, 0-9, - and _"},
	{Key: "node_id", Flag: "node", Env: []string{"NODE_ID"}, Help: "name of this node, as the roster has it"},
	{Key: "data_dir", Flag: "data", Help: "directory of this node's vault, state and audit log"},
	{Key: "listen", Flag: "listen", Default: "127.0.0.1:8080", Help: "address of the HTTP API, host:port"},
	{Key: "threshold", Env: []string{"THRESHOLD"}, Default: "0", Help: "signers needed where a keygen request does not say; 0 is a majority"},
	{Key: "total_nodes", Env: []string{"TOTAL_NODES"}, Default: "0", Help: "nodes the cluster began with: a roster of fewer is refused"},

	{Key: "roster", Help: "file with the signed roster"},
	{Key: "roster_root", Flag: "roster-root",
		Help: "what the roster is trusted by: the operator's public key (0x…) or the roster's fingerprint (r_…)"},
	{Key: "authority",
		Help: "file with the signed chain that says who may ask for what; a node keeps the newest it has seen, also from others"},
	{Key: eventKeyKey, Flag: "event-initiator-pubkey", Env: []string{"EVENT_INITIATOR_PUBKEY"},
		Help: "as mpcium has it: an initiator's public key in hex, PKIX DER or 32 bytes; it authorises nobody, and is looked for in the " +
			"authority"},
	{Key: eventKeyType, Flag: "event-initiator-algorithm", Env: []string{"EVENT_INITIATOR_ALGORITHM"}, Default: "ed25519",
		Help: "of which algorithm that key is: ed25519 or p256"},
	{Key: "dev.initiator", Help: "in dev: key file of an initiator, as whom the node signs whatever it is asked for unsigned"},

	{Key: "api.tls.cert", Help: "certificate of the API, PEM; without it the API is plain HTTP, in dev on loopback only"},
	{Key: "api.tls.key", Help: "its key, PEM"},
	{Key: "api.tls.client_ca", Help: "certificates that clients' certificates must come from, PEM"},
	{Key: "api.clients", List: true,
		Help: "clients that are known by the key of their certificate, without a token: NAME spki-sha256:HEX role:ROLE vault:NAME"},
	{Key: "api.jwt.keys", List: true, Help: "files with public keys (PEM) that tokens are signed with"},
	{Key: "api.jwt.revoked", List: true,
		Help: "tokens that let nobody in any more: jti:ID, sub:NAME, before:TIME (issued before); SIGHUP has it read anew"},
	{Key: "api.jwt.audience", Help: "aud that tokens must carry; the cluster's name if empty"},
	{Key: "api.oidc.issuer", Help: "https:// URL of an OpenID provider whose tokens let in too, as their iss has it: its keys are fetched"},
	{Key: "api.oidc.audience", Help: "aud that its tokens must carry; api.jwt.audience if empty"},
	{Key: "api.oidc.roles_claim", Default: "roles", Help: "the claim of its tokens with the list of roles"},
	{Key: "api.oidc.keys_host", Help: "host of its keys, where it is another than the issuer's: keys.example or keys.example:8443"},
	{Key: "api.oidc.ca", Help: "CAs that its certificate comes from, PEM; the system's if empty"},

	{Key: "events.webhooks", List: true,
		Help: "who is told of entries of the audit log: URL PATTERN…, of events (*.refuse) or what a rule permits (share.sign/RULE)"},
	{Key: "events.key", Help: "key file (Ed25519, PEM) that what webhooks are told is signed with"},

	{Key: "nats.listen", Flag: "nats-listen", Help: "address for routes from the other nodes, host:port"},
	{Key: "nats.routes", Flag: "nats-routes", List: true, Help: "route addresses of the other nodes"},
	{Key: "nats.advertise", Help: "host:port by which the others reach nats.listen, behind NAT"},
	{Key: "nats.url", Flag: "nats-url", Env: []string{"NATS_URL"}, Help: "an existing broker instead of routes"},
	{Key: "nats.creds", Help: "credentials file for that broker"},
	{Key: "nats.tls.cert", Help: "certificate for routes, PEM"},
	{Key: "nats.tls.key", Help: "its key, PEM"},
	{Key: "nats.tls.ca", Help: "the cluster's CA, PEM"},

	{Key: "hsm.uri", Flag: "hsm-signer", Env: []string{"MPC_HSM_SIGNER", "MPC_HSM_URI"},
		Help: "the token: a URI, or aws, gcp, tpm, pkcs11, softhsm, local"},
	{Key: "hsm.signer_key", Flag: "hsm-signer-key-id", Env: []string{"MPC_HSM_SIGNER_KEY_ID"},
		For: []string{"hsm.cosign_key", "hsm.attest_key"}, Help: "one key in the token that cosigns and attests, instead of the next two"},
	{Key: "hsm.attest_key", Flag: "hsm-attest-key-id", Default: "attest", Help: "key in the token that attests shares"},
	{Key: "hsm.cosign_key", Flag: "hsm-cosign-key-id", Default: "cosign", Help: "key in the token that cosigns intents"},
	{Key: "hsm.vault_key", Default: "vault", Help: "key that wraps the vault's keys"},
	{Key: "hsm.vault_uri", Help: "the token that key is in; hsm.uri if empty"},
	{Key: "hsm.counter", Default: CounterAuto,
		Help: "what counts the vault's commits, so that an older copy is refused: auto (its token, if that counts), none, or the URI of a TPM"},
	{Key: "hsm.recovery", List: true, Help: "age recipients who can open the vault if its token is lost"},
	{Key: "hsm.plugin.network", Default: "false", Help: "true if the token's library speaks to a network HSM"},
	{Key: "hsm.plugin.user", Help: "user that the token's library runs as; this one if empty"},
	{Key: "hsm.plugin.env", List: true, Help: "variables for the token's library: NAME, NAME* or NAME=value"},
	{Key: "hsm.plugin.read", List: true, Help: "files and directories the token's library may read"},
	{Key: "hsm.plugin.write", List: true, Help: "files and directories it may write"},
	{Key: "hsm.plugin.dir", Help: "directory of drivers of others, mpcd-hsm-NAME, for plugin:NAME"},
	{Key: "hsm.softhsm_conf", Env: []string{"SOFTHSM2_CONF"}, Help: "configuration file of SoftHSM, where the token is one"},
	{Key: "hsm.sessions", Default: "0", Help: "parallel operations on the token; 0 is the driver's choice"},

	{Key: "password.provider", Flag: "hsm-provider", Env: []string{"MPC_HSM_PROVIDER"}, Default: "hsm",
		Help: "where the store's secret is: hsm (a file the token sealed), or a password from file, env, cred, aws, gcp, pkcs11, tpm"},
	{Key: "password.key_id", Flag: "hsm-key-id", Env: []string{"MPC_HSM_KEY_ID"},
		Help: "which: a path, or the name of a variable; hsm: <data_dir>/store.key if empty"},
	{Key: "password.sealed",
		Help: "aws, gcp, pkcs11, tpm: the sealed password, env:NAME or file:/path; env:ZAPDB_ENCRYPTED_PASSWORD if empty"},
	{Key: "password.uri", Help: "pkcs11, tpm: the token that opens it, hsm.uri if empty; aws, gcp: region and endpoint, as a URI"},
	{Key: "password.human", Default: "false", Help: "true if a human chose the password: then Argon2id is run on it"},
	{Key: "attest", Flag: "hsm-attest", Env: []string{"MPC_HSM_ATTEST"}, Default: "true",
		Help: "attest shares with the token; this build always does"},

	{Key: "limits.request", Default: "30s", Help: "how long a request may take"},
	{Key: "limits.silence", Default: "2s", Help: "how long a silent node is waited for by up to four; longer by more"},
	{Key: "limits.batch", Default: "64", Help: "most signatures of one ceremony, up to 512; ECDSA makes 24"},
	{Key: "limits.queue", Default: "4096", Help: "most requests waiting"},
	{Key: "limits.ceremonies", Default: "128", Help: "most ceremonies at once"},
	{Key: "limits.shares", Default: "512", Help: "most key shares kept open in memory"},
	{Key: "limits.presignatures", Default: "64", Help: "ECDSA presignatures kept ready in memory for a key in use; 0 for none"},

	{Key: "log.level", Flag: "log-level", Default: "info", Help: "debug, info, warn, error"},
	{Key: "log.format", Flag: "log-format", Default: "text", Help: "text or json"},

	{Key: "consul_addr", Env: []string{"CONSUL_ADDR"},
		Help: "accepted for older deployments; not used by this build, members stand in the roster"},
}

// Variable is the name of the environment variable of a key.
func (s Setting) Variable() string {
	return "MPCD_" + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// otherVariables begin with MPCD_ and belong to commands, not to the configuration.
var otherVariables = []string{"MPCD_CONFIG", "MPCD_API", "MPCD_TOKEN", "MPCD_CA", "MPCD_CERT", "MPCD_KEY", "MPCD_DEV", "MPCD_INITIATOR",
	"MPCD_INITIATOR_KEY", "MPCD_INITIATOR_PASSPHRASE"}

func findSetting(key string) (Setting, bool) {
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		return Setting{}, false
	}
	return Settings[i], true
}
