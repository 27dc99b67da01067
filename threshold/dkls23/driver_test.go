package dkls23

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

type (
	party = threshold.PartyID
	pre   = *threshold.Presignature
)

// fixture is a committee with its pair state and a key. The pair states are parsed anew for every test, because bans change them.
type fixture struct {
	*thresholdtest.World
	n, t   int
	pairs  map[party]*pairState
	shares thresholdtest.Shares
	number int // ceremonies so far
}

type made struct {
	pairs  map[party][]byte
	shares map[party][]byte
}

var fixtures = map[[2]int]made{}

// newFixture gives the t-of-n committee, whose setup is run once for all tests.
func newFixture(tb testing.TB, n, t int) *fixture {
	tb.Helper()
	f := &fixture{World: thresholdtest.NewWorld(uint64(100*n+t), n, t), n: n, t: t}
	m, ok := fixtures[[2]int{n, t}]
	if !ok {
		m = made{map[party][]byte{}, map[party][]byte{}}
		shares, err := f.Keygen(Scheme{})
		if err != nil {
			tb.Fatal(err)
		}
		for p, k := range shares {
			m.shares[p] = bytes.Clone(k.Bytes().Bytes())
		}
		for p, x := range f.pairSetup(tb, 1) {
			m.pairs[p] = bytes.Clone(x.Bytes().Bytes())
		}
		fixtures[[2]int{n, t}] = m
	}
	f.number = 1000 // whoever ran the setup and who finds it done are in the same place
	f.pairs, f.shares = map[party]*pairState{}, thresholdtest.Shares{}
	for _, p := range f.Committee.Parties {
		var err error
		if f.pairs[p], err = parsePairState(m.pairs[p]); err != nil {
			tb.Fatal(err)
		}
		if f.shares[p], err = (Scheme{}).ParseKeyShare(m.shares[p]); err != nil {
			tb.Fatal(err)
		}
	}
	return f
}

// next begins another ceremony.
func (f *fixture) next() *fixture { f.number++; return f }

func (f *fixture) setup(p party, signers []party) threshold.Setup {
	return threshold.Setup{Ceremony: canon.Hash("test", fmt.Appendf(nil, "%d", f.number)), Committee: f.Committee, Signers: signers,
		Self: p, Authentic: f.Authentic}
}

func (f *fixture) rand(p party) io.Reader {
	return thresholdtest.NewRand(f.Seed, fmt.Sprintf("dkls23 ceremony %d, party %d", f.number, p))
}

func (f *fixture) scheme(p party) Scheme { return Scheme{f.pairs[p]} }

func (f *fixture) pairSetup(tb testing.TB, epoch uint64) map[party]*pairState {
	tb.Helper()
	f.next()
	run := &thresholdtest.Run[threshold.PairState]{World: f.World, Sessions: map[party]*threshold.Session[threshold.PairState]{}}
	for _, p := range f.Committee.Parties {
		s, err := Scheme{}.NewPairState(f.setup(p, nil), epoch, f.rand(p))
		if err != nil {
			tb.Fatal(err)
		}
		run.Sessions[p] = s
	}
	return statesOf(results(tb, run))
}

// statesOf are pair states as this package sees them.
func statesOf(in map[party]threshold.PairState) map[party]*pairState {
	out := map[party]*pairState{}
	for p, x := range in {
		out[p] = x.(*pairState)
	}
	return out
}

// results runs a ceremony in which everybody must succeed.
func results[R any](tb testing.TB, run *thresholdtest.Run[R]) map[party]R {
	tb.Helper()
	outcomes, err := run.Go()
	if err != nil {
		tb.Fatal(err)
	}
	out := map[party]R{}
	for p, o := range outcomes {
		if !o.Done {
			tb.Fatalf("party %d: abort %v, missing %v", p, o.Abort, o.Missing)
		}
		out[p] = o.Result
	}
	return out
}

// keys is a batch of n entries for party p; an observer's have no share.
func (f *fixture) keys(p party, signers []party, n int) []threshold.PresignKey {
	k := threshold.PresignKey{Info: f.shares[p].KeyInfo}
	if slices.Contains(signers, p) {
		k.Share = f.shares[p]
	}
	return slices.Repeat([]threshold.PresignKey{k}, n)
}

// presigning is a ceremony of the signers and, if more parties are named, of observers. The states are those that the sessions use.
func (f *fixture) presigning(tb testing.TB, signers []party, reqs []threshold.SignRequest, n int,
	observers ...party) (*thresholdtest.Run[presignatures], map[party]*presigning) {
	tb.Helper()
	f.next()
	run := &thresholdtest.Run[presignatures]{World: f.World, Sessions: map[party]*threshold.Session[presignatures]{},
		Liars: map[party]thresholdtest.Tamper{}}
	states := map[party]*presigning{}
	for _, p := range append(slices.Clone(signers), observers...) {
		scheme := f.scheme(p)
		if !slices.Contains(signers, p) {
			scheme = Scheme{} // an observer needs no pair state
		}
		x, err := scheme.newPresigning(f.setup(p, signers), f.keys(p, signers, n), reqs)
		if err != nil {
			tb.Fatal(err)
		}
		states[p] = x
		if run.Sessions[p], err = x.session(f.rand(p)); err != nil {
			tb.Fatal(err)
		}
	}
	return run, states
}

// presign makes n presignatures for any request.
func (f *fixture) presign(tb testing.TB, signers []party, n int, observers ...party) map[party]presignatures {
	tb.Helper()
	run, _ := f.presigning(tb, signers, nil, n, observers...)
	return results(tb, run)
}

// agree runs O1; reqs have no presignatures yet, entry i of pres goes with request i.
func (f *fixture) agree(tb testing.TB, signers []party, reqs []threshold.SignRequest, pres map[party]presignatures) map[party][][32]byte {
	tb.Helper()
	f.next()
	run := &thresholdtest.Run[[][32]byte]{World: f.World, Sessions: map[party]*threshold.Session[[][32]byte]{}}
	for p := range pres {
		mine := slices.Clone(reqs)
		for i := range mine {
			mine[i].Pre = pres[p][i]
		}
		s, err := f.scheme(p).Agree(f.setup(p, signers), mine, f.rand(p))
		if err != nil {
			tb.Fatal(err)
		}
		run.Sessions[p] = s
	}
	return results(tb, run)
}

// sharesOf makes every signer's share of the request with entry i of its presignatures.
func (f *fixture) sharesOf(tb testing.TB, signers []party, req threshold.SignRequest, pres map[party]presignatures,
	i int) []*threshold.SignatureShare {
	tb.Helper()
	var out []*threshold.SignatureShare
	for _, p := range signers {
		signer, err := f.scheme(p).NewSigner(f.shares[p])
		if err != nil {
			tb.Fatal(err)
		}
		r := req
		r.Pre = pres[p][i]
		s, err := signer.SignShare(r)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func (f *fixture) combine(p party, req threshold.SignRequest, pre pre, shares []*threshold.SignatureShare) (threshold.Signature, error) {
	req.Pre = pre
	return f.scheme(p).Combine(f.shares[p].KeyInfo, req, shares)
}

// digestOf is a reproducible digest.
func digestOf(label string) []byte { return thresholdtest.NewRand(7, label).Bytes(32) }

func subsets(c threshold.Committee, k int) [][]party {
	var out [][]party
	c.Subsets(k, func(q []party) bool { out = append(out, q); return true })
	return out
}
