package enrol

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
)

// Challenge asks the TPMs of one enrolment to show that their attestation key and their endorsement key are in one TPM. The operator's
// root key signs it, with the hash of each answer, so that the operator need keep nothing.
type Challenge struct {
	Version   int              `json:"version"`
	Cluster   string           `json:"cluster"`
	Node      string           `json:"node"`
	Enrolment attest.Hash      `json:"enrolment"` // its digest
	Tokens    []TokenChallenge `json:"tokens"`
	Root      attest.Hex       `json:"root"`
	Signature attest.Hex       `json:"signature"`
}

// TokenChallenge is for one TPM, with what tells the right answer.
type TokenChallenge struct {
	Challenge attest.Hex        `json:"challenge"`
	Expected  appraise.Expected `json:"expected"`
}

// Answer is a Challenge with what the TPMs found in it.
type Answer struct {
	Challenge Challenge    `json:"challenge"`
	Answers   []attest.Hex `json:"answers"` // of its tokens, in their order
}

const tokensMax = 8 // of a challenge

func (c Challenge) digest() []byte {
	h := canon.Hash("mpcd/v1/enrolment/challenge", []byte(c.Cluster), []byte(c.Node), c.Enrolment[:], canon.MustMarshal(c.Tokens))
	return h[:]
}

// Check verifies the signature. A root of nil takes the challenge's word for who its operator is.
func (c Challenge) Check(root ed25519.PublicKey) error {
	if c.Version != 1 || len(c.Root) != ed25519.PublicKeySize || len(c.Tokens) == 0 || len(c.Tokens) > tokensMax {
		return fault.Usage("use what `mpcd node challenge` printed", "not a challenge of this version")
	}
	if root != nil && !root.Equal(ed25519.PublicKey(c.Root)) {
		err := fmt.Errorf("the challenge is of root %s, not of the operator's %s", c.Root, attest.Hex(root))
		return &fault.Error{Code: fault.CodeIntegrity, Err: err, Do: "fetch it from the operator again"}
	}
	if !ed25519.Verify(ed25519.PublicKey(c.Root), c.digest(), c.Signature) {
		return &fault.Error{Code: fault.CodeIntegrity, Err: errors.New("the challenge was changed: its signature does not verify"),
			Do: "fetch it from the operator again"}
	}
	return nil
}

// Challenge makes a challenge to each TPM of the enrolment.
func (a *Operator) Challenge(random io.Reader, e Enrolment) (Challenge, error) {
	c := Challenge{Version: 1, Cluster: e.Cluster, Node: e.Node, Enrolment: attest.Hash(e.digest()), Root: attest.Hex(a.Root())}
	if e.Cluster != a.cluster {
		return c, fault.Usage("use the operator's directory of that cluster",
			"node %q enrolled in cluster %q, this is %q", e.Node, e.Cluster, a.cluster)
	}
	var asked []hsm.KeyEvidence
	for _, k := range e.Evidence {
		if k.Evidence == nil || host.Challenges[k.Evidence.Format] == nil || slices.ContainsFunc(asked,
			func(x hsm.KeyEvidence) bool { return appraise.SameTPM(x, *k.Evidence) }) {
			continue
		}
		asked = append(asked, *k.Evidence)
		b, secret, err := host.Challenges[k.Evidence.Format](random, *k.Evidence)
		if err != nil {
			return c, err
		}
		expected, err := appraise.Expect(*k.Evidence, secret)
		if err != nil {
			return c, err
		}
		c.Tokens = append(c.Tokens, TokenChallenge{b, expected})
	}
	if len(c.Tokens) == 0 {
		return c, fault.Usage("sign the roster without; other tokens than TPMs answer no challenge", "node %q shows no evidence of a TPM", e.Node)
	}
	c.Signature = ed25519.Sign(a.root, c.digest())
	return c, nil
}

// Respond lets the node's TPMs answer.
func Respond(ctx context.Context, c host.Config, o host.Options, ch Challenge) (out Answer, err error) {
	if ch.Cluster != c.Cluster || ch.Node != string(c.Node) {
		return out, fault.Usage("answer it on that node",
			"the challenge is for node %q of cluster %q, this is %q of %q", ch.Node, ch.Cluster, c.Node, c.Cluster)
	}
	held, err := host.LockTokens(c)
	if err != nil {
		return out, err
	}
	defer held.Close()
	t, err := host.OpenTokens(ctx, c, o)
	if err != nil {
		return out, fault.Doing("open the token", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	out.Challenge = ch
	for _, x := range ch.Tokens {
		secret, err := answerOne(ctx, t.All(), x.Challenge)
		if err != nil {
			return out, fault.Doing("answer", err)
		}
		out.Answers = append(out.Answers, secret)
	}
	return out, nil
}

// answerOne asks each token that can.
func answerOne(ctx context.Context, tokens []hsm.Token, challenge []byte) ([]byte, error) {
	err := fmt.Errorf("%w: no token of this node answers challenges; a TPM does", hsm.ErrUnsupported)
	for _, o := range tokens {
		a, ok := hsm.As[interface {
			Answer(ctx context.Context, challenge []byte) ([]byte, error)
		}](o)
		if !ok {
			continue
		}
		var secret []byte
		if secret, err = a.Answer(ctx, challenge); err == nil {
			return secret, nil
		}
		if errors.Is(err, hsm.ErrIntegrity) {
			err = &fault.Error{Code: fault.CodeIntegrity, Err: err,
				Do: "have the operator make one for the newest enrolment of this node, and answer it with the TPM that enrolled"}
		}
	}
	return nil, err
}

// bindings checks an answer for the enrolment.
func (a Answer) bindings(root ed25519.PublicKey, e Enrolment) ([]appraise.Binding, error) {
	if err := a.Challenge.Check(root); err != nil {
		return nil, err
	}
	if !bytes.Equal(a.Challenge.Enrolment[:], e.digest()) || a.Challenge.Node != e.Node || len(a.Answers) != len(a.Challenge.Tokens) {
		return nil, &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("the answer is not for this enrolment of node %q", e.Node),
			Do: "make a challenge for this enrolment, and answer it"}
	}
	var out []appraise.Binding
	for i, x := range a.Challenge.Tokens {
		b, err := x.Expected.Check(a.Answers[i])
		if err != nil {
			return nil, &fault.Error{Code: fault.CodeIntegrity, What: fmt.Sprintf("answer of node %q", e.Node), Err: err,
				Do: "answer the challenge again, with the TPM that enrolled; if it comes again, its attestation key is not in it"}
		}
		out = append(out, b)
	}
	return out, nil
}
