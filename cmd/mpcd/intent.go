package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/cli"
	"github.com/luxfi/mpcd/policy/cases"
)

// transaction is a payload that a command line gives.
type transaction struct {
	path, format string
	input        int
	bytes        []byte
}

func (t *transaction) register(f *pflag.FlagSet) {
	f.StringVar(&t.path, "transaction", "", "a file with what is to be signed as the chain writes it, in hex, base64 or as it is")
	f.StringVar(&t.format, "format", "transaction", "how it is written: transaction, message, typed-data, psbt, direct, amino")
	f.IntVar(&t.input, "input", 0, "which input is to be signed, of a psbt")
}

// or is what --message or --text say, or nil, and the transaction read from its file.
func (t *transaction) or(message, text string) ([]byte, error) {
	switch given := message+text != ""; {
	case given && t.path == "":
		return messageOf(message, text)
	case given || t.path == "":
		return nil, fault.Usage("give one of --transaction, --message and --text", "nothing to sign, or two things")
	}
	return nil, t.read()
}

// read reads the file.
func (t *transaction) read() (err error) {
	t.bytes, err = enrol.ReadTransaction(t.path)
	return err
}

// decode reads the file, and what it says, for a key in hex.
func (t *transaction) decode(network, key string) (*intent.Decoded, error) {
	pub, err := parseHex("--public-key", key)
	if err == nil {
		err = t.read()
	}
	if err != nil {
		return nil, err
	}
	d, err := intent.Decode(intent.Payload{Network: network, Format: intent.Format(t.format), Bytes: t.bytes, Input: t.input, Key: pub})
	if err != nil {
		return nil, fault.Usage("make the transaction again, for this chain and key", "%w", err)
	}
	return d, nil
}

func (t *transaction) wire() *wire.Transaction {
	return &wire.Transaction{Format: t.format, Bytes: t.bytes, Input: t.input}
}

func intentCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "intent", Short: "What a transaction asks for", Args: cobra.ArbitraryArgs, RunE: cli.NeedSubcommand}
	cmd.AddCommand(intentShow(o))
	return cmd
}

func intentShow(o *output) *cobra.Command {
	var t transaction
	var network, key string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show what a transaction does, as every signer reads it; no node is asked",
		Long: "Change, an input of a psbt, and who asks of Cosmos and XRPL, are judged by the key that is to sign: give its --public-key,\n" +
			"compressed or as Ed25519 and Taproot show it.",
		Example: "  mpcd intent show --chain ethereum --public-key 0x02… --transaction payment.hex",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			d, err := t.decode(network, key)
			if err != nil {
				return err
			}
			return o.result(d, func(w io.Writer) {
				for _, r := range d.Rows() {
					row(w, r[0], r[1])
				}
				row(w, "signed is", fmt.Sprintf("0x%x", d.Digest))
			})
		},
	}
	f := cmd.Flags()
	t.register(f)
	f.StringVar(&network, "chain", "", "the chain (required)")
	f.StringVar(&key, "public-key", "", "the key that is to sign, in hex (required)")
	return cmd
}

func policyCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "The rules by which every signer judges what is asked for", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	cmd.AddCommand(policyCheck(o), policyTest(o), policyExplain(o), policySimulate(o))
	return cmd
}

func policyCheck(o *output) *cobra.Command {
	var authority string
	cmd := &cobra.Command{Use: "check FILE", Args: cobra.ExactArgs(1), Short: "Read rules as nodes would, and say what is wrong with them"}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		x, err := enrol.CheckRules(args[0], authority)
		if err != nil {
			return err
		}
		return o.rows(x, x.Rows())
	}
	cmd.Flags().StringVar(&authority, "authority", "", "an authority.json, to warn of groups with too few people for the rules")
	return cmd
}

func policyTest(o *output) *cobra.Command {
	return &cobra.Command{
		Use:     "test RULES CASES",
		Short:   "Try rules by a file of requests and of what is to be said of each; docs/POLICY.md has one",
		Example: "  mpcd policy test rules.cedar cases.yaml",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := enrol.TryRules(args[0], args[1])
			if err != nil {
				return err
			}
			return cmp.Or(o.rows(all, all.Rows()), enrol.Passed(all, args[1]))
		},
	}
}

func policyExplain(o *output) *cobra.Command {
	var t transaction
	var q cases.Request
	var assets []string
	cmd := &cobra.Command{
		Use:   "explain FILE",
		Short: "Say what rules would say of a request: nothing is asked, and nothing signed",
		Long: "What the rules ask for and the command line does not say, the answer names. Without a transaction it is of --operation\n" +
			"sign-raw, keygen or refresh. A request of parts that are declared is for mpcd policy test.",
		Example: "  mpcd policy explain rules.cedar --initiator payments --vault trading --chain ethereum --public-key 0x02… \\\n" +
			"      --transaction payment.hex --approval treasury=2 --spent wallet.day=9.5",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if t.path != "" {
				q.Decoded, err = t.decode(q.Chain, q.PublicKey)
			}
			if err != nil {
				return err
			}
			x, err := enrol.ExplainRules(args[0], q, assets)
			if err != nil {
				return err
			}
			return o.rows(x, x.Rows())
		},
	}
	f := cmd.Flags()
	t.register(f)
	f.StringVar(&q.Chain, "chain", "", "the chain of the transaction")
	f.StringVar(&q.PublicKey, "public-key", "", "the key that is to sign, in hex")
	f.StringVar(&q.Initiator, "initiator", "", "who asks")
	f.StringVar(&q.Operation, "operation", "sign", "what for: sign, sign-raw, keygen, refresh")
	f.StringVar(&q.Wallet, "wallet", "", "the wallet")
	f.StringVar(&q.Vault, "vault", "", "its vault")
	f.StringVar(&q.Kind, "kind", "", "of the key: ed25519, ecdsa-secp256k1, bip340")
	f.IntVar(&q.Threshold, "threshold", 0, "how many must sign; 2 if it is not given")
	f.IntVar(&q.Parties, "parties", 0, "of how many; 3 if it is not given")
	f.StringSliceVar(&assets, "asset", nil, "an asset whose amounts the rules name, NETWORK/ID=DECIMALS")
	f.StringToIntVar(&q.Approvals, "approval", nil, "how many of a group have approved it, people or programs, GROUP=N")
	f.StringToStringVar(&q.Spent, "spent", nil, "what was signed before in whole units, as wallet.day=9.5 or vault.hour/ASSET=3")
	f.StringVar(&q.At, "at", "", "when it is asked for, as 2026-11-30T14:30:00Z; now if it is not given")
	return cmd
}

func policySimulate(o *output) *cobra.Command {
	var r remote
	var by evidence
	var assets []string
	var days int
	cmd := &cobra.Command{
		Use:   "simulate RULES [RECEIPT.json ...]",
		Short: "Say what rules would have changed in what was asked for: nothing is signed",
		Long: "Asks each node of --api for its log, the receipts of what it names, and what waits for approvals there or did, as an auditor;\n" +
			"or takes the receipts that are given. Each receipt is verified first. What cannot be judged is counted, and why.",
		Example: "  mpcd policy simulate rules.cedar --days 7 --roster roster.json --root 0x…",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			roster, chain, err := by.read(o, false)
			if err != nil {
				return err
			}
			s, err := enrol.NewSimulation(args[0], assets, roster, chain, days, time.Now())
			for _, path := range args[1:] {
				var b []byte
				if b, err = readInput(path); err != nil {
					break
				}
				s.Receipt(b)
			}
			for _, one := range strings.Split(r.api, ",") {
				if r.api = one; err == nil && len(args) == 1 {
					_, err = ask(&r, "read what was asked for", "", func(c *client.Client) (any, error) { return nil, s.Read(source(cmd.Context(), c)) })
				}
			}
			if err != nil {
				return err
			}
			x := s.Outcome()
			return o.rows(x, x.Rows())
		},
	}
	r.register(cmd)
	f := cmd.Flags()
	by.register(f)
	f.IntVar(&days, "days", 7, "of what was asked for in the last so many days")
	f.StringSliceVar(&assets, "asset", nil, "an asset whose amounts the rules name, beside those of the authority, NETWORK/ID=DECIMALS")
	return cmd
}

// source is a node that is asked what it keeps.
func source(ctx context.Context, c *client.Client) enrol.Source {
	return enrol.Source{
		Audit: func(token string) ([]wire.AuditEntry, string, error) {
			return c.Audit(ctx, client.Page{Size: 1000, Token: token})
		},
		Receipt: func(id string) ([]byte, error) {
			b, err := c.Receipt(ctx, id)
			if no := (*client.Error)(nil); errors.As(err, &no) && no.Status == http.StatusNotFound {
				return nil, nil
			}
			return b, err
		},
		Operations: func() ([]wire.Operation, error) { return c.Operations(ctx, "") },
	}
}
