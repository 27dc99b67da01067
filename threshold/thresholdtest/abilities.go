package thresholdtest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// pool is the contract of threshold.Pooler: presignatures made ahead sign what their signers agree on, once, and nothing else.
func (c *contract) pool(t *testing.T) {
	x := c.scheme.(threshold.Pooler)
	other := NewRand(1, "another message").Bytes(32)
	ahead := func(n int) presignatures {
		t.Helper()
		pres, err := c.w.presign(c.scheme, c.ks, c.q, c.w.Committee.Parties, n)
		if err != nil {
			t.Fatal(err)
		}
		return pres
	}
	pres := ahead(2)
	both := []threshold.SignRequest{{Message: c.message}, {Message: other}}
	reqs, err := c.w.agree(c.scheme, c.q, pres, both)
	if err != nil {
		t.Fatal(err)
	}
	for i := range both {
		if _, err := c.w.sign(c.scheme, c.ks, c.q, reqs, i); err != nil {
			t.Errorf("request %d of a pool: %v", i, err)
		}
	}
	if _, err := c.w.agree(c.scheme, c.q, pres, both); err == nil {
		t.Error("presignatures that have signed are agreed on again")
	}
	p := c.q[0]
	signer, err := c.scheme.NewSigner(c.ks[p])
	if err != nil {
		t.Fatal(err)
	}
	mine := ahead(4)[p]
	if _, err := signer.SignShare(threshold.SignRequest{Message: c.message, Pre: mine[0]}); err == nil {
		t.Error("a presignature for any request signs without agreement")
	}
	agree := func(reqs ...threshold.SignRequest) (*threshold.Session[[][32]byte], error) {
		return c.w.As(c.scheme, p).(threshold.Pooler).Agree(c.w.Setup(p, c.q, "x"), reqs, c.w.Rand(p))
	}
	s, err := agree(threshold.SignRequest{Message: c.message, Pre: mine[1]})
	erased(t, "agree", s, err)
	if _, err := signer.SignShare(threshold.SignRequest{Message: c.message, Pre: mine[1]}); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("an agreement that failed does not burn: %v", err)
	}
	c.disagree(t)

	most := x.MaxBatch()
	many := slices.Repeat([]threshold.SignRequest{{Message: c.message, Pre: mine[2]}}, most+1)
	refused := map[string]error{}
	_, refused["agreement on more than a session takes"] = agree(many...)
	_, refused["agreement on nothing"] = agree()
	_, refused["agreement on what is bound"] = agree(c.presigned(t, 1)[p]...)
	for i := range many {
		many[i].Pre = nil
	}
	paired := c.w.As(c.scheme, p).(threshold.Pooler)
	_, refused["more presignatures than a session makes"] = paired.Presign(c.w.Setup(p, c.q, "x"), keys(c.ks, c.q, p, most+1), c.w.Rand(p))
	_, refused["the same for requests"] = paired.PresignFor(c.w.Setup(p, c.q, "x"), keys(c.ks, c.q, p, most+1), many, c.w.Rand(p))
	_, refused["more requests than keys"] = paired.PresignFor(c.w.Setup(p, c.q, "x"), keys(c.ks, c.q, p, 1), many[:2], c.w.Rand(p))
	for name, err := range refused {
		if err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// disagree: signers who agree on two requests with one presignature accuse nobody, and sign neither.
func (c *contract) disagree(t *testing.T) {
	pres, err := c.w.presign(c.scheme, c.ks, c.q, c.q, 1)
	if err != nil {
		t.Fatal(err)
	}
	run := &Run[[][32]byte]{World: c.w, Sessions: map[threshold.PartyID]*threshold.Session[[][32]byte]{}}
	reqs := pres.requests([]threshold.SignRequest{{Message: c.message}})
	reqs[c.q[0]][0].Message = NewRand(1, "another message").Bytes(32)
	for _, p := range c.q {
		if run.Sessions[p], err = c.w.As(c.scheme, p).(threshold.Pooler).Agree(c.w.Setup(p, c.q, "x"), reqs[p], c.w.Rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	outcomes, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	for p, o := range outcomes {
		if o.Done || o.Abort != nil && (o.Abort.Kind != threshold.Retry || len(o.Abort.Culprits) > 0) {
			t.Errorf("party %d: signers who want two things: done %v, %v", p, o.Done, o.Abort)
		}
		signer, err := c.scheme.NewSigner(c.ks[p])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signer.SignShare(reqs[p][0]); !errors.Is(err, threshold.ErrBurnt) {
			t.Errorf("party %d: a presignature nobody agreed on: %v", p, err)
		}
	}
}

// pairState is the contract of threshold.Pairer.
func (c *contract) pairState(t *testing.T) {
	x := c.scheme.(threshold.Pairer)
	w := NewWorld(c.w.Seed, c.w.Committee.N(), c.w.Committee.Threshold) // the same parties, with pair state of their own to spoil
	for range 5 {
		w.number++ // and other ceremonies
	}
	if _, err := w.Presign(c.scheme, c.ks, c.q); err == nil {
		t.Error("presigns without pair state")
	}
	if err := w.PairUp(c.scheme); err != nil {
		t.Fatal(err)
	}
	first := w.pairs[c.scheme.ID()]
	p, peer := c.q[0], c.q[1]
	for q, state := range first {
		if state.Digest() != first[p].Digest() || state.Digest() == [32]byte{} || state.PairEpoch() != 1 || len(state.Banned()) > 0 {
			t.Errorf("party %d: digest %x, pair-epoch %d, banned %v", q, state.Digest(), state.PairEpoch(), state.Banned())
		}
	}
	c.pairRecords(t, x, first[p])

	// Two parties whose states are of two setups accuse nobody.
	old := first[peer].Bytes()
	defer old.Wipe()
	stale, err := x.ParsePairState(old.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	ready, err := w.presignFor(c.scheme, c.ks, c.q, c.q, []threshold.SignRequest{{Message: c.message}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.PairUp(c.scheme); err != nil {
		t.Fatal(err)
	}
	second := w.pairs[c.scheme.ID()]
	if second[p].PairEpoch() != 2 || second[p].Digest() == stale.Digest() {
		t.Error("another setup made the same pair state")
	}
	signer, err := c.scheme.NewSigner(c.ks[p])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.SignShare(ready[p][0]); err == nil {
		t.Error("a presignature outlives the pair state it was made with")
	}
	fresh := second[peer]
	second[peer] = stale
	var a *threshold.Abort
	if _, err := w.Presign(c.scheme, c.ks, c.q); !errors.As(err, &a) || a.Kind != threshold.Retry || len(a.Culprits) > 0 {
		t.Errorf("pair states of two setups: %v", err)
	}
	second[peer] = fresh
	if _, err := w.SignWith(c.scheme, c.ks, c.q, c.message); err != nil {
		t.Errorf("with the new pair state: %v", err)
	}
	c.banned(t, x, w, p, peer)

	setup, err := x.NewPairState(w.Setup(p, nil, "x"), 3, w.Rand(p))
	erased(t, "pair setup", setup, err)
	for name, open := range map[string]func() (*threshold.Session[threshold.PairState], error){
		"without all": func() (*threshold.Session[threshold.PairState], error) {
			return x.NewPairState(w.Setup(p, w.Committee.Parties[:2], "x"), 3, w.Rand(p))
		},
		"by a stranger": func() (*threshold.Session[threshold.PairState], error) {
			return x.NewPairState(w.Setup(60000, nil, "x"), 3, w.Rand(p))
		},
		"of epoch 0": func() (*threshold.Session[threshold.PairState], error) {
			return x.NewPairState(w.Setup(p, nil, "x"), 0, w.Rand(p))
		},
	} {
		if s, err := open(); err == nil {
			s.Erase()
			t.Errorf("a pair setup %s begins", name)
		}
	}
}

// pairRecords are what the vault keeps of pair state.
func (c *contract) pairRecords(t *testing.T, x threshold.Pairer, state threshold.PairState) {
	b := state.Bytes()
	defer b.Wipe()
	good := bytes.Clone(b.Bytes())
	back, err := x.ParsePairState(good)
	if err != nil {
		t.Fatal(err)
	}
	defer back.Destroy()
	again := back.Bytes()
	defer again.Wipe()
	if back.Digest() != state.Digest() || back.PairEpoch() != state.PairEpoch() || !bytes.Equal(again.Bytes(), good) {
		t.Error("stored pair state came back different")
	}
	for name, bad := range map[string][]byte{"empty": nil, "truncated": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0)} {
		if p, err := x.ParsePairState(bad); err == nil {
			p.Destroy()
			t.Errorf("%s pair state accepted", name)
		} else if p != nil {
			t.Errorf("%s pair state: refused, and not nil", name)
		}
	}
	if _, err := x.WithPairState(strangePairs{back}); err == nil {
		t.Error("signs with the pair state of another scheme")
	}
}

// strangePairs is pair state of a type that no scheme made.
type strangePairs struct{ threshold.PairState }

// banned: with a banned peer there is no session, before and after the pair state was stored; others are not touched.
func (c *contract) banned(t *testing.T, x threshold.Pairer, w *World, p, peer threshold.PartyID) {
	state := w.pairs[c.scheme.ID()][p]
	ready, err := w.presignFor(c.scheme, c.ks, c.q, c.q, []threshold.SignRequest{{Message: c.message}})
	if err != nil {
		t.Fatal(err)
	}
	state.Ban(peer)
	state.Ban(peer)
	signer, err := c.scheme.NewSigner(c.ks[p])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signer.SignShare(ready[p][0]); err == nil {
		t.Error("signs with a presignature made with a banned peer")
	}
	b := state.Bytes()
	defer b.Wipe()
	stored, err := x.ParsePairState(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Destroy()
	for name, s := range map[string]threshold.PairState{"in memory": state, "stored": stored} {
		if !slices.Equal(s.Banned(), []threshold.PartyID{peer}) {
			t.Errorf("%s: banned %v", name, s.Banned())
		}
		w.pairs[c.scheme.ID()][p] = s
		if _, err := w.Presign(c.scheme, c.ks, c.q); err == nil {
			t.Errorf("%s: presigns with a banned peer", name)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(w.Committee.Parties), func(q threshold.PartyID) bool { return q == peer })
	if _, err := w.SignWith(c.scheme, c.ks, rest[:c.w.Committee.Threshold], c.message); err != nil {
		t.Errorf("without the banned peer: %v", err)
	}
	state.Destroy()
	state.Destroy()
	w.pairs[c.scheme.ID()][p] = state
	if _, err := w.Presign(c.scheme, c.ks, rest[:c.w.Committee.Threshold]); err == nil {
		t.Error("presigns with pair state that was destroyed")
	}
	stored.Destroy()
}
