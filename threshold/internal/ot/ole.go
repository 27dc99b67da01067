package ot

import (
	"crypto/subtle"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// The random vector OLE of DKLs23 (ePrint 2023/765, Protocol 5.2; PROTOCOLS A.3.2).

// Offsets in the two messages.
const (
	offU     = saltLen
	offClaim = offU + trees*rowLen // x~, then t~
	offA     = saltLen             // a~_{j,i}, transfer by transfer
	offEta   = offA + xi*width*scalar
	offMu    = offEta + scalar
)

// Receiving is Bob's side of one vector OLE in progress. It ends with Finish or Wipe.
type Receiving struct {
	r       *Receiver // for its spare only: Receiver may be wiped meanwhile
	session [32]byte
	beta    [words]uint64
	t       columns
	spent   bool
}

// Start begins a vector OLE as Bob, with a random b. sid is the session id of this pair and direction, never used twice. msg1, Msg1Len
// bytes, goes to Alice. The caller wipes b.
func (r *Receiver) Start(sid [32]byte, rand io.Reader) (receiving *Receiving, b *secp256k1.Scalar, msg1 []byte, err error) {
	var random [dataLen + lambdaC/8 + saltLen]byte
	if _, err := io.ReadFull(rand, random[:]); err != nil {
		return nil, nil, nil, randError(err)
	}
	work := r.spare.take()
	defer r.spare.give(work)
	var choice row // c = β || m
	choice.setBytes(random[:rowLen])
	msg1 = make([]byte, Msg1Len)
	copy(msg1, random[rowLen:])
	clear(random[:])

	x := &Receiving{r: r, session: sessionKey(&sid, msg1[:saltLen]), beta: choice.data}
	b = new(secp256k1.Scalar)
	gadgetSum(b, &x.beta)
	u := msg1[offU:offClaim]
	r.expand(&x.session, &choice, &work.matrix, u)
	check := newCheckHash(&x.session, u)
	check.of(&choice).put(msg1[offClaim:])
	for i := range work.matrix {
		check.of(&work.matrix[i]).put(msg1[offClaim+16*(i+1):])
	}
	x.t.setRows(&work.matrix)
	choice = row{}
	return x, b, msg1, nil
}

// Reply answers Bob's msg1 as Alice with her two inputs a, and returns her shares c and the Msg2Len bytes that go to Bob. It checks the
// extension (C7): an error that wraps ErrCheat bans Bob before he learns of it; ErrMalformed is a wrong length (C3). Bob's shares d
// fulfil c_i + d_i = a_i·b. The caller wipes c.
func (s *Sender) Reply(sid [32]byte, msg1 []byte, a *[ell]secp256k1.Scalar,
	rand io.Reader) (c [ell]secp256k1.Scalar, msg2 []byte, err error) {
	if len(msg1) != Msg1Len {
		return c, nil, malformed("first message of a vector OLE has %d bytes, want %d", len(msg1), Msg1Len)
	}
	work := s.spare.take()
	defer s.spare.give(work)
	session := sessionKey(&sid, msg1[:saltLen])
	u := msg1[offU:offClaim]
	s.expand(&session, u, &work.matrix)
	if s.holds(newCheckHash(&session, u), &work.matrix, msg1[offClaim:]) != 1 {
		return c, nil, cheat("C7: the oblivious-transfer extension is inconsistent")
	}
	work.column.setRows(&work.matrix)

	msg2 = make([]byte, Msg2Len)
	if _, err := io.ReadFull(rand, msg2[:saltLen]); err != nil {
		return c, nil, randError(err)
	}
	work.input[0], work.input[1] = a[0], a[1]
	if err := randomScalar(&work.input[ell], rand); err != nil {
		return c, nil, err
	}

	// a~_{j,i} = α0 - α1 + a_i.
	hash := newRandomiser(&session, msg2[:saltLen])
	var alpha1, diff secp256k1.Scalar
	for j := range xi {
		q := work.column[j]
		p := element{q.lo ^ s.delta.lo, q.hi ^ s.delta.hi}
		for i := range width {
			alpha0 := &work.scalar[i][j]
			hash.scalar(alpha0, j, i, q)
			hash.scalar(&alpha1, j, i, p)
			diff.Sub(alpha0, &alpha1)
			diff.Add(&diff, &work.input[i])
			diff.PutBytes((*[scalar]byte)(msg2[offA+(j*width+i)*scalar:]))
		}
	}

	// η = a^ + θ·a and μ_j = α0_{j,3} + θ·α0_j. The paper's two typos here are corrected: see doc.go.
	theta := hash.theta(msg2[offA:offEta])
	var eta secp256k1.Scalar
	eta.MulAddMulAdd(&theta[0], &work.input[0], &theta[1], &work.input[1], &work.input[ell])
	eta.PutBytes((*[scalar]byte)(msg2[offEta:]))
	for j := range xi {
		diff.MulAddMulAdd(&theta[0], &work.scalar[0][j], &theta[1], &work.scalar[1][j], &work.scalar[ell][j])
		diff.PutBytes((*[scalar]byte)(work.mu[j*scalar:]))
	}
	sum := hash.mu(work.mu[:])
	copy(msg2[offMu:], sum[:])

	for i := range c {
		c[i].InnerProduct(gadget[:], work.scalar[i][:])
		c[i].Negate(&c[i])
	}
	alpha1.Wipe()
	diff.Wipe()
	hash.wipe()
	return c, msg2, nil
}

// Finish takes Alice's msg2 and returns Bob's shares d. It checks her consistency (C8): an error that wraps ErrCheat bans her before she
// learns of it; ErrMalformed is a wrong length (C3) or a scalar that is not canonical (C4). Receiving is spent in every case. The caller
// wipes d.
func (x *Receiving) Finish(msg2 []byte) (d [ell]secp256k1.Scalar, err error) {
	if x.spent {
		return d, ErrSpent
	}
	defer x.Wipe()
	if len(msg2) != Msg2Len {
		return d, malformed("second message of a vector OLE has %d bytes, want %d", len(msg2), Msg2Len)
	}
	var eta secp256k1.Scalar
	if _, err := eta.SetBytes(msg2[offEta : offEta+scalar]); err != nil {
		return d, malformed("scalar eta: %v", err)
	}
	work := x.r.spare.take()
	defer x.r.spare.give(work)

	hash := newRandomiser(&x.session, msg2[:saltLen])
	theta := hash.theta(msg2[offA:offEta])
	var zero, tilde, term, check, masked secp256k1.Scalar
	for j := range xi {
		beta := bitOf(&x.beta, j)
		for i := range width {
			at := offA + (j*width+i)*scalar
			if _, err := tilde.SetBytes(msg2[at : at+scalar]); err != nil {
				return d, malformed("scalar a~ %d of transfer %d: %v", i, j, err)
			}
			hash.scalar(&term, j, i, x.t[j])
			term.Add(&term, masked.Select(&tilde, &zero, beta))
			if i < ell {
				work.scalar[i][j] = term
			}
		}
		term.Sub(&term, masked.Select(&eta, &zero, beta))
		check.MulAddMulAdd(&theta[0], &work.scalar[0][j], &theta[1], &work.scalar[1][j], &term)
		check.PutBytes((*[scalar]byte)(work.mu[j*scalar:]))
	}
	sum := hash.mu(work.mu[:])
	good := subtle.ConstantTimeCompare(sum[:], msg2[offMu:])
	hash.wipe()
	term.Wipe()
	check.Wipe()
	masked.Wipe()
	if good != 1 {
		return d, cheat("C8: the inputs of the vector OLE are inconsistent")
	}
	for i := range d {
		d[i].InnerProduct(gadget[:], work.scalar[i][:])
	}
	return d, nil
}

// Wipe destroys what Bob keeps. It is idempotent, and does nothing on nil.
func (x *Receiving) Wipe() {
	if x == nil {
		return
	}
	*x = Receiving{spent: true}
}

// Format redacts under every verb.
func (x Receiving) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }
