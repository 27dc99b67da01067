package main

import (
	"context"
	"fmt"
	"log/slog"
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

// driverNames are all schemes this binary opens.
func driverNames() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(moduleDrivers)), append(slices.Collect(maps.Keys(ownDrivers)), "plugin")...)))
}

// driverBackoff is the longest wait before a driver process that ended is started again: the node signs nothing meanwhile.
const driverBackoff = time.Second

// drivers are the security modules this binary can open: its own here, those that load libraries in a process of their own.
func (c *config) drivers(log *slog.Logger) (hsm.Drivers, error) {
	p := plugin.Config{
		Command: []string{"/proc/self/exe", driverCommand}, Env: c.HSM.Plugin.Env, Logger: log, Limits: plugin.Limits{BackoffMax: driverBackoff},
		Sandbox: plugin.Sandbox{Network: c.HSM.Plugin.Network, Read: c.HSM.Plugin.Read, Write: c.HSM.Plugin.Write},
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
			return nil, fault.Usage("set hsm.plugin.dir to the directory of mpcd-hsm-"+u.Path, "hsm.plugin.dir is not set, so no driver %q can be found", u.Path)
		}
		return plugin.External(c.HSM.Plugin.Dir, p)(ctx, u, o)
	}
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

// passwords are the sources of the store's password, by the names of the seed documents. Those in a token use it as it is open.
func (p *opener) passwords() hsm.PasswordDrivers {
	return hsm.PasswordDrivers{"aws": awskms.Passwords, "gcp": gcpkms.Passwords, "pkcs11": p.tokenPasswords, "tpm": p.tokenPasswords}
}

func (p *opener) tokenPasswords(ctx context.Context, set map[string]string) (hsm.PasswordProvider, error) {
	t, err := p.token(ctx, "password.uri", set["uri"])
	if err != nil {
		return nil, err
	}
	w, ok := hsm.As[hsm.KeyWrapper](t)
	if !ok {
		return nil, fmt.Errorf("password.uri: %w: %s wraps no keys, so it opens no passwords", hsm.ErrUnsupported, t.Provider())
	}
	return hsm.SealedPassword(w, set["sealed"]), nil
}
