package dkls23

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

const nonceLen = 32

// Agree is step O1 of PROTOCOLS A.3.5: the signers agree which request each presignature is for, before any share leaves. It is a
// session of one message each, its OPEN: presignatures, digests and tweaks are its context, so that another view makes a Retry abort
// (C19), and a fresh nonce of every signer is its payload. The result, in the order of the signers, goes into
// SignRequest.Agreement of every request; the nonces make the re-randomisation unpredictable to whoever chose the digests.
//
// OPENs are not echoed here: a party that sends two nonces splits the honest ones over two δ, and no signature comes of it. All of them
// sign the same request even so; that the shares tell nothing then is argued in doc.go.
//
// The requests carry their presignatures, all of the session's signers. From here on each signs this request or none: a second call
// returns threshold.ErrBurnt, and a session that fails or is erased burns them.
func (x Scheme) Agree(s threshold.Setup, reqs []threshold.SignRequest, rand io.Reader) (*threshold.Session[[][32]byte], error) {
	if len(reqs) == 0 || len(reqs) > MaxBatch {
		return nil, fmt.Errorf("dkls23: agreement on %d requests, a session takes 1 to %d", len(reqs), MaxBatch)
	}
	a := &agreement{signers: s.Signers, self: s.Self}
	h := canon.NewHasher("mpcd/v1/dkls23/agree", 2+2*len(reqs))
	h.Field([]byte(protocol))
	h.Field(s.Context)
	active := slices.Contains(s.Signers, s.Self)
	var requests [][32]byte
	for _, r := range reqs {
		p, err := preparedOf(r.Pre)
		if err != nil {
			return nil, err
		}
		if !slices.Equal(p.signers, s.Signers) {
			return nil, errors.New("dkls23: presignature of other signers than the session's")
		}
		if p.bound != nil || r.Agreement != nil {
			return nil, errors.New("dkls23: this presignature is for one request already, there is nothing to agree on")
		}
		b, err := newBinding(p.key, r)
		if err != nil {
			return nil, err
		}
		request := b.digest(p.id)
		requests = append(requests, request)
		h.Field(p.key.digest[:])
		h.Field(request[:])
		if !active {
			continue
		}
		n, ok := r.Pre.Nonces.(*secrets)
		if !ok || n.party != s.Self {
			return nil, errObserved
		}
		a.secrets = append(a.secrets, n)
	}
	sum := h.Sum()
	s.Context = sum[:]
	if active {
		if err := a.reserve(requests, rand); err != nil {
			return nil, err
		}
	}
	return threshold.NewSession(s, rand, threshold.Opening[[][32]byte]{
		Payload: a.nonce, PayloadLen: nonceLen, Begin: a.begin, Erase: a.erase, Discard: func([][32]byte) { a.burn() },
		Judge: func(ab *threshold.Abort) error {
			return threshold.Rejudge(s, ab, func(t *threshold.Transcript, culprit threshold.PartyID) error {
				return judgeOpen(s, nonceLen, t, culprit)
			})
		},
		Check: func(_ threshold.PartyID, b []byte) (threshold.Payload, error) { return [32]byte(b), nil },
	})
}

// agreement is one party's state during Agree.
type agreement struct {
	signers []threshold.PartyID
	self    threshold.PartyID
	nonce   []byte     // ours; nil on an observer
	secrets []*secrets // none on an observer
	done    bool
}

func (a *agreement) reserve(requests [][32]byte, rand io.Reader) error {
	a.nonce = make([]byte, nonceLen)
	_, err := io.ReadFull(rand, a.nonce)
	for i := 0; err == nil && i < len(a.secrets); i++ {
		err = a.secrets[i].reserve(requests[i])
	}
	if err != nil {
		a.burn()
	}
	return err
}

// begin has every signer's nonce: the session's ID stands for the same request on all sides.
func (a *agreement) begin(_ io.Reader, _ threshold.SessionID, in []threshold.Received) (threshold.Step[[][32]byte], error) {
	nonces := make([][32]byte, 0, len(a.signers))
	for _, s := range a.signers {
		if s == a.self {
			nonces = append(nonces, [32]byte(a.nonce))
			continue
		}
		nonces = append(nonces, in[0].Payload.([32]byte))
		in = in[1:]
	}
	for _, n := range a.secrets {
		if err := n.settle(slices.Clone(nonces)); err != nil {
			a.burn()
			return threshold.Step[[][32]byte]{}, err
		}
	}
	a.done = true
	return threshold.Step[[][32]byte]{Result: nonces}, nil
}

func (a *agreement) burn() {
	for _, n := range a.secrets {
		n.Burn()
	}
}

func (a *agreement) erase() {
	if !a.done {
		a.burn()
	}
}
