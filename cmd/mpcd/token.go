package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
)

func tokenCommand(o *output) *cobra.Command {
	var key string
	var t enrol.Token
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token for the API, signed with the operator's key",
		Long: "Prints a JWT (EdDSA) for clusters that `mpcd init` made. " +
			"Where you have an issuer of tokens already, put its public key into api.jwt.keys instead.",
		Example: "  export MPCD_TOKEN=$(mpcd token --key treasury/cluster/api-tokens.key --audience treasury --subject alice)",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if key == "" || t.Audience == "" {
				return fault.Usage("give --key FILE and --audience CLUSTER", "no key, or no audience")
			}
			text, expires, err := t.Sign(key, time.Now())
			if err != nil {
				return err
			}
			v := map[string]any{"token": text, "subject": t.Subject, "roles": t.Roles, "expires": expires.UTC().Format(time.RFC3339), "jti": t.ID,
				"vaults": t.Vaults}
			o.note("token %s of %s, until %s: each node puts its first use on record; api.jwt.revoked ends it", t.ID, t.Subject, v["expires"])
			return o.result(v, func(w io.Writer) { row(w, text) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "the operator's key for tokens: cluster/api-tokens.key (required)")
	f.StringVar(&t.Audience, "audience", "", "aud, the name of the cluster (required)")
	f.StringVar(&t.Subject, "subject", "operator", "who the token is for, as audit log and receipts name them")
	f.StringSliceVar(&t.Roles, "roles", []string{"viewer", "requester", "key-admin", "node-operator", "auditor"}, "what they may do")
	f.StringSliceVar(&t.Vaults, "vault", nil, "let its bearer in for the wallets of these vaults alone")
	f.StringVar(&t.Cert, "client-cert", "", "bind it to this certificate, PEM: its bearer must show it (--cert, --key)")
	f.DurationVar(&t.TTL, "ttl", 12*time.Hour, "how long the token lives")
	return cmd
}
