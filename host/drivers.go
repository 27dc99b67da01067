package host

import (
	"context"
	"io"
	"maps"
	"os/user"
	"slices"
	"strconv"
	"time"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/awskms"
	"github.com/luxfi/mpcd/hsm/gcpkms"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/softhsm"
)

// moduleDrivers load a library of somebody else. They run in the driver process alone.
var moduleDrivers = hsm.Drivers{
	"pkcs11":  pkcs11.Open,
	"softhsm": softhsm.Open,
}

// ownDrivers are all Go and run in this process.
var ownDrivers = hsm.Drivers{
	"awskms": awskms.Open,
	"gcpkms": gcpkms.Open,
	"tpm":    tpm.Open,
	"local":  local.Open,
}

// DriverNames are the schemes of URIs that this binary opens.
func DriverNames() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(moduleDrivers)), append(slices.Collect(maps.Keys(ownDrivers)),
		"plugin")...)))
}

// Openable is a kind of token that this binary opens, and a URI of one.
type Openable struct {
	Driver string `json:"driver"`
	URI    string `json:"uri"`
	What   string `json:"what"`
}

// Openables lists what this binary opens, for who has not configured any yet.
func Openables() []Openable {
	return []Openable{
		{"pkcs11", "pkcs11:token=LABEL?module-path=/path/of/library.so&pin-source=file:/path/of/pin", "a PKCS#11 library"},
		{"tpm", "tpm:", "a TPM 2.0 of this machine"},
		{"awskms", "awskms:region=REGION", "AWS KMS"},
		{"gcpkms", "gcpkms:projects/PROJECT/locations/LOCATION/keyRings/RING", "Google Cloud KMS"},
		{"plugin", "plugin:NAME", "a driver of others, mpcd-hsm-NAME in hsm.plugin.dir"},
		{"softhsm", "softhsm:", "SoftHSM, software for a pilot"},
		{"local", "local:", "plain files, in dev only"},
	}
}

// driverBackoff is the longest wait before a driver process that ended is started again: the node signs nothing meanwhile.
const driverBackoff = time.Second

// drivers are the security modules that a node can open: its own here, those that load libraries in a process of their own.
// A driver process has its socket below work, and conf for the configuration of SoftHSM. That is in its environment alone: in this process
// it would be taken for a setting when the configuration is read again.
func drivers(c Config, o Options, work, conf string) (hsm.Drivers, error) {
	p := plugin.Config{
		Command: []string{"/proc/self/exe", DriverCommand}, Env: c.HSM.Plugin.Env, Dir: work, Logger: o.Log,
		Limits:  plugin.Limits{BackoffMax: driverBackoff},
		Sandbox: plugin.Sandbox{Network: c.HSM.Plugin.Network, Read: c.HSM.Plugin.Read, Write: c.HSM.Plugin.Write},
	}
	if conf != "" {
		p.Env = append(slices.Clone(p.Env), "SOFTHSM2_CONF="+conf)
	}
	if name := c.HSM.Plugin.User; name != "" {
		var err error
		if p.UID, p.GID, err = lookupUser(name); err != nil {
			return nil, fault.Usage("correct hsm.plugin.user", "hsm.plugin.user: %w", err)
		}
	}
	out := maps.Clone(ownDrivers)
	modules := plugin.Driver(p)
	for scheme := range moduleDrivers {
		out[scheme] = modules
	}
	out["plugin"] = func(ctx context.Context, u *hsm.URI, o hsm.Options) (hsm.Token, error) {
		if c.HSM.Plugin.Dir == "" {
			return nil, fault.Usage("set hsm.plugin.dir to the directory of mpcd-hsm-"+u.Path,
				"hsm.plugin.dir is not set, so no driver %q can be found", u.Path)
		}
		return plugin.External(c.HSM.Plugin.Dir, p)(ctx, u, o)
	}
	maps.Copy(out, o.Drivers)
	return out, nil
}

func lookupUser(name string) (uid, gid uint32, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, 0, err
	}
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(id), uint32(group), err
}

// Sandbox is what fences in the process that a token's driver runs in; nil for a token that runs in ours.
func Sandbox(t hsm.Token) []string {
	if p, ok := t.(*plugin.Token); ok {
		return p.About().Sandbox
	}
	return nil
}

// lost is why a token whose driver process has ended cannot be opened again; nil for one that is open.
func lost(t hsm.Token) error {
	if p, ok := t.(*plugin.Token); ok {
		return p.Lost()
	}
	return nil
}

// Challenges make a challenge that only one token can answer, from the evidence it showed, by the format of the evidence, and return it
// with the answer. Tokens of other formats answer none.
var Challenges = map[string]func(random io.Reader, e hsm.KeyEvidence) (challenge, answer []byte, err error){hsm.EvidenceTPM: tpm.Challenge}
