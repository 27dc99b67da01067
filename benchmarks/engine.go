package benchmarks

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Figure is one measured number.
type Figure struct {
	Name  string
	Value float64
	Unit  string
	Note  string // how many runs, clients, what was shared
}

// cpuTime is the user and system time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newCommittee is a t-of-n committee with throw-away identities.
func newCommittee(t, n int) (threshold.Committee, error) {
	c := threshold.Committee{Threshold: t}
	for i := range n {
		pub, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return c, err
		}
		c.Parties, c.Identities = append(c.Parties, threshold.PartyID(i+1)), append(c.Identities, pub)
	}
	return c, nil
}

// run opens a ceremony at each of the parties and passes messages between them until all have results.
func run[R any](parties []threshold.PartyID,
	open func(i int, p threshold.PartyID) (*threshold.Session[R], error)) (map[threshold.PartyID]R, error) {
	sessions := map[threshold.PartyID]*threshold.Session[R]{}
	for i, p := range parties {
		s, err := open(i, p)
		if err != nil {
			return nil, err
		}
		sessions[p] = s
	}
	var queue []threshold.Message
	for _, s := range sessions {
		ms, err := s.Start()
		if err != nil {
			return nil, err
		}
		queue = append(queue, ms...)
	}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for id, s := range sessions {
			if id == m.From || (m.To != threshold.Everybody && m.To != id) {
				continue
			}
			ms, err := s.Step(m)
			if err != nil {
				return nil, err
			}
			queue = append(queue, ms...)
		}
	}
	out := map[threshold.PartyID]R{}
	for id, s := range sessions {
		r, ok := s.Result()
		if !ok {
			return nil, fmt.Errorf("benchmarks: party %d waits for %v", id, s.Missing())
		}
		out[id] = r
		s.Erase()
	}
	return out, nil
}

// EngineKey makes a key among parties of this process.
func EngineKey(s threshold.Scheme, t, n int) ([]*threshold.KeyShare, error) {
	c, err := newCommittee(t, n)
	if err != nil {
		return nil, err
	}
	shares, err := run(c.Parties, func(_ int, p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
		return s.Keygen(threshold.Setup{Committee: c, Self: p}, rand.Reader)
	})
	return inOrder(c, shares), err
}

func inOrder(c threshold.Committee, shares map[threshold.PartyID]*threshold.KeyShare) []*threshold.KeyShare {
	out := make([]*threshold.KeyShare, 0, len(shares))
	for _, p := range c.Parties {
		out = append(out, shares[p])
	}
	return out
}

// EngineRefresh refreshes a key among parties of this process.
func EngineRefresh(s threshold.Scheme, shares []*threshold.KeyShare) ([]*threshold.KeyShare, error) {
	c := shares[0].Committee
	next, err := run(c.Parties, func(i int, p threshold.PartyID) (*threshold.Session[*threshold.KeyShare], error) {
		return s.Refresh(threshold.Setup{Committee: c, Self: p}, shares[i], rand.Reader)
	})
	return inOrder(c, next), err
}

// quorum is the first t parties of a key's committee, who sign in this process.
type quorum struct {
	scheme  threshold.Scheme
	shares  []*threshold.KeyShare // of the whole committee
	info    threshold.KeyInfo
	signers []threshold.PartyID
}

func newQuorum(s threshold.Scheme, shares []*threshold.KeyShare) quorum {
	info := shares[0].KeyInfo
	return quorum{s, shares, info, info.Committee.Parties[:info.Committee.Threshold]}
}

// setup is what the signers are told of the next ceremony.
func (q quorum) setup() (func(p threshold.PartyID) threshold.Setup, error) {
	var ceremony [32]byte
	_, err := rand.Read(ceremony[:])
	return func(p threshold.PartyID) threshold.Setup {
		return threshold.Setup{Ceremony: ceremony, Committee: q.info.Committee, Signers: q.signers, Self: p}
	}, err
}

// keys is the key of signer i, n times over.
func (q quorum) keys(i, n int) []threshold.PresignKey {
	return slices.Repeat([]threshold.PresignKey{{Info: q.info, Share: q.shares[i]}}, n)
}

// requests are n different requests without presignatures.
func requests(n int) []threshold.SignRequest {
	out := make([]threshold.SignRequest, n)
	for i := range out {
		out[i].Message = make([]byte, 32)
		out[i].Message[0], out[i].Message[1] = byte(i), byte(i>>8)
	}
	return out
}

type presignatures = map[threshold.PartyID][]*threshold.Presignature

// finish makes the shares of request i, of every signer, and combines them on the first.
func (q quorum) finish(req threshold.SignRequest, pres presignatures, i int) error {
	parts := make([]*threshold.SignatureShare, len(q.signers))
	for k := len(q.signers) - 1; k >= 0; k-- {
		signer, err := q.scheme.NewSigner(q.shares[k])
		if err != nil {
			return err
		}
		req.Pre = pres[q.signers[k]][i]
		if parts[k], err = signer.SignShare(req); err != nil {
			return err
		}
	}
	_, err := q.scheme.Combine(q.info, req, parts)
	return err
}

// EngineSign makes n signatures in one session of the first t parties: presign, share, and combine on one of them. A scheme that needs
// pair state takes EngineECDSA.
func EngineSign(s threshold.Scheme, shares []*threshold.KeyShare, n int) error {
	q := newQuorum(s, shares)
	setup, err := q.setup()
	if err != nil {
		return err
	}
	pres, err := run(q.signers, func(i int, p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
		return s.Presign(setup(p), q.keys(i, n), rand.Reader)
	})
	if err != nil {
		return err
	}
	for i, req := range requests(n) {
		if err := q.finish(req, pres, i); err != nil {
			return err
		}
	}
	return nil
}

// measurement is one figure to take. What prepare does before every call of f is not counted.
type measurement struct {
	what       string
	units      int // of work that f does
	prepare, f func() error
}

// figure calls f until it has used a second of what the clock counts, and tells milliseconds per unit.
func (m measurement) figure(name string, clock func() time.Duration) (Figure, error) {
	var used time.Duration
	calls := -1 // the first call warms up
	for used < time.Second {
		if m.prepare != nil {
			if err := m.prepare(); err != nil {
				return Figure{}, fmt.Errorf("%s: %w", name, err)
			}
		}
		begin := clock()
		if err := m.f(); err != nil {
			return Figure{}, fmt.Errorf("%s: %w", name, err)
		}
		if calls >= 0 {
			used += clock() - begin
		}
		calls++
	}
	n := calls * m.units
	return Figure{name, float64(used.Microseconds()) / 1000 / float64(n), "CPU-ms", fmt.Sprintf("%d runs, summed over the parties", n)}, nil
}

// Engine measures all engine figures of a scheme, 3-of-5.
func Engine(s threshold.Scheme) ([]Figure, error) {
	const t, n = 3, 5
	shares, err := EngineKey(s, t, n)
	if err != nil {
		return nil, err
	}
	all := []measurement{
		{"keygen", 1, nil, func() error { _, err := EngineKey(s, t, n); return err }},
		{"refresh", 1, nil, func() (err error) { shares, err = EngineRefresh(s, shares); return err }},
	}
	if p, ok := s.(PairedPooler); ok {
		e, err := NewEngineECDSA(p, shares)
		if err != nil {
			return nil, err
		}
		all = append(e.measurements(), all...)
	} else {
		all = append([]measurement{
			{"sign", 1, nil, func() error { return EngineSign(s, shares, 1) }},
			{"sign in batches of 16", 16, nil, func() error { return EngineSign(s, shares, 16) }},
		}, all...)
	}
	var out []Figure
	for _, m := range all {
		f, err := m.figure(fmt.Sprintf("engine %s %s %d-of-%d", SchemeName(s), m.what, t, n), cpuTime)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// AllEngines measures every scheme of this build, and the oblivious transfer below ECDSA. It tells what it is at.
func AllEngines(ctx context.Context, tell func(what string)) ([]Figure, error) {
	var out []Figure
	for _, s := range schemes.All() {
		tell(string(s.ID()))
		f, err := Engine(s)
		if err != nil {
			return nil, err
		}
		out = append(out, f...)
	}
	tell("oblivious transfer")
	f, err := EngineTransfer(ctx, "2s")
	return append(out, f...), err
}
