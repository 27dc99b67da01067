package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/cli"
)

func keygenCommand(o *output) *cobra.Command {
	var r remote
	var q wire.KeygenRequest
	var vault string
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key that no node holds",
		Long: "The nodes make a key together; each keeps a share, and the key itself never exists. " +
			"Before the key is active, every quorum has signed\n" +
			"with it and every set of one signer fewer has failed to. A vault is a group of wallets, which grants and rules of the authority\n" +
			"name.",
		Example: "  mpcd keygen --curve ed25519 --label treasury\n  mpcd keygen --curve secp256k1                    # ECDSA\n" +
			"  mpcd keygen --curve secp256k1 --protocol frost   # Taproot, BIP-340",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return act(o, &r, "keygen", &q.SessionID, func(c *client.Client) (*wire.Wallet, error) { return c.KeygenIn(cmd.Context(), vault, &q) },
				walletTable, func(c *client.Client) (*wire.Operation, error) { return c.KeygenLater(cmd.Context(), vault, &q) })
		},
	}
	r.acts(cmd, &q.SessionID)
	f := cmd.Flags()
	f.StringVar(&q.Curve, "curve", "ed25519", "ed25519 or secp256k1")
	f.StringVar(&q.Protocol, "protocol", "", "frost or dkls23; empty takes frost for ed25519, dkls23 (ECDSA) for secp256k1")
	f.IntVar(&q.Threshold, "threshold", 0, "signers needed; 0 is the cluster's default")
	f.IntVar(&q.Total, "total", 0, "nodes that hold a share, the first of the roster; 0 is all")
	f.StringSliceVar(&q.Parties, "parties", nil, "which nodes hold a share")
	f.StringVar(&q.Label, "label", "", "a name for people")
	f.StringVar(&vault, "vault", "", "the vault that the wallet is to be in; it need not exist before")
	return cmd
}

func walletTable(t io.Writer, w *wire.Wallet) {
	row(t, "wallet", w.WalletID)
	if w.Label != "" {
		row(t, "label", w.Label)
	}
	if w.Group != "" {
		row(t, "vault", w.Group)
	}
	row(t, "public key", w.PublicKey)
	row(t, "scheme", w.Curve+"/"+w.Protocol)
	row(t, "threshold", fmt.Sprintf("%d of %d: %s", w.Threshold, w.Total, strings.Join(w.Parties, ", ")))
	row(t, "state", fmt.Sprintf("%s, epoch %d", w.State, w.Epoch))
	addressRows(t, w.Addresses)
}

func childTable(t io.Writer, k *wire.Child) {
	row(t, "wallet", k.WalletID)
	row(t, "path", k.DerivationPath)
	row(t, "public key", k.PublicKey)
	row(t, "scheme", k.Curve+"/"+k.Protocol)
	addressRows(t, k.Addresses)
}

func addressRows(t io.Writer, addresses map[string]string) {
	for _, chain := range slices.Sorted(maps.Keys(addresses)) {
		row(t, chain, addresses[chain])
	}
}

func signCommand(o *output) *cobra.Command {
	var r remote
	var q wire.SignRequest
	var message, text string
	var tx transaction
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Sign a transaction, a message or a digest with a key",
		Long: "Asks a node for a signature. " +
			"Ed25519 keys sign the message itself (--message or --text), ECDSA and Taproot keys a digest of 32 bytes\n" +
			"(--message). With --path an ECDSA wallet signs with a key below its own, " +
			"by BIP 32's public derivation; mpcd key show --path shows it.\n" +
			"With --transaction every signer reads what the transaction does, judges it by the cluster's policy, and computes the digest;\n" +
			"mpcd intent show says beforehand what is read. Of a message or digest nobody can tell: that takes the grant sign-raw.\n" +
			"The receipt shows which hardware approved it: mpcd key receipt, mpcd attest verify.",
		Example: "  mpcd sign --wallet w_… --text 'pay 5 to alice'\n  mpcd sign --wallet w_… --message 0x243f6a88… --signers node1,node3\n" +
			"  mpcd sign --wallet w_… --message 0x243f6a88… --path m/0/5\n" +
			"  mpcd sign --wallet w_… --chain ethereum --transaction payment.hex\n" +
			"  mpcd sign --wallet w_… --chain bitcoin --format psbt --transaction payment.psbt --input 1",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := tx.or(message, text)
			if err != nil {
				return err
			}
			if q.Message = b; b == nil {
				q.Transaction = tx.wire()
			}
			if err := nameKey(cmd, &q.WalletID, &q.PublicKey); err != nil {
				return err
			}
			if err := checkPath(cmd, q.DerivationPath); err != nil {
				return err
			}
			return act(o, &r, "sign", &q.SessionID, func(c *client.Client) (*wire.Signature, error) { return c.Sign(cmd.Context(), &q) },
				signatureTable, func(c *client.Client) (*wire.Operation, error) { return c.SignLater(cmd.Context(), &q) })
		},
	}
	r.acts(cmd, &q.SessionID)
	f := cmd.Flags()
	keyFlags(cmd)
	f.StringVar(&message, "message", "", "what to sign, in hex")
	f.StringVar(&text, "text", "", "what to sign, as text (Ed25519)")
	f.StringSliceVar(&q.Signers, "signers", nil, "which nodes sign; the node chooses if none is given")
	f.StringVar(&q.Chain, "chain", "", "the chain: of a transaction the one that reads it, else for the receipt")
	tx.register(f)
	f.StringVar(&q.DerivationPath, "path", "", "sign with the key at this path below an ECDSA wallet, as m/0/5")
	return cmd
}

func signatureTable(t io.Writer, s *wire.Signature) {
	row(t, "signature", s.Signature)
	if s.DerivationPath != "" {
		row(t, "path", s.DerivationPath)
		row(t, "public key", s.PublicKey)
		row(t, "address", s.Address)
	}
	row(t, "signers", strings.Join(s.Signers, ", "))
	row(t, "receipt", s.ReceiptID)
	row(t, "session", s.SessionID)
}

// messageOf is what --message gives in hex, or --text as it is.
func messageOf(message, text string) ([]byte, error) {
	if (message == "") == (text == "") || message == "0x" {
		return nil, fault.Usage("give one of --message and --text", "nothing to sign or verify, or two things")
	}
	if text != "" {
		return []byte(text), nil
	}
	return parseHex("--message", message)
}

// checkPath refuses a --path that is none before anything is asked.
func checkPath(cmd *cobra.Command, path string) error {
	if !cmd.Flags().Changed("path") {
		return nil
	}
	if _, err := wire.ParsePath(path); err != nil {
		return fault.Usage("give it as m/0/5: decimal indexes below 2^31, none hardened", "--path: %w", err)
	}
	return nil
}

// keyFlags are how a command names a key.
func keyFlags(cmd *cobra.Command) {
	cmd.Flags().String("wallet", "", "the key, by its wallet id")
	cmd.Flags().String("public-key", "", "the key, by its public key in hex")
}

func nameKey(cmd *cobra.Command, wallet *string, pub *wire.Hex) error {
	*wallet, _ = cmd.Flags().GetString("wallet")
	p, _ := cmd.Flags().GetString("public-key")
	if (*wallet == "") == (p == "") {
		return fault.Usage("give one of --wallet and --public-key; `mpcd key list` shows them", "no key is named, or two are")
	}
	var err error
	*pub, err = parseHex("--public-key", p)
	return err
}

func refreshCommand(o *output) *cobra.Command {
	var r remote
	var q wire.RefreshRequest
	cmd := &cobra.Command{
		Use:     "refresh",
		Short:   "Make the shares of a key anew; the key stays the same",
		Long:    "All nodes that hold shares make new ones; the old are erased. Shares stolen before and after do not fit together.",
		Example: "  mpcd refresh --wallet w_…",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := nameKey(cmd, &q.WalletID, &q.PublicKey); err != nil {
				return err
			}
			return act(o, &r, "refresh", &q.SessionID, func(c *client.Client) (*wire.Wallet, error) { return c.Refresh(cmd.Context(), &q) },
				walletTable, func(c *client.Client) (*wire.Operation, error) { return c.RefreshLater(cmd.Context(), &q) })
		},
	}
	r.acts(cmd, &q.SessionID)
	keyFlags(cmd)
	cmd.Flags().StringSliceVar(&q.Release, "release", nil, "nodes that the answering node has banned, and trusts again from now on")
	return cmd
}

func keyCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "List keys, show one, prove its threshold, fetch receipts", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	cmd.AddCommand(keyList(o), keyShow(o), keyProve(o), keyReceipt(o))
	return cmd
}

func keyList(o *output) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys of the cluster",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(o, &r, "list keys", "", func(c *client.Client) ([]wire.Wallet, error) { return c.AllWallets(cmd.Context()) },
				func(t io.Writer, all []wire.Wallet) {
					row(t, "WALLET", "CURVE", "PROTOCOL", "THRESHOLD", "EPOCH", "STATE", "LABEL")
					for _, w := range all {
						row(t, w.WalletID, w.Curve, w.Protocol, fmt.Sprintf("%d of %d", w.Threshold, w.Total), w.Epoch, w.State, w.Label)
					}
				})
		},
	}
	r.register(cmd)
	return cmd
}

func keyShow(o *output) *cobra.Command {
	var r remote
	var path string
	cmd := &cobra.Command{
		Use:   "show WALLET",
		Short: "Show a key: its addresses, parties and state",
		Long: "Shows a key. With --path it shows the key at that path below an ECDSA wallet, " +
			"by BIP 32's public derivation: a deposit address, without a\n" +
			"signature. mpcd sign --path signs with it.",
		Example: "  mpcd key show w_…\n  mpcd key show w_… --path m/0/5",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPath(cmd, path); err != nil {
				return err
			}
			if path != "" {
				return show(o, &r, "show key", "",
					func(c *client.Client) (*wire.Child, error) { return c.Derive(cmd.Context(), args[0], path) }, childTable)
			}
			return show(o, &r, "show key", "",
				func(c *client.Client) (*wire.Wallet, error) { return c.Wallet(cmd.Context(), args[0]) }, walletTable)
		},
	}
	r.register(cmd)
	cmd.Flags().StringVar(&path, "path", "", "show the key at this path below an ECDSA wallet, as m/0/5")
	return cmd
}

func keyProve(o *output) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "prove-threshold WALLET",
		Short: "Prove again that every quorum signs and one signer fewer does not",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return show(o, &r, "prove the threshold", "",
				func(c *client.Client) (*wire.Wallet, error) { return c.ProveThreshold(cmd.Context(), args[0]) },
				func(t io.Writer, w *wire.Wallet) {
					row(t, fmt.Sprintf("proven: any %d of %d nodes sign, %d cannot", w.Threshold, w.Total, w.Threshold-1))
					walletTable(t, w)
				})
		},
	}
	r.register(cmd)
	return cmd
}

func keyReceipt(o *output) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:     "receipt ID",
		Short:   "Fetch the receipt of a signature; `mpcd attest verify` checks it offline",
		Example: "  mpcd key receipt rc_… > receipt.json\n  mpcd attest verify --roster roster.json --root 0x… receipt.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := ask(&r, "fetch the receipt", "", func(c *client.Client) (json.RawMessage, error) { return c.Receipt(cmd.Context(), args[0]) })
			if err != nil {
				return err
			}
			_, err = o.out.Write(append(bytes.TrimSpace(b), '\n'))
			return err
		},
	}
	r.register(cmd)
	return cmd
}

func nodeList(o *output) *cobra.Command {
	var r remote
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the nodes of the cluster, which can sign, and why others cannot",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(o, &r, "list nodes", "", func(c *client.Client) ([]wire.Node, error) { return c.Nodes(cmd.Context()) },
				func(t io.Writer, nodes []wire.Node) {
					row(t, "NODE", "PARTY", "LIVE", "LAST SEEN", "VERSION", "ACCUSED", "LIMITED", "READY", "CLOCK", "TROUBLE")
					for _, n := range nodes {
						seen := "never"
						if n.Self {
							seen = "answers here"
						} else if n.LastSeen != nil && !n.LastSeen.IsZero() {
							seen = n.LastSeen.UTC().Format(time.RFC3339)
						}
						row(t, n.ID, n.Party, yesNo(n.Live), seen, n.Version, yesNo(n.Accused), yesNo(n.Limited), yesNo(n.Ready),
							fmt.Sprintf("%+.1fs", float64(n.AheadMS)/1000), n.Trouble)
					}
				})
		},
	}
	r.register(cmd)
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
