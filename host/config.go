package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/host/fault"
)

// config is the parsed configuration of a node.
type config struct {
	Cluster string
	Node    transport.NodeID
	DataDir string // absolute
	Listen  string

	Threshold int
	Total     int

	Roster     string
	RosterRoot string

	API struct {
		Cert, Key, ClientCA string
		JWTKeys             []string
		Audience            string
	}
	NATS struct {
		Listen, Advertise, URL, Creds string
		Routes                        []string
		Cert, Key, CA                 string
	}
	HSM struct {
		URI                       string
		CosignKey, AttestKey, KEK string
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
	Dev       bool

	values  values
	unknown []string // variables that begin with MPCD_ and mean nothing
}

const defaultConfig = "/etc/mpcd/mpcd.yaml"

// nodeFlags are the flags of every command that works on a node's own configuration.
type nodeFlags struct {
	path string
	dev  bool
	set  *pflag.FlagSet
}

// register adds the flags, the settings' among them, to a command.
func (f *nodeFlags) register(cmd *cobra.Command) {
	f.set = cmd.Flags()
	f.set.StringVarP(&f.path, "config", "c", "", "configuration file (MPCD_CONFIG; "+defaultConfig+" if it is there)")
	f.set.BoolVar(&f.dev, "dev", false, "allow what guards nothing: a local token, plain HTTP on loopback")
	for _, s := range settings {
		if s.flag == "" {
			continue
		}
		short := ""
		if s.key == "node_id" {
			short = "n"
		}
		f.set.StringP(s.flag, short, "", s.help)
		if s.key == "attest" {
			f.set.Lookup(s.flag).NoOptDefVal = "true"
		}
	}
}

// values gathers the settings: flags over environment over file over defaults.
func (f *nodeFlags) values() (vs values, unknown []string, err error) {
	vs = defaults()
	path, asked := f.path, true
	if path == "" {
		path = os.Getenv("MPCD_CONFIG")
	}
	if path == "" {
		path, asked = defaultConfig, false
	}
	if _, err := os.Stat(path); asked || err == nil {
		if err := vs.file(path); err != nil {
			return nil, nil, err
		}
	}
	unknown = vs.environment()
	for _, s := range settings {
		if s.flag == "" {
			continue
		}
		if fl := f.set.Lookup(s.flag); fl != nil && fl.Changed {
			vs.set(s, fl.Value.String(), "flag --"+s.flag)
		}
	}
	return vs, unknown, nil
}

// load gathers and parses. Who loads a node's configuration may open its secrets, so the process is hardened.
func (f *nodeFlags) load() (*config, error) {
	if err := harden(); err != nil {
		return nil, fault.Doing("harden the process", err)
	}
	vs, unknown, err := f.values()
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(vs)
	if err != nil {
		return nil, err
	}
	c.unknown = unknown
	c.Dev = f.dev || os.Getenv("MPCD_DEV") == "1"
	return c, nil
}

// parser turns values into types and keeps the first mistake.
type parser struct {
	values values
	err    error
}

func (p *parser) wrong(key, do, format string, a ...any) {
	if p.err == nil {
		p.err = fault.Usage(do, "%s (%s): %s", key, p.values[key].origin, fmt.Sprintf(format, a...))
	}
}

func (p *parser) text(key string) string { return p.values[key].text }

// name is a word that goes into file names, subjects and certificates.
func (p *parser) name(key string) string {
	v := p.text(key)
	switch {
	case v == "":
		p.wrong(key, "set it in mpcd.yaml, or by the variable or flag that `mpcd config show` names", "not set")
	case transport.CheckName(key, v) != nil:
		p.wrong(key, "use 1 to 63 of a-z, 0-9, - and _", "%q is no name", v)
	}
	return v
}

func (p *parser) path(key string, required bool) string {
	v := p.text(key)
	if v == "" {
		if required {
			p.wrong(key, "set it in mpcd.yaml, or by the variable or flag that `mpcd config show` names", "not set")
		}
		return ""
	}
	abs, err := filepath.Abs(v)
	if err != nil {
		p.wrong(key, "write the full path", "%v", err)
	}
	return abs
}

func (p *parser) number(key string, least, most int) int {
	n, err := strconv.Atoi(p.text(key))
	if err != nil || n < least || n > most {
		p.wrong(key, fmt.Sprintf("use a number from %d to %d", least, most), "%q is not", p.text(key))
	}
	return n
}

func (p *parser) truth(key string) bool {
	switch p.text(key) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
	default:
		p.wrong(key, "use true or false", "%q is neither", p.text(key))
	}
	return false
}

func (p *parser) duration(key string) time.Duration {
	d, err := time.ParseDuration(p.text(key))
	if err != nil || d < 50*time.Millisecond || d > time.Hour {
		p.wrong(key, "use a duration from 50ms to 1h", "%q is not", p.text(key))
	}
	return d
}

func (p *parser) address(key string) string {
	v := p.text(key)
	if v == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(v)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 && port != "0" {
		p.wrong(key, "write host:port", "%q is no address", v)
	}
	return v
}

func (p *parser) oneOf(key string, words ...string) string {
	for _, w := range words {
		if p.text(key) == w {
			return w
		}
	}
	p.wrong(key, fmt.Sprintf("use one of %v", words), "%q is unknown", p.text(key))
	return ""
}

func parseConfig(vs values) (*config, error) {
	p := &parser{values: vs}
	c := &config{values: vs}
	c.Cluster = p.name("cluster")
	c.Node = transport.NodeID(p.name("node_id"))
	c.DataDir = p.path("data_dir", true)
	c.Listen = p.address("listen")
	c.Threshold = p.number("threshold", 0, 256)
	c.Total = p.number("total_nodes", 0, 256)
	c.Roster = p.path("roster", false)
	c.RosterRoot = p.text("roster_root")

	c.API.Cert, c.API.Key = p.path("api.tls.cert", false), p.path("api.tls.key", false)
	c.API.ClientCA = p.path("api.tls.client_ca", false)
	c.API.JWTKeys, c.API.Audience = vs["api.jwt.keys"].list, p.text("api.jwt.audience")
	if c.API.Audience == "" {
		c.API.Audience = c.Cluster
	}
	if (c.API.Cert == "") != (c.API.Key == "") {
		p.wrong("api.tls.cert", "set api.tls.cert and api.tls.key", "one of the two is missing")
	}

	c.NATS.Listen, c.NATS.Advertise = p.address("nats.listen"), p.address("nats.advertise")
	c.NATS.Routes, c.NATS.URL, c.NATS.Creds = vs["nats.routes"].list, p.text("nats.url"), p.path("nats.creds", false)
	c.NATS.Cert, c.NATS.Key, c.NATS.CA = p.path("nats.tls.cert", false), p.path("nats.tls.key", false), p.path("nats.tls.ca", false)
	if c.NATS.URL != "" { // an existing broker takes the place of routes
		c.NATS.Listen, c.NATS.Routes, c.NATS.Advertise = "", nil, ""
	}

	c.HSM.URI, c.HSM.SoftHSMConf = p.text("hsm.uri"), p.path("hsm.softhsm_conf", false)
	c.HSM.CosignKey, c.HSM.AttestKey, c.HSM.KEK = p.text("hsm.cosign_key"), p.text("hsm.attest_key"), p.text("hsm.vault_key")
	c.HSM.Sessions = p.number("hsm.sessions", 0, 256)
	c.HSM.VaultURI, c.HSM.Counter, c.HSM.Recovery = p.text("hsm.vault_uri"), p.text("hsm.counter"), p.values["hsm.recovery"].list
	c.HSM.Plugin.Dir, c.HSM.Plugin.User, c.HSM.Plugin.Network = p.path("hsm.plugin.dir", false), p.text("hsm.plugin.user"), p.truth("hsm.plugin.network")
	c.HSM.Plugin.Env, c.HSM.Plugin.Read, c.HSM.Plugin.Write = p.values["hsm.plugin.env"].list, p.values["hsm.plugin.read"].list, p.values["hsm.plugin.write"].list
	if c.HSM.URI == "" {
		p.wrong("hsm.uri", "set it, for example pkcs11:token=mpcd?module-path=/usr/lib/…&pin-source=file:/etc/mpcd/pin", "not set: every node has a token")
	}
	c.Password.Provider = p.oneOf("password.provider", "hsm", "file", "env", "cred", "aws", "gcp", "pkcs11", "tpm")
	c.Password.Sealed, c.Password.URI = p.text("password.sealed"), p.text("password.uri")
	c.Password.KeyID, c.Password.Human = p.text("password.key_id"), p.truth("password.human")
	if c.Password.Provider != "hsm" && c.Password.KeyID == "" {
		p.wrong("password.key_id", "name the file, or the variable", "not set, and password.provider is %s", c.Password.Provider)
	}
	if !p.truth("attest") {
		p.wrong("attest", "remove it, or set it to true", "this build attests every share; peers refuse a share without")
	}

	c.Limits = appliance.Limits{
		Request: p.duration("limits.request"), Silence: p.duration("limits.silence"), Batch: p.number("limits.batch", 1, 1024),
		Queue: p.number("limits.queue", 1, 1<<20), Ceremonies: p.number("limits.ceremonies", 1, 1<<16), Shares: p.number("limits.shares", 1, 1<<20),
		Presignatures: p.number("limits.presignatures", 0, 4096),
	}
	if c.Limits.Presignatures == 0 {
		c.Limits.Presignatures = -1 // the node's word for none
	}
	c.LogLevel = p.oneOf("log.level", "debug", "info", "warn", "error")
	c.LogFormat = p.oneOf("log.format", "text", "json")
	return c, p.err
}

// The places in a node's data directory.
func (c *config) storeDir() string  { return filepath.Join(c.DataDir, "store") }
func (c *config) auditPath() string { return filepath.Join(c.DataDir, "audit.log") }
func (c *config) storeKeyPath() string {
	if c.Password.KeyID != "" {
		return c.Password.KeyID
	}
	return filepath.Join(c.DataDir, "store.key")
}
