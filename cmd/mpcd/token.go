package main

import (
	"io"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/secret"
)

func tokenCommand(o *output) *cobra.Command {
	var key, audience, subject string
	var roles []string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Make a token for the API, signed with the operator's key",
		Long:    "Prints a JWT (EdDSA) for clusters that `mpcd init` made. Where you have an issuer of tokens already, put its public key into api.jwt.keys instead.",
		Example: "  export MPCD_TOKEN=$(mpcd token --key treasury/cluster/api-tokens.key --audience treasury --subject alice)",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if key == "" || audience == "" {
				return fault.Usage("give --key FILE and --audience CLUSTER", "no key, or no audience")
			}
			for _, r := range roles {
				if !knownRole(r) {
					return fault.Usage("use roles of the API", "role %q is unknown", r)
				}
			}
			if ttl <= 0 || ttl > 366*24*time.Hour {
				return fault.Usage("give --ttl from 1s to 8784h", "a token that lives %s", ttl)
			}
			k, err := enrol.ReadKey(key)
			if err != nil {
				return err
			}
			defer secret.Wipe(k)
			now := time.Now()
			t, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
				"sub": subject, "aud": audience, "iat": now.Unix(), "exp": now.Add(ttl).Unix(), "roles": roles,
			}).SignedString(k)
			if err != nil {
				return err
			}
			return o.result(map[string]any{"token": t, "subject": subject, "roles": roles, "expires": now.Add(ttl).UTC().Format(time.RFC3339)},
				func(w io.Writer) { row(w, t) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "the operator's key for tokens: cluster/api-tokens.key (required)")
	f.StringVar(&audience, "audience", "", "aud, the name of the cluster (required)")
	f.StringVar(&subject, "subject", "operator", "who the token is for, as audit log and receipts name them")
	f.StringSliceVar(&roles, "roles", []string{"viewer", "requester", "key-admin", "node-operator", "auditor"}, "what they may do")
	f.DurationVar(&ttl, "ttl", 12*time.Hour, "how long the token lives")
	return cmd
}

func knownRole(r string) bool {
	for _, k := range api.Roles() {
		if string(k) == r {
			return true
		}
	}
	return false
}
