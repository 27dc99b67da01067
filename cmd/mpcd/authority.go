package main

import (
	"crypto"
	"errors"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/cli"
	"github.com/luxfi/mpcd/internal/secret"
)

func authorityCommand(o *output) *cobra.Command {
	cmd := &cobra.Command{Use: "authority", Short: "Say who may ask for what: keys, the first, changes", Args: cobra.ArbitraryArgs,
		RunE: cli.NeedSubcommand}
	cmd.AddCommand(authorityKey(o), authorityPasskey(o), authorityInit(o), authorityChange(o), authoritySign(o), authorityShow(o),
		authoritySettle(o))
	return cmd
}

func authorityKey(o *output) *cobra.Command {
	var kind, passphrase, token string
	cmd := &cobra.Command{
		Use:   "key FILE | NAME --token URI",
		Short: "Make the key of an officer or an initiator in a file or a token, and print its public half",
		Long:  "With --token the key is in an HSM, a TPM or a KMS; one that is there under the name already is taken.",
		Example: "  mpcd authority key olga.key --passphrase file:passphrase\n" +
			"  mpcd authority key payments --type p256 --token awskms:region=eu-central-1",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if token != "" {
				k, err := openTokenKey(token, args[0], hsm.KeyType(kind))
				if err != nil {
					return err
				}
				return errors.Join(o.publicKey(token, k.public), k.Close())
			}
			p, err := readPassphrase(passphrase, "")
			if err != nil {
				return err
			}
			defer p.Wipe()
			pub, err := enrol.MakeKeyFile(args[0], hsm.KeyType(kind), p)
			if err != nil {
				return err
			}
			return o.publicKey(args[0], pub)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "the token that is to have the key, as a URI; mpcd hsm list shows which there are")
	cmd.Flags().StringVar(&kind, "type", "ed25519", "ed25519 or p256")
	cmd.Flags().StringVar(&passphrase, "passphrase", "", "has age encrypt the file: file:PATH, cred:NAME or env:NAME")
	return cmd
}

func authorityPasskey(o *output) *cobra.Command {
	var port uint16
	cmd := &cobra.Command{
		Use:     "passkey NAME GROUP...",
		Short:   "Make the passkey of an approver in a browser on this machine, and print what officers give to --approver",
		Example: "  mpcd authority passkey ann treasury",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := enrol.MakePasskey(cmd.Context(), args[0], args[1:], port, o.err)
			if err != nil {
				return err
			}
			return o.result(map[string]any{"approver": spec}, func(w io.Writer) { row(w, spec) })
		},
	}
	cmd.Flags().Uint16Var(&port, "port", 0, "of the page; 0 takes a free one")
	return cmd
}

// publicKey prints a key as the authority has it.
func (o *output) publicKey(at string, pub crypto.PublicKey) error {
	der, err := attest.MarshalPublicKey(pub)
	if err != nil {
		return err
	}
	return o.result(map[string]any{"file": at, "key": attest.Hex(der)}, func(w io.Writer) { row(w, attest.Hex(der)) })
}

// readPassphrase reads a passphrase from its source, which a flag of a role names; nil where there is none.
func readPassphrase(source, role string) (*secret.Bytes, error) {
	if source == "" {
		return nil, nil
	}
	p, err := hsm.ReadPIN(absolute(source))
	if err != nil {
		return nil, fault.Usage("correct --"+role+"passphrase", "%s", tokenSource.Replace(err.Error()))
	}
	return p, nil
}

// changeFlags are what becomes of an authority.
func changeFlags(cmd *cobra.Command, c *enrol.Amendment) {
	f := cmd.Flags()
	quorum := func(flag, who string, n *int) {
		f.Func(flag, "how many "+who+"s must sign what they change next, as a `number`", func(s string) (err error) {
			if *n, err = strconv.Atoi(s); err != nil || *n < 1 {
				return errors.New("one " + who + " at least signs a change")
			}
			return nil
		})
	}
	quorum("quorum", "officer", &c.Quorum)
	quorum("author-quorum", "author", &c.AuthorQuorum)
	f.StringSliceVar(&c.Authors, "author", nil, "an author, NAME=KEY: where there are any, they alone change policy and assets")
	f.StringSliceVar(&c.Officers, "officer", nil, "an officer, NAME=KEY")
	f.StringSliceVar(&c.Approvers, "approver", nil, "who must agree where rules say so, as ann=0x30…:treasury+risk[@passkey or @WEBHOOK]")
	f.StringVar(&c.Policy, "policy", "", "a file of rules in Cedar by which every signer judges; init begins with some of its own")
	f.StringSliceVar(&c.Assets, "asset", nil, "an asset whose amounts the rules name, NETWORK/ID=DECIMALS")
	f.StringVar(&c.InitiatorConfig, "initiator-config", "", "a config.yaml of mpcium: its event_initiator_pubkey as initiator event_initiator")
	f.StringSliceVar(&c.Initiators, "initiator", nil, "an initiator, NAME=KEY[:OPERATIONS[:VAULTS]], as payments=0x30…:sign+keygen:trading")
}

func authorityInit(o *output) *cobra.Command {
	var dir string
	var change enrol.Amendment
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Have the operator's root key sign the first authority of a cluster",
		Long: "Writes DIR/authority.json, which says who may ask the cluster for what, and which officers change that. Bring it to a node: it\n" +
			"tells the others. The root key signs the first alone; every later one is by --quorum of the officers.",
		Example: "  mpcd authority init --dir operator --quorum 2 --officer olga=0x… --officer otto=0x… --officer oyuki=0x… \\\n" +
			"      --initiator payments=0x…:sign+keygen --policy rules.cedar",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			a, err := enrol.OpenOperator(dir)
			if err != nil {
				return err
			}
			return o.authority(a.FirstAuthority(change))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the operator's directory (required)")
	changeFlags(cmd, &change)
	return cmd
}

// signer is an officer, or an author, who signs.
type signer struct{ asker }

func (s *signer) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.name, "as", "", "who signs, an officer or an author (required)")
	f.StringVar(&s.key, "key", "", "that one's key file, or with --token its key's name there (required)")
	f.StringVar(&s.passphrase, "passphrase", "", "what opens the file: file:PATH, cred:NAME or env:NAME")
	f.StringVar(&s.token, "token", "", "the HSM, TPM or KMS that has the key, a URI as mpcd hsm list shows")
}

// use lends that one's key.
func (s *signer) use(f func(by string, sign attest.SignFunc) error) error {
	if s.name == "" || s.key == "" {
		return fault.Usage("give --as NAME and --key FILE", "nobody signs")
	}
	return s.asker.use(func(sign attest.SignFunc) error { return f(s.name, sign) })
}

func authorityChange(o *output) *cobra.Command {
	var from, to string
	var change enrol.Amendment
	var by signer
	cmd := &cobra.Command{
		Use:   "change",
		Short: "Write the next authority, signed by one officer or author; the others sign it with `mpcd authority sign`",
		Example: "  mpcd authority change --from authority.json --to next.json --initiator hot=0x…:sign:trading --as olga --key olga.key\n" +
			"  mpcd authority sign next.json --as otto --key otto.key",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := enrol.ReadChain(from)
			if err != nil {
				return err
			}
			return by.use(func(name string, sign attest.SignFunc) error {
				next, err := enrol.Successor(c, change, name, sign)
				if err != nil {
					return err
				}
				if to == "" {
					return fault.Usage("give --to FILE", "no file for the next authority")
				}
				if err := enrol.WriteNewChain(to, next); err != nil {
					return err
				}
				return o.authority(next, nil)
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the authority in force (required)")
	cmd.Flags().StringVar(&to, "to", "", "file for the next (required)")
	cmd.Flags().StringSliceVar(&change.Remove, "remove", nil, "an officer, author, initiator or approver who goes")
	changeFlags(cmd, &change)
	by.register(cmd)
	return cmd
}

func authoritySign(o *output) *cobra.Command {
	var by signer
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Add an officer's or author's signature to the last authority in a file; look at it first: `mpcd authority show`",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := enrol.ReadChain(args[0])
			if err != nil {
				return err
			}
			return by.use(func(name string, sign attest.SignFunc) error {
				signed, err := enrol.Endorse(c, name, sign)
				if err != nil {
					return err
				}
				if err := enrol.WriteChain(args[0], signed); err != nil {
					return err
				}
				return o.authority(signed, nil)
			})
		},
	}
	by.register(cmd)
	return cmd
}

func authorityShow(o *output) *cobra.Command {
	var root string
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show an authority: who may ask for what, who changes it, who has signed",
		Long:  "With --root it is judged whether the whole chain holds, as nodes do.",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if root != "" {
				pub, err := host.ParseRoot(root)
				if err != nil {
					return err
				}
				if _, err := host.ReadAuthority(args[0], pub); err != nil {
					return err
				}
			}
			return o.authority(enrol.ReadChain(args[0]))
		},
	}
	cmd.Flags().StringVar(&root, "root", "", "the operator's public key")
	return cmd
}

func authoritySettle(o *output) *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:   "settle FILE",
		Short: "Have a stopped node go by the authority in a file, where officers have signed two of one serial",
		Long: "A node keeps to the authority that it has used, and refuses another of the same serial: which one is meant it cannot tell.\n" +
			"Find that out, have them sign on from it, stop each node that has used the other, and run this there. The file is judged as ever,\n" +
			"and its serial is not lower than that of the one the node has used. It is put on record (authority.settled), and into the file that\n" +
			"mpcd.yaml names. Keep the other chain: receipts under it are judged by it.",
		Example: "  mpcd authority settle next.json --config mpcd.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			chain, err := host.SettleAuthority(cmd.Context(), c, o.options("error"), args[0])
			if err != nil {
				return fault.Doing("settle", err)
			}
			return o.authority(chain, nil)
		},
	}
	flags.register(cmd)
	return cmd
}

// authority shows the last of a chain.
func (o *output) authority(c attest.AuthorityChain, err error) error {
	if err != nil {
		return err
	}
	return o.rows(c[len(c)-1], enrol.AuthorityRows(c))
}
