package main

import (
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

const evidenceHelp = "--evidence says what must be known of a node's cosign and attest keys:\n" +
	"  hardware  a token that is hardware reports that it made them and never lets them out, or a TPM proves it\n" +
	"  proof     a TPM proves it: its certificate leads to --tpm-roots, and it answered a challenge (`mpcd node challenge`)\n" +
	"  any       nothing: software and tokens without evidence pass, with a warning; for a pilot\n" +
	"Evidence that is broken (for another node or key, changed) is refused always."

// evidenceFlags say how evidence is judged.
type evidenceFlags struct {
	enrol.Wanted
	answers []string
}

func (f *evidenceFlags) register(cmd *cobra.Command, policy string) {
	cmd.Flags().StringVar(&f.Evidence, "evidence", policy, "what evidence suffices: hardware, proof or any")
	cmd.Flags().StringVar(&f.TPMRoots, "tpm-roots", "", "PEM file with the certificates of makers of TPMs; self-signed ones are trusted")
	cmd.Flags().StringVar(&f.GoogleRoots, "google-roots", "", "PEM file with the root certificates of Google's Cloud HSM")
	cmd.Flags().StringArrayVar(&f.answers, "answers", nil, "what mpcd node answer printed, or a directory of such files; may be repeated")
	cmd.Flags().BoolVar(&f.Emulators, "dev", false, "let a TPM that is an emulator prove its keys, for tests")
}

// judge appraises enrolments, and prints what was found, also where it refuses.
func (f *evidenceFlags) judge(o *output, root ed25519.PublicKey, es []enrol.Enrolment) ([]enrol.Judgement, error) {
	p, err := f.Policy()
	if err != nil {
		return nil, err
	}
	answers, err := enrol.ReadAnswers(f.answers)
	if err != nil {
		return nil, err
	}
	judged, unused, err := enrol.Judge(p, root, es, answers, time.Now())
	for _, a := range unused {
		o.note("warning: an answer of node %q of cluster %q is for none of these enrolments", a.Challenge.Node, a.Challenge.Cluster)
	}
	var all []enrol.Verdict
	for _, j := range judged {
		all = append(all, j.Findings...)
	}
	warnings(o, all)
	o.evidenceTable(all)
	return judged, err
}

func nodeChallenge(o *output) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "challenge ENROLMENT.json",
		Short: "Make a challenge to the TPM of an enrolment, at the operator's",
		Long: "Only the TPM whose endorsement certificate is in the enrolment can answer it, " +
			"and only if the key that certified the node's keys is\n" +
			"in it. Bring it to the node, answer it with `mpcd node answer`, " +
			"and give the answer to `mpcd node roster sign --answers`. The operator's\n" +
			"root key signs it, so that nothing has to be kept here.",
		Example: "  mpcd node challenge --dir operator enrolment-node1.json > challenge-node1.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			a, err := enrol.OpenOperator(dir)
			if err != nil {
				return err
			}
			e, err := enrol.ReadEnrolment(args[0])
			if err != nil {
				return err
			}
			c, err := a.Challenge(rand.Reader, e)
			if err != nil {
				return fault.Doing("make a challenge", err)
			}
			return o.indented(c)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "directory that mpcd node roster init made")
	return cmd
}

func nodeAnswer(o *output) *cobra.Command {
	var flags nodeFlags
	cmd := &cobra.Command{
		Use:     "answer CHALLENGE.json",
		Short:   "Let this node's TPM answer the operator's challenge",
		Long:    "Opens this node's token, so the node must not run. Prints the answer, for `mpcd node roster sign --answers`.",
		Example: "  mpcd node answer --config /etc/mpcd/mpcd.yaml challenge-node1.json > answer-node1.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.load()
			if err != nil {
				return err
			}
			ch, err := enrol.ReadChallenge(args[0])
			if err != nil {
				return err
			}
			root, err := c.Operator()
			if err != nil {
				return err
			}
			if root == nil {
				o.note("warning: roster_root is no key; whose challenge it is has not been checked")
			}
			if err := ch.Check(root); err != nil {
				return err
			}
			a, err := enrol.Respond(cmd.Context(), c, o.options("warn"), ch)
			if err != nil {
				return err
			}
			return o.indented(a)
		},
	}
	flags.register(cmd)
	return cmd
}

func nodeEvidence(o *output) *cobra.Command {
	var flags evidenceFlags
	var pin string
	cmd := &cobra.Command{
		Use:   "evidence FILE.json",
		Short: "Judge the evidence of an enrolment again, and say what is proven and what is reported",
		Long: "Reads what `mpcd node enroll` printed, " +
			"or what `mpcd node roster sign` kept in DIR/evidence/, with the answers in it. It needs no\n" +
			"token, node or network.\n\n" + evidenceHelp,
		Example: "  mpcd node evidence --tpm-roots makers.pem --root 0x… operator/evidence/node1.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := flags.Policy()
			if err != nil {
				return err
			}
			j, err := enrol.ReadJudgement(args[0])
			if err != nil {
				return err
			}
			more, err := enrol.ReadAnswers(flags.answers)
			if err != nil {
				return err
			}
			j.Answers = append(j.Answers, more...)
			var root ed25519.PublicKey
			if pin != "" {
				if root, err = host.ParseRoot(pin); err != nil {
					return err
				}
			} else if len(j.Answers) > 0 {
				o.note("warning: no --root given; whose challenges were answered has not been checked")
			}
			refused := j.Judge(p, root, time.Now())
			if len(j.Findings) == 0 {
				return refused
			}
			return errors.Join(o.result(j.Findings, func(w io.Writer) {
				printFindings(w, j.Findings)
				explainFindings(w, j.Findings)
			}), refused)
		},
	}
	flags.register(cmd, "any")
	cmd.Flags().StringVar(&pin, "root", "", "the operator's public key, whose challenges were answered")
	return cmd
}

// indented writes v as JSON for a file.
func (o *output) indented(v any) error {
	e := json.NewEncoder(o.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// evidenceTable writes findings to stderr, since stdout is for a file or a program.
func (o *output) evidenceTable(all []enrol.Verdict) {
	w := tabwriter.NewWriter(o.err, 0, 4, 2, ' ', 0)
	printFindings(w, all)
	_ = w.Flush()
}

// summary shows what the operator will find in an enrolment, without roots and challenges.
func (o *output) summary(e enrol.Enrolment) error {
	all, err := e.Appraise(appraise.Any(), time.Now(), nil)
	o.evidenceTable(all)
	for _, f := range all {
		if f.Level == appraise.None {
			for _, x := range f.Problems {
				o.note("key %s: %s", f.Role, x.Fact)
			}
		}
	}
	return err
}

// printFindings writes a row for each key.
func printFindings(w io.Writer, all []enrol.Verdict) {
	row(w, "NODE", "KEY", "EVIDENCE", "OF", "TOKEN")
	for _, f := range all {
		row(w, f.Node, f.Role, f.Level, cmp.Or(f.Format, "-"), map[bool]string{true: "SOFTWARE"}[f.Software])
	}
}

// explainFindings writes what is proven and what is reported of each key, apart.
func explainFindings(w io.Writer, all []enrol.Verdict) {
	for _, f := range all {
		row(w)
		row(w, fmt.Sprintf("%s, key %s (%s): %s", f.Node, f.Role, f.Type, f.Level))
		for _, x := range f.Proven {
			row(w, "  proven:   "+string(x))
		}
		for _, x := range f.Reported {
			row(w, "  reported: "+string(x))
		}
		for _, x := range f.Problems {
			row(w, "  problem:  "+x.Fact)
			row(w, "    do:     "+x.Next)
		}
	}
}

// warnings are what stands against the keys: what is no hardware, and what is missing.
func warnings(o *output, all []enrol.Verdict) {
	for _, f := range all {
		for _, x := range f.Problems {
			o.note("warning: node %q, key %s (%s): %s; %s", f.Node, f.Role, f.Level, x.Fact, x.Next)
		}
	}
}
