package host

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
)

// Config is the configuration of a node, parsed. It is a value: nothing in it is open, and a copy is another configuration.
type Config struct {
	Cluster string
	Node    transport.NodeID
	DataDir string // absolute
	Listen  string

	Threshold int
	Total     int

	Roster     string
	RosterRoot string
	Authority  string // file with the chain of authorities; "" for none
	Initiator  string // dev: key file of who signs what the node is asked for; "" for none
	// EventInitiator is the key that event_initiator_pubkey names; nil for none.
	EventInitiator attest.Hex

	API struct {
		Cert, Key, ClientCA string
		JWTKeys             []string
		Audience            string
		Revoked             *api.Revoked
		Clients             api.Clients
		Issuer              api.IssuerConfig // its URL is "" where there is none
		IssuerCA            string
	}
	Events struct {
		Hooks []api.Hook
		Key   string // file; "" where there are no hooks
	}
	NATS struct {
		Listen, Advertise, URL, Creds string
		Routes                        []string
		Cert, Key, CA                 string
	}
	HSM struct {
		URI                       string
		CosignKey, AttestKey, KEK string
		SignerKey                 string // that CosignKey and AttestKey were to be, unless one is named by itself
		VaultURI, Counter         string
		Recovery                  []string
		SoftHSMConf               string
		Sessions                  int
		Plugin                    struct {
			Dir, User        string
			Network          bool
			Env, Read, Write []string
		}
	}
	Password struct {
		Provider, KeyID, Sealed, URI string
		Human                        bool
	}
	Limits    appliance.Limits
	LogLevel  string
	LogFormat string
	Dev       bool // allow what guards nothing

	File    string            // that it was read from; "" for none
	Above   map[string]string // what a variable or a flag gives, above the file, by setting: "env MPCD_LISTEN"
	Consul  string            // where consul_addr is set, which has no effect; "" where it is not
	Unknown []string          // variables that begin with MPCD_ and mean nothing

	values Values // that all this was made of
}

// Parse makes a configuration of values. The error is the first mistake, with its key and where that was set.
func Parse(vs Values) (Config, error) {
	return parse(&parser{values: vs})
}

// CheckGiven is the first mistake among the values that somebody gave; what is missing is none.
func CheckGiven(vs Values) error {
	_, err := parse(&parser{values: vs, given: true})
	return err
}

// InFull are the values with every path in full, so that they mean the same in a file that lies elsewhere. What is wrong stays as it is.
func (vs Values) InFull() Values {
	p := &parser{values: vs, full: maps.Clone(vs)}
	_, _ = parse(p)
	return p.full
}

func parse(p *parser) (Config, error) {
	vs := p.values
	c := Config{File: vs.file(), Above: vs.above(), values: maps.Clone(vs)}
	p.node(&c)
	p.eventInitiator(&c)
	p.api(&c)
	p.events(&c)
	p.nats(&c)
	p.hsm(&c)
	p.password(&c)
	p.limits(&c)
	c.LogLevel = p.oneOf("log.level", "debug", "info", "warn", "error")
	c.LogFormat = p.oneOf("log.format", "text", "json")
	if consul := vs["consul_addr"]; consul.Text != "" {
		c.Consul = consul.Origin
	}
	if p.err == nil && !p.given && p.missing != nil {
		p.err = notSet(cmp.Or(c.File, noFile), append(p.missing, c.missing()...))
		if !slices.ContainsFunc(slices.Collect(maps.Values(vs)), func(v Value) bool { return v.Origin != "default" }) {
			p.err = fault.Usage("name the node's file by --config or MPCD_CONFIG; `mpcd init` or `mpcd node enroll --new DIR` makes a node",
				"%w: no file is named, and there is no %s", ErrNoConfiguration, DefaultFile)
		}
	}
	return c, p.err
}

// missing is what a node cannot start without, beside what Parse wants for every command, and is not set.
func (c Config) missing() []string {
	var out []string
	for _, x := range []struct {
		value, key string
		needed     bool
	}{
		{c.Roster, "roster", true}, {c.RosterRoot, "roster_root", true},
		{c.API.Cert, "api.tls.cert", !c.Dev}, {c.API.Key, "api.tls.key", !c.Dev},
		{strings.Join(c.API.JWTKeys, "") + c.API.Issuer.URL, "api.jwt.keys", !c.Dev},
		{c.NATS.Cert, "nats.tls.cert", c.NATS.Listen != ""}, {c.NATS.Key, "nats.tls.key", c.NATS.Listen != ""},
		{c.NATS.CA, "nats.tls.ca", c.NATS.Listen != ""},
	} {
		if x.needed && x.value == "" {
			out = append(out, x.key)
		}
	}
	return out
}

// notSet is the fault of a configuration that lacks keys, all of them at once.
func notSet(where string, keys []string) error {
	return fault.Usage("set them: `mpcd node enroll --new DIR` writes an mpcd.yaml of a node, `mpcd init` those of a cluster, and "+
		"`mpcd config show --explain` tells what each key means, and its variable", "%s; not set: %s", where, strings.Join(keys, ", "))
}

// node reads who the node is and where its things are.
func (p *parser) node(c *Config) {
	c.Cluster = p.name("cluster")
	c.Node = transport.NodeID(p.name("node_id"))
	c.DataDir = p.path("data_dir", true)
	c.Listen = p.address("listen")
	c.Threshold = p.number("threshold", 0, 256)
	c.Total = p.number("total_nodes", 0, 256)
	c.Roster = p.path("roster", false)
	c.RosterRoot = p.text("roster_root")
	c.Authority, c.Initiator = p.path("authority", false), p.path("dev.initiator", false)
}

func (p *parser) api(c *Config) {
	c.API.Cert, c.API.Key = p.path("api.tls.cert", false), p.path("api.tls.key", false)
	c.API.ClientCA = p.path("api.tls.client_ca", false)
	c.API.JWTKeys, c.API.Audience = p.paths("api.jwt.keys"), p.text("api.jwt.audience")
	if c.API.Audience == "" {
		c.API.Audience = c.Cluster
	}
	var err error
	if c.API.Revoked, err = api.ParseRevoked(p.values["api.jwt.revoked"].List); err != nil {
		p.wrong("api.jwt.revoked", "use jti:ID, sub:NAME or before:TIME", "%v", err)
	}
	p.issuer(c)
	if c.API.Clients, err = api.ParseClients(p.values["api.clients"].List); err != nil {
		p.wrong("api.clients", "write NAME spki-sha256:HEX role:ROLE, and vault:NAME to bound it", "%v", err)
	}
	if (c.API.Cert == "") != (c.API.Key == "") {
		p.wrong("api.tls.cert", "set api.tls.cert and api.tls.key", "one of the two is missing")
	}
}

func (p *parser) events(c *Config) {
	var err error
	if c.Events.Hooks, err = api.ParseHooks(p.values["events.webhooks"].List); err != nil {
		p.wrong("events.webhooks", "write https://HOST/PATH, and after it which events: *.refuse, freeze.*, share.sign/RULE", "%v", err)
	}
	c.Events.Key = p.path("events.key", false)
	if (c.Events.Key == "") != (len(c.Events.Hooks) == 0) {
		p.wrong("events.key", "set events.webhooks and events.key", "one of the two is missing")
	}
}

func (p *parser) issuer(c *Config) {
	i := &c.API.Issuer
	i.URL, i.KeysHost, i.RolesClaim = p.text("api.oidc.issuer"), p.text("api.oidc.keys_host"), p.text("api.oidc.roles_claim")
	i.Audience, c.API.IssuerCA = cmp.Or(p.text("api.oidc.audience"), c.API.Audience), p.path("api.oidc.ca", false)
	if i.URL == "" {
		return
	}
	if err := api.CheckIssuer(i.URL, i.KeysHost); err != nil {
		p.wrong("api.oidc.issuer", "write it as the provider's documentation has it, https://…", "%v", err)
	}
}

func (p *parser) nats(c *Config) {
	c.NATS.Listen, c.NATS.Advertise = p.address("nats.listen"), p.address("nats.advertise")
	c.NATS.Routes, c.NATS.URL, c.NATS.Creds = p.routes("nats.routes"), p.text("nats.url"), p.path("nats.creds", false)
	c.NATS.Cert, c.NATS.Key, c.NATS.CA = p.path("nats.tls.cert", false), p.path("nats.tls.key", false), p.path("nats.tls.ca", false)
	if c.NATS.URL != "" { // an existing broker takes the place of routes
		c.NATS.Listen, c.NATS.Routes, c.NATS.Advertise = "", nil, ""
	}
}

func (p *parser) hsm(c *Config) {
	c.HSM.URI, c.HSM.SoftHSMConf = p.uri("hsm.uri"), p.path("hsm.softhsm_conf", false)
	c.HSM.CosignKey, c.HSM.AttestKey, c.HSM.KEK = p.text("hsm.cosign_key"), p.text("hsm.attest_key"), p.text("hsm.vault_key")
	c.HSM.SignerKey = p.text("hsm.signer_key")
	c.HSM.Sessions = p.number("hsm.sessions", 0, 256)
	c.HSM.VaultURI, c.HSM.Counter, c.HSM.Recovery = p.uri("hsm.vault_uri"), p.uri("hsm.counter"), p.values["hsm.recovery"].List
	if err := vault.CheckRecipients(c.HSM.Recovery); err != nil {
		p.wrong("hsm.recovery", "write public keys age1… or age1pq1…, all of one kind", "%v", err)
	}
	c.HSM.Plugin.Dir, c.HSM.Plugin.User, c.HSM.Plugin.Network = p.path("hsm.plugin.dir", false), p.text("hsm.plugin.user"),
		p.truth("hsm.plugin.network")
	c.HSM.Plugin.Env, c.HSM.Plugin.Read, c.HSM.Plugin.Write = p.values["hsm.plugin.env"].List, p.paths("hsm.plugin.read"),
		p.paths("hsm.plugin.write")
	if c.HSM.URI == "" {
		p.missing = append(p.missing, "hsm.uri")
	}
}

func (p *parser) password(c *Config) {
	c.Password.Provider = p.oneOf("password.provider", "hsm", "file", "env", "cred", "aws", "gcp", "pkcs11", "tpm")
	c.Password.Sealed, c.Password.URI = p.source("password.sealed", p.text("password.sealed")), p.uri("password.uri")
	p.inFull("password.sealed", c.Password.Sealed, nil)
	c.Password.KeyID, c.Password.Human = p.text("password.key_id"), p.truth("password.human")
	if c.Password.Provider == "hsm" || c.Password.Provider == "file" {
		c.Password.KeyID = p.path("password.key_id", false)
	}
	if c.Password.Provider != "hsm" && c.Password.KeyID == "" {
		p.wrong("password.key_id", "name the file, or the variable", "not set, and password.provider is %s", c.Password.Provider)
	}
	if !p.truth("attest") {
		p.wrong("attest", "remove it, or set it to true", "this build attests every share; peers refuse a share without")
	}
}

// batchMost is the largest batch that a scheme of this build signs in one ceremony.
func batchMost() int {
	most := 0
	for _, s := range schemes.All() {
		most = max(most, s.MaxBatch())
	}
	return most
}

func (p *parser) limits(c *Config) {
	c.Limits = appliance.Limits{
		Request: p.duration("limits.request"), Silence: p.duration("limits.silence"), Batch: p.number("limits.batch", 1, batchMost()),
		Queue: p.number("limits.queue", 1, 1<<20), Ceremonies: p.number("limits.ceremonies", 1, 1<<16),
		Shares:        p.number("limits.shares", 1, 1<<20),
		Presignatures: p.number("limits.presignatures", 0, 4096),
	}
	if c.Limits.Presignatures == 0 {
		c.Limits.Presignatures = -1 // the node's word for none
	}
}

// TokenOnly is the configuration of a token alone, with the names that a node's keys have by default.
func TokenOnly(uri string) Config {
	var c Config
	c.HSM.URI, c.HSM.CosignKey, c.HSM.AttestKey, c.HSM.KEK, c.HSM.Counter = uri, RoleCosign, RoleAttest, RoleVault, CounterAuto
	return c
}
