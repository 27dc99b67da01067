package dkls23

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// begin follows OPEN: draw r_i and φ_i, commit to R_i, start the vector OLE as Bob with everybody (R1).
func (p *presigning) begin(rand io.Reader, id threshold.SessionID, _ []threshold.Received) (_ step, err error) {
	p.id = id
	for i, e := range p.entries {
		e.sid = canon.Hash("mpcd/v1/dkls23/entry", id[:], uint32Bytes(i))
	}
	if !p.active {
		return step{Next: &round1{p: p}}, nil
	}
	defer func() {
		if err != nil {
			p.erase()
		}
	}()
	if err := p.draw(rand); err != nil {
		return step{}, err
	}
	com := p.commit(p.setup.Self, p.encoded(), p.salt[:])
	out := []threshold.Outgoing{{To: threshold.Everybody, Body: com[:]}}
	for _, x := range p.peers {
		body := make([]byte, 0, len(p.entries)*direct1Len)
		err := x.use(func() error {
			for _, e := range p.entries {
				t := &transfer{}
				x.ole = append(x.ole, t)
				receiving, b, msg, err := x.receiver.Start(directed(e.sid, p.setup.Self, x.peer), rand)
				if err != nil {
					return err
				}
				t.receiving, t.chi = receiving, *b
				b.Wipe()
				body = append(body, msg...)
			}
			return nil
		})
		if err != nil {
			return step{}, err
		}
		out = append(out, threshold.Outgoing{To: x.peer, Body: body})
	}
	return step{Out: out, Next: &round1{p: p}}, nil
}

// draw makes the secrets of every entry: r_i, φ_i and sk_i = λ_i·x_i + ζ_i.
func (p *presigning) draw(rand io.Reader) error {
	for _, x := range p.peers {
		if _, err := io.ReadFull(rand, x.key[:]); err != nil {
			return fmt.Errorf("dkls23: no randomness: %w", err)
		}
	}
	if _, err := io.ReadFull(rand, p.salt[:]); err != nil {
		return fmt.Errorf("dkls23: no randomness: %w", err)
	}
	lambda := &lagrange(p.setup.Self, p.setup.Signers).(*group.SkScalar).S
	for _, e := range p.entries {
		for _, s := range []*secp256k1.Scalar{&e.r, &e.phi} {
			if err := randomScalar(s, rand); err != nil {
				return err
			}
		}
		e.point.ScalarBaseMult(&e.r)
		if _, err := e.sk.SetBytes(e.share.Secret()); err != nil {
			return errors.New("dkls23: key share is not a scalar: the record is corrupt")
		}
		e.sk.Mul(&e.sk, lambda)
		for _, x := range p.peers {
			if err := x.use(func() error {
				z := x.zeroShare(p.setup.Self, e.sid)
				e.sk.Add(&e.sk, z)
				z.Wipe()
				return nil
			}); err != nil {
				return err
			}
		}
		e.public.ScalarBaseMult(&e.sk)
	}
	return nil
}

func randomScalar(s *secp256k1.Scalar, rand io.Reader) error {
	var wide [64]byte
	defer clear(wide[:])
	if _, err := io.ReadFull(rand, wide[:]); err != nil {
		return fmt.Errorf("dkls23: no randomness: %w", err)
	}
	_, err := s.SetUniformBytes(wide[:])
	return err
}

// encoded is our public values, R_i ‖ pk_i of every entry.
func (p *presigning) encoded() []byte {
	ps := make([]*secp256k1.Point, 0, 2*len(p.entries))
	for _, e := range p.entries {
		ps = append(ps, &e.point, &e.public)
	}
	return slices.Concat(secp256k1.BatchBytes(ps)...)
}

// commit is com_i = H("com-R"; sid, i, R_i of every entry, salt_i), of public values in the form of encoded.
func (p *presigning) commit(from threshold.PartyID, public, salt []byte) [32]byte {
	return commitment(p.id, from, len(p.entries), public, salt)
}

func commitment(id threshold.SessionID, from threshold.PartyID, entries int, public, salt []byte) [32]byte {
	h := canon.NewHasher("mpcd/v1/dkls23/commitment", 3+entries)
	h.Field(id[:])
	h.Field(partyBytes(from))
	for i := range entries {
		h.Field(public[i*public2Len:][:pointLen])
	}
	h.Field(salt)
	return h.Sum()
}

func (p *presigning) peer(id threshold.PartyID) *peer {
	return p.peers[slices.IndexFunc(p.peers, func(x *peer) bool { return x.peer == id })]
}

// erase wipes every secret of the session. It is idempotent.
func (p *presigning) erase() {
	for _, e := range p.entries {
		e.r.Wipe()
		e.phi.Wipe()
		e.sk.Wipe()
	}
	for _, x := range p.peers {
		clear(x.key[:])
		for _, t := range x.ole {
			t.wipe()
		}
	}
}

func (t *transfer) wipe() {
	t.chi.Wipe()
	t.psi.Wipe()
	for i := range t.c {
		t.c[i].Wipe()
		t.d[i].Wipe()
	}
	if t.receiving != nil {
		t.receiving.Wipe()
	}
}
