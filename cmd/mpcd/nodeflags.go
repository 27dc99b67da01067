package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// nodeFlags are the flags of every command that works on a node's own configuration.
type nodeFlags struct {
	path string
	dev  bool
	set  *pflag.FlagSet
}

// register adds the flags, the settings' among them, to a command.
func (f *nodeFlags) register(cmd *cobra.Command) {
	f.set = cmd.Flags()
	f.set.StringVarP(&f.path, "config", "c", "", "configuration file (MPCD_CONFIG; "+host.DefaultFile+" if it is there)")
	f.set.BoolVar(&f.dev, "dev", false, "allow what guards nothing: a local token, plain HTTP on loopback")
	for _, s := range host.Settings {
		if s.Flag == "" {
			continue
		}
		short := ""
		if s.Key == "node_id" {
			short = "n"
		}
		f.set.StringP(s.Flag, short, "", s.Help)
		if s.Key == "attest" {
			f.set.Lookup(s.Flag).NoOptDefVal = "true"
		}
	}
}

// values gathers the settings: flags over environment over file over defaults.
func (f *nodeFlags) values() (vs host.Values, unknown []string, err error) {
	if vs, unknown, err = host.Gather(f.path); err != nil {
		return nil, nil, err
	}
	for _, s := range host.Settings {
		if fl := f.set.Lookup(s.Flag); s.Flag != "" && fl.Changed {
			vs.Set(s.Key, fl.Value.String(), "flag --"+s.Flag)
		}
	}
	return vs, unknown, nil
}

// loadNew is load, once the configuration of a new node is written into dir, if there is one, with what flags and variables say.
func (f *nodeFlags) loadNew(dir string, at enrol.Place, note func(string, ...any)) (host.Config, error) {
	if dir != "" {
		vs, _, err := f.values()
		if err == nil {
			f.path, err = enrol.Configure(dir, vs, at, note)
		}
		if err != nil {
			return host.Config{}, err
		}
	}
	return f.load()
}

// load gathers and parses. Who loads a node's configuration may open its secrets, so the process is hardened.
func (f *nodeFlags) load() (host.Config, error) {
	if err := host.Harden(); err != nil {
		return host.Config{}, fault.Doing("harden the process", err)
	}
	vs, unknown, err := f.values()
	if err != nil {
		return host.Config{}, err
	}
	c, err := host.Parse(vs)
	c.Unknown = unknown
	c.Dev = f.dev || os.Getenv("MPCD_DEV") == "1"
	return c, err
}
