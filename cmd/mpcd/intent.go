package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/cli"
	"github.com/luxfi/mpcd/policy"
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
	cmd.AddCommand(policyCheck(o), policyExplain(o))
	return cmd
}

func policyCheck(o *output) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Read rules as every node would, and say what is wrong with them",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			rules, err := enrol.ReadRules(args[0])
			if err != nil {
				return err
			}
			return o.result(map[string]any{"rules": rules.Names()}, func(w io.Writer) { row(w, "rules", strings.Join(rules.Names(), ", ")) })
		},
	}
}

func policyExplain(o *output) *cobra.Command {
	var t transaction
	q := policy.Request{At: time.Now()}
	var key string
	var assets []string
	cmd := &cobra.Command{
		Use:   "explain FILE",
		Short: "Say what rules would say of a request: nothing is asked, and nothing signed",
		Example: "  mpcd policy explain rules.cedar --initiator payments --vault trading --chain ethereum --public-key 0x02… \\\n" +
			"      --transaction payment.hex",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			rules, err := enrol.ReadRules(args[0])
			if err == nil {
				q.Assets, err = enrol.ParseAssets(assets)
			}
			if err == nil && t.path != "" {
				q.Decoded, err = t.decode(q.Network, key)
			}
			if err != nil {
				return err
			}
			v := rules.Judge(q)
			return o.result(v, func(w io.Writer) {
				row(w, map[bool]string{true: "permitted", false: "DENIED"}[v.Allow], "by "+v.Rule, v.Why, rules.Caveat())
			})
		},
	}
	f := cmd.Flags()
	t.register(f)
	f.StringVar(&q.Network, "chain", "", "the chain of the transaction")
	f.StringVar(&key, "public-key", "", "the key that is to sign, in hex")
	f.StringVar(&q.Initiator, "initiator", "", "who asks")
	f.StringVar(&q.Operation, "operation", "sign", "what for: sign, sign-raw, keygen, refresh")
	f.StringVar(&q.Wallet.ID, "wallet", "", "the wallet")
	f.StringVar(&q.Wallet.Vault, "vault", "", "its vault")
	f.StringVar(&q.Wallet.Kind, "kind", "", "of the key: ed25519, ecdsa-secp256k1, bip340")
	f.IntVar(&q.Wallet.Threshold, "threshold", 2, "how many must sign")
	f.IntVar(&q.Wallet.Parties, "parties", 3, "of how many")
	f.StringSliceVar(&assets, "asset", nil, "an asset whose amounts the rules name, NETWORK/ID=DECIMALS")
	return cmd
}
