package main

import (
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/cli"
)

func nodeCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "List the nodes, enrol this one, sign the roster", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	roster := &cobra.Command{Use: "roster", Short: "Make and sign the roster, at the operator's", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	roster.AddCommand(rosterInit(o), rosterSign(o), rosterRemove(o), rosterShow(o))
	cmd.AddCommand(nodeList(o), nodeEnroll(o), nodeChallenge(o), nodeAnswer(o), nodeEvidence(o), nodeRenew(o), roster)
	return cmd
}

func nodeEnroll(o *output) *cobra.Command {
	var flags nodeFlags
	var dir string
	var at enrol.Place
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Make this node's keys and print what the operator needs to enrol it",
		Long: "Makes, in the token, the keys cosign, attest and vault where they are missing, " +
			"and in the data directory the store and the vault with\n" +
			"the node's identity. Prints public keys as JSON, signed by the identity, for `mpcd node roster sign`, with what the token shows of\n" +
			"them: a TPM's certificate of the key, the attributes of a PKCS#11 token, what a cloud service says. It may be repeated.",
		Example: "  mpcd node enroll --new mpcd --cluster treasury --node node1 --roster-root 0x… --endpoint https://mpc1.example:8080",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.loadNew(dir, at, o.note)
			if err != nil {
				return err
			}
			e, err := enrol.Node(cmd.Context(), c, o.options("warn"), at, true)
			if err != nil {
				return fault.Doing("enrol", err)
			}
			if at.Endpoint == "" {
				o.note("no --endpoint: that does for a node which the roster has with one, and for no other")
			}
			return errors.Join(o.indented(e), o.summary(e))
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&dir, "new", "", "make this directory with mpcd.yaml and, without --hsm-signer, a SoftHSM token")
	cmd.Flags().StringVar(&at.Endpoint, "endpoint", "", "where clients reach this node, for the roster; as before if empty")
	cmd.Flags().StringVar(&at.Facility, "facility", "", "where the node stands, for the roster; as before if empty")
	return cmd
}

func rosterInit(o *output) *cobra.Command {
	var dir, cluster string
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the operator's keys of a new cluster",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if dir == "" || transport.CheckName("cluster", cluster) != nil {
				return fault.Usage("give --dir DIR and --cluster NAME (a-z, 0-9, - and _)", "no directory, or %q is no name", cluster)
			}
			a, err := enrol.NewOperator(dir, cluster)
			if err != nil {
				return err
			}
			return o.result(map[string]string{"dir": dir, "cluster": cluster, "roster_root": a.RootHex()}, func(w io.Writer) {
				row(w, "roster_root:", a.RootHex())
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory for the keys (required)")
	cmd.Flags().StringVar(&cluster, "cluster", "", "name of the cluster (required)")
	return cmd
}

func rosterSign(o *output) *cobra.Command {
	var dir string
	var hosts map[string]string
	var back []string
	var flags evidenceFlags
	cmd := &cobra.Command{
		Use:   "sign ENROLMENT.json...",
		Short: "Appraise the keys of these nodes, and sign the roster of them and those in it already",
		Long: "Reads what `mpcd node enroll` printed on each host, " +
			"judges the evidence for its keys, adds the nodes to DIR/roster.json and signs it.\n" +
			"Compare the keys with the hosts before: from now on they are the members. " +
			"For each node a certificate is written to DIR/tls/<node>/;\n" +
			"bring roster.json and that directory to its host. What was judged is kept in DIR/evidence/<node>.json.\n" +
			"It says of which members keys change. Keys that a roster took out before, as an older enrolment has them, are refused.\n\n" +
			evidenceHelp,
		Example: "  mpcd node roster sign --dir operator --evidence proof --tpm-roots makers.pem --answers answers/ enrolment-node1.json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := enrol.OpenOperator(dir)
			if err != nil {
				return err
			}
			es, err := enrol.ReadEnrolments(args)
			if err != nil {
				return err
			}
			judged, err := flags.judge(o, a.Root(), es)
			if err != nil {
				return err
			}
			s, changes, err := a.Admit(judged, hosts, back)
			if err != nil {
				return err
			}
			for _, c := range changes {
				o.note("%s", c)
			}
			return printRoster(o, s)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory that mpcd node roster init made")
	cmd.Flags().StringToStringVar(&hosts, "hosts", nil, "host name of each node for its certificate, as `NODE=HOST,…`")
	cmd.Flags().StringSliceVar(&back, "put-keys-back", nil, "let the keys of these nodes count again that a roster took out, as `NODE,…`")
	flags.register(cmd, "hardware")
	return cmd
}

func rosterRemove(o *output) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "remove NODE...",
		Short: "Sign a newer roster in which these nodes are members no more",
		Long: "Bring roster.json to any host that runs, in the place of the old one: nodes take it up, carry it on, and neither hear nor\n" +
			"choose who was removed. Keys sign with the nodes that are left, if these are enough; they cannot be refreshed. No name comes back.",
		Example: "  mpcd node roster remove --dir operator node3",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := enrol.OpenOperator(dir)
			if err != nil {
				return err
			}
			s, err := a.Remove(args)
			if err != nil {
				return err
			}
			return printRoster(o, s)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory that mpcd node roster init made; cluster/ of mpcd init")
	return cmd
}

func nodeRenew(o *output) *cobra.Command {
	dir, due := "", false
	var hosts map[string]string
	cmd := &cobra.Command{
		Use:   "renew [NODE...]",
		Short: "Issue new certificates for nodes of the roster, at the operator's",
		Long: "Issues certificates for 397 days into DIR/tls/<node>/, for all nodes where none is named. Bring each directory to its host,\n" +
			"over the one that nats.tls and api.tls name: a running node takes it up within a second.",
		Example: "  mpcd node renew --dir operator node1",
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := enrol.OpenOperator(dir)
			if err != nil {
				return err
			}
			made, err := a.Renew(args, hosts, map[bool]time.Time{true: time.Now()}[due])
			if err != nil {
				return err
			}
			return o.result(made, func(w io.Writer) {
				for _, id := range slices.Sorted(maps.Keys(made)) {
					row(w, id, made[id])
				}
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory that mpcd node roster init made; cluster/ of mpcd init")
	cmd.Flags().StringToStringVar(&hosts, "hosts", nil, "further host name of each node, as NODE=HOST,…")
	cmd.Flags().BoolVar(&due, "due", false, "only those of which two thirds of their life are over, as a timer wants it")
	return cmd
}

func rosterShow(o *output) *cobra.Command {
	var pin string
	cmd := &cobra.Command{
		Use:   "show ROSTER.json",
		Short: "Check a roster's signature and print its members",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := o.roster(args[0], pin)
			if err != nil {
				return err
			}
			return printRoster(o, s)
		},
	}
	cmd.Flags().StringVar(&pin, "root", "", "the operator's public key, or the roster's fingerprint")
	return cmd
}

// roster reads a roster, of the operator that pin names.
func (o *output) roster(path, pin string) (*attest.SignedRoster, error) {
	s, err := host.ReadRoster(path)
	if err != nil {
		return nil, err
	}
	if pin == "" {
		o.note("warning: no --root given; whose roster it is has not been checked")
		return s, nil
	}
	return s, fault.Doing("roster", host.CheckPin(s, pin))
}

func printRoster(o *output, s *attest.SignedRoster) error {
	return o.result(s, func(w io.Writer) {
		row(w, "cluster "+s.Roster.Cluster, "serial", s.Roster.Serial)
		row(w, "root "+s.Root.String())
		row(w, "fingerprint "+s.Fingerprint())
		row(w)
		row(w, "PARTY", "NODE", "IDENTITY", "ENDPOINT")
		for _, n := range s.Roster.Nodes {
			if n.Removed {
				n.Endpoint = "REMOVED"
			}
			row(w, n.Party, n.ID, n.Identity.String(), n.Endpoint)
		}
	})
}
