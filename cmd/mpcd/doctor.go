package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// finding is a line of the doctor.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Warn   bool   `json:"warn,omitempty"`
	Detail string `json:"detail,omitempty"`
	Do     string `json:"do,omitempty"`
	code   fault.Code
	mark   string
}

func doctorCommand(o *output) *cobra.Command {
	var flags nodeFlags
	var identity string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this node from configuration to peers, with the next step for what fails",
		Long: "Checks configuration, arithmetic, roster, certificates, token and its keys, " +
			"vault, records, audit log and peers. Beside a running node, which\n" +
			"alone may use the token and the vault, it asks the node's API for these.\n\nThe exit code is that of the first failure.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var d host.Checkup
			var err error
			if identity != "" {
				if d.Identities, err = host.ReadIdentities(identity); err != nil {
					return err
				}
			}
			d.Config, err = flags.load()
			all := []finding{findingOf(host.Finding{Check: "configuration", Err: err, Detail: "read"})}
			if err == nil {
				d.Ask = func(ctx context.Context) (*wire.Health, error) { return askHealth(ctx, d.Config) }
				for _, f := range d.Run(cmd.Context()) {
					all = append(all, findingOf(f))
				}
			}
			return o.findings(all)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&identity, "identity", "", "age identity of a recovery officer: proves that it opens the vault without the token")
	return cmd
}

// findingOf tells a finding to a human.
func findingOf(f host.Finding) finding {
	if f.Err == nil {
		return finding{Check: f.Check, OK: true, Warn: f.Warn != "", Detail: f.Detail, Do: f.Warn, mark: f.Mark()}
	}
	x := explain(f.Err)
	if x.Do == askDoctor { // this is it
		x.Do = "see the node's log, and the rest that is said here"
	}
	why := problem.Plain(x.Err)
	if x.What != "" {
		why = x.What + ": " + why
	}
	return finding{Check: f.Check, Detail: why, Do: x.Do, code: x.Code, mark: f.Mark()}
}

// findings writes them, and fails with the first that is a failure.
func (o *output) findings(all []finding) error {
	err := o.result(all, func(w io.Writer) {
		for _, f := range all {
			row(w, f.mark, f.Check, f.Detail)
			if f.Do != "" {
				row(w, "", "", "→ "+f.Do)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, f := range all {
		if !f.OK {
			return &fault.Error{Code: f.code, What: f.Check, Err: errors.New(f.Detail), Do: f.Do}
		}
	}
	return nil
}

// askHealth asks the API of the configured node how it is.
func askHealth(ctx context.Context, c host.Config) (*wire.Health, error) {
	r := remote{timeout: 5 * time.Second, ca: c.NATS.CA, own: c.API.Cert}
	r.api, r.name = c.Reach()
	if c.API.ClientCA != "" {
		r.cert, r.key = c.API.Cert, c.API.Key
	}
	asker, key, err := r.client()
	if err != nil {
		return nil, err
	}
	defer key.Close()
	h, err := asker.Health(ctx)
	return h, r.failed("", err, "")
}
