package main

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/cli"
	"github.com/luxfi/mpcd/internal/durable"
)

func verifyCommand(o *output) *cobra.Command {
	var curve, protocol, key, message, text, signature string
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Check a signature offline, as the chain would",
		Example: "  mpcd verify --curve ed25519 --public-key 0x… --text 'pay 5 to alice' --signature 0x…",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			m, err := messageOf(message, text)
			if err != nil {
				return err
			}
			pub, err := parseHex("--public-key", key)
			if err != nil {
				return err
			}
			sig, err := parseHex("--signature", signature)
			if err != nil {
				return err
			}
			return o.report(host.VerifySignature(curve, protocol, pub, m, sig))
		},
	}
	f := cmd.Flags()
	f.StringVar(&curve, "curve", "ed25519", "ed25519 or secp256k1")
	f.StringVar(&protocol, "protocol", "", "frost or dkls23; empty takes frost for a 32-byte key, dkls23 for any other on secp256k1")
	f.StringVar(&key, "public-key", "", "the wallet's public key, in hex")
	f.StringVar(&message, "message", "", "what was signed, in hex")
	f.StringVar(&text, "text", "", "what was signed, as text")
	f.StringVar(&signature, "signature", "", "the signature, in hex")
	return cmd
}

// parseHex reads what a flag gives in hex.
func parseHex(flag, text string) ([]byte, error) {
	b, err := wire.ParseHex(text)
	if err != nil {
		return nil, fault.Usage("give hex, with or without 0x", "%s: %w", flag, err)
	}
	return b, nil
}

func attestCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "attest", Short: "Check receipts offline", Args: cobra.ArbitraryArgs, RunE: cli.NeedSubcommand}
	cmd.AddCommand(attestVerify(o))
	return cmd
}

// evidence is what receipts are judged by.
type evidence struct{ roster, pin, authority string }

func (e *evidence) register(f *pflag.FlagSet) {
	f.StringVar(&e.roster, "roster", "", "the signed roster (required)")
	f.StringVar(&e.authority, "authority", "", "the authority, which says who might ask; authority.json beside the roster if empty")
	f.StringVar(&e.pin, "root", "", "the operator's public key, or the roster's fingerprint")
}

// read reads both; no chain where anybody may have asked.
func (e *evidence) read(o *output, anybody bool) (roster *attest.SignedRoster, chain attest.AuthorityChain, err error) {
	if e.roster == "" {
		return nil, nil, fault.Usage("give --roster FILE", "no roster to check against")
	}
	if roster, err = o.roster(e.roster, e.pin); err != nil || anybody {
		return roster, nil, err
	}
	chain, err = host.ReadAuthority(cmp.Or(e.authority, filepath.Join(filepath.Dir(e.roster), enrol.AuthorityFile)),
		ed25519.PublicKey(roster.Root))
	if errors.Is(err, fs.ErrNotExist) {
		err = fault.Usage("give --authority FILE; `mpcd attest verify` judges a receipt without by --any-initiator",
			"no authority by which to judge who asked: %w", err)
	}
	return roster, chain, err
}

func attestVerify(o *output) *cobra.Command {
	var by evidence
	var anybody, witnesses, mldsa = false, 0, 0
	cmd := &cobra.Command{
		Use:   "verify RECEIPT.json",
		Short: "Check a receipt offline: request, initiator, cosignature, attested shares, signature, settlement, audit log",
		Long: "Re-checks the whole chain of evidence with roster and authority alone: " +
			"no network, no token. --root pins whose roster it is; take it from the\n" +
			"operator, not from where the receipt came from.",
		Example: "  mpcd attest verify --roster roster.json --root 0x… receipt.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			roster, chain, err := by.read(o, anybody)
			if err != nil {
				return err
			}
			b, err := readInput(args[0])
			if err != nil {
				return err
			}
			return o.report(host.VerifyReceipt(b, roster, chain, witnesses, mldsa))
		},
	}
	by.register(cmd.Flags())
	cmd.Flags().BoolVar(&anybody, "any-initiator", false, "do not judge who asked, as of receipts from before there was an authority")
	cmd.Flags().IntVar(&witnesses, "witnesses", 0, "how many other nodes must have witnessed, at least, that it is on record")
	cmd.Flags().IntVar(&mldsa, "mldsa", 0, "how many of them by ML-DSA-44 too; a receipt shows two at most")
	return cmd
}

// readInput reads a file, or stdin for "-".
func readInput(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, attest.MaxJSON+1))
	}
	return durable.ReadFile(path, attest.MaxJSON)
}

func auditCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Verify, prove and export the audit log of a node", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	var t host.AuditTask
	verify := auditTask(o, &t, "verify", "Check that no entry of the audit log was changed, removed or reordered",
		"Reads the whole log, also beside the running node, and changes nothing: the chain of hashes, the count of what was\n"+
			"acknowledged, the checkpoint. With --proof it checks what `mpcd audit prove` wrote. With --roster, --root and --node\n"+
			"neither needs a configuration; take --root from the operator, not from where the proof came from.", t.Verify)
	verify.Flags().StringVar(&t.Proof, "proof", "", "check this proof instead of a log")
	verify.Flags().StringVar(&t.Since, "since", "", "file of a checkpoint that you kept, from which the log must have grown")
	verify.Flags().IntVar(&t.MLDSA, "mldsa", 0, "how many other nodes must have cosigned the checkpoint by ML-DSA-44 too, at least")
	prove := auditTask(o, &t, "prove", "Prove that an entry is in the log, under a checkpoint that the token signed", "", t.Prove)
	prove.Flags().Uint64Var(&t.Entry, "entry", 0, "number of the entry")
	prove.Flags().StringVar(&t.Since, "since", "", "file of an older checkpoint: prove that the log has only grown since")
	export := auditTask(o, &t, "export", "Write the entries, one JSON object a line", "The whole log is verified first.", t.Export)
	export.Flags().Uint64Var(&t.From, "from", 1, "first entry")
	export.Flags().Uint64Var(&t.To, "to", 0, "last entry; 0 for all")
	cmd.AddCommand(verify, prove, export, auditCheckpoints(o))
	return cmd
}

func auditCheckpoints(o *output) *cobra.Command {
	var r remote
	cmd := &cobra.Command{Use: "checkpoints [NODE]", Short: "List the checkpoints of audit logs that a node has, or write one's",
		Long: "Lists, of each node's audit log, the last head that the node asked has cosigned as a witness; and its own.\n" +
			"With a NODE it writes that checkpoint alone, for mpcd audit verify --since or another verifier (C2SP tlog-checkpoint).",
		Args: cobra.MaximumNArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		get := func(c *client.Client) ([]wire.Checkpoint, error) { return c.Checkpoints(cmd.Context()) }
		if len(args) == 0 {
			return show(o, &r, "list checkpoints", "", get, enrol.PrintCheckpoints)
		}
		all, err := ask(&r, "list checkpoints", "", get)
		return enrol.WriteCheckpoint(o.out, all, args[0], err)
	}
	r.register(cmd)
	return cmd
}

// auditTask is a command that works on the log of the configured node, or on a file.
func auditTask(o *output, t *host.AuditTask, use, short, long string, do func() (*host.Report, error)) *cobra.Command {
	var flags nodeFlags
	var roster, root string
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) (err error) {
		t.Out = o.out
		switch node := cmd.Flags().Lookup("node").Value.String(); {
		case roster != "":
			t.Config.Node = transport.NodeID(node)
			t.Roster, err = o.roster(roster, root)
		case t.File == "" || cmd.Flags().Changed("config"):
			t.Config, err = flags.load()
		}
		if err != nil {
			return err
		}
		return o.report(do())
	}}
	flags.register(cmd)
	cmd.Flags().StringVar(&roster, "roster", "", "the signed roster, instead of the configured node's")
	cmd.Flags().StringVar(&root, "root", "", "with --roster: the operator's public key, or the roster's fingerprint")
	cmd.Flags().StringVar(&t.File, "file", "", "the log, instead of the configured node's")
	return cmd
}
