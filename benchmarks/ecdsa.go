package benchmarks

import (
	"crypto/rand"

	"github.com/luxfi/mpcd/threshold"
)

// PairedPooler is a scheme that signs with pair state, from a pool.
type PairedPooler interface {
	threshold.Pairer
	threshold.Pooler
}

// EngineECDSA is a key of such a scheme, all its parties in this process.
type EngineECDSA struct {
	quorum
	scheme PairedPooler
	paired map[threshold.PartyID]threshold.Pooler // with the party's pair state
}

// NewEngineECDSA makes the pair state of the key's committee.
func NewEngineECDSA(s PairedPooler, shares []*threshold.KeyShare) (*EngineECDSA, error) {
	pairs, err := EnginePairSetup(s, shares[0].Committee)
	if err != nil {
		return nil, err
	}
	e := &EngineECDSA{newQuorum(s, shares), s, map[threshold.PartyID]threshold.Pooler{}}
	for p, state := range pairs {
		paired, err := s.WithPairState(state)
		if err != nil {
			return nil, err
		}
		e.paired[p] = paired.(threshold.Pooler) // s is one
	}
	return e, nil
}

// EnginePairSetup is the pair setup of a whole committee.
func EnginePairSetup(s threshold.Pairer, c threshold.Committee) (map[threshold.PartyID]threshold.PairState, error) {
	return run(c.Parties, func(_ int, p threshold.PartyID) (*threshold.Session[threshold.PairState], error) {
		return s.NewPairState(threshold.Setup{Committee: c, Self: p}, 1, rand.Reader)
	})
}

// presign makes n presignatures: for the requests, or, if there are none, for any.
func (e *EngineECDSA) presign(n int, reqs []threshold.SignRequest) (presignatures, error) {
	setup, err := e.setup()
	if err != nil {
		return nil, err
	}
	return run(e.signers, func(i int, p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
		if reqs == nil {
			return e.paired[p].Presign(setup(p), e.keys(i, n), rand.Reader)
		}
		return e.paired[p].PresignFor(setup(p), e.keys(i, n), reqs, rand.Reader)
	})
}

// Interactive makes n signatures in one session, nothing precomputed: OPEN, R1, R2, shares.
func (e *EngineECDSA) Interactive(n int) error {
	reqs := requests(n)
	pres, err := e.presign(n, reqs)
	if err != nil {
		return err
	}
	for i, req := range reqs {
		if err := e.finish(req, pres, i); err != nil {
			return err
		}
	}
	return nil
}

// Presigned signs with presignatures from first to last of pres, in one session of agreement, then shares.
func (e *EngineECDSA) Presigned(pres presignatures, first, last int) error {
	setup, err := e.setup()
	if err != nil {
		return err
	}
	reqs := requests(last - first)
	agreed, err := run(e.signers, func(_ int, p threshold.PartyID) (*threshold.Session[[][32]byte], error) {
		mine := make([]threshold.SignRequest, len(reqs))
		for i := range mine {
			mine[i] = reqs[i]
			mine[i].Pre = pres[p][first+i]
		}
		return e.scheme.Agree(setup(p), mine, rand.Reader)
	})
	if err != nil {
		return err
	}
	for i, req := range reqs {
		req.Agreement = agreed[e.signers[0]]
		if err := e.finish(req, pres, first+i); err != nil {
			return err
		}
	}
	return nil
}

// measurements of the scheme that no other has. What signs with presignatures has made them outside of the measured time.
func (e *EngineECDSA) measurements() []measurement {
	const batch = 16
	var pres presignatures
	fill := func() (err error) { pres, err = e.presign(batch, nil); return err }
	return []measurement{
		{"sign", 1, nil, func() error { return e.Interactive(1) }},
		{"sign in batches of 16", batch, nil, func() error { return e.Interactive(batch) }},
		{"sign with a presignature", batch, fill, func() error {
			for i := range batch {
				if err := e.Presigned(pres, i, i+1); err != nil {
					return err
				}
			}
			return nil
		}},
		{"sign with a presignature in batches of 16", batch, fill, func() error { return e.Presigned(pres, 0, batch) }},
		{"pair setup", 1, nil, func() error {
			pairs, err := EnginePairSetup(e.scheme, e.info.Committee)
			for _, p := range pairs {
				p.Destroy()
			}
			return err
		}},
	}
}
