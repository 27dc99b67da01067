package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// state is pair state as far as a proposal is held against it.
type state struct {
	threshold.PairState // nothing else is asked of it
	epoch               uint64
	banned              []threshold.PartyID
}

func (s state) Digest() [32]byte            { return [32]byte{byte(s.epoch)} }
func (s state) PairEpoch() uint64           { return s.epoch }
func (s state) Banned() []threshold.PartyID { return s.banned }

// Goal: nobody acts on other pair state than the proposal's, nor makes again what it has; a scheme with pair state is not proposed without,
// nor one without with it. Method: every way in which a proposal and what the node has can differ.
func TestProposedPairs(t *testing.T) {
	scheme, err := schemes.ByID("dkls23-secp256k1")
	if err != nil {
		t.Fatal(err)
	}
	pairer := scheme.(threshold.Pairer)
	has := state{epoch: 5}
	for name, row := range map[string]struct {
		s    threshold.Pairer
		p    threshold.PairState
		x    *ProposedPairs
		new  bool         // it must be new
		code problem.Code // "" if it passes
	}{
		"a scheme without":           {nil, nil, nil, false, ""},
		"a scheme without, refresh":  {nil, nil, nil, true, ""},
		"a scheme without, and some": {nil, nil, &ProposedPairs{Epoch: 1}, false, problem.Invalid},
		"a scheme with, and none":    {pairer, has, nil, false, problem.Invalid},
		"what we have":               {pairer, has, &ProposedPairs{Digest: has.Digest()}, false, ""},
		"what we have, refresh":      {pairer, has, &ProposedPairs{Digest: has.Digest()}, true, problem.Invalid},
		"another":                    {pairer, has, &ProposedPairs{Digest: [32]byte{9}}, false, problem.PairState},
		"some, and we have none":     {pairer, nil, &ProposedPairs{Digest: has.Digest()}, false, problem.PairState},
		"the next":                   {pairer, has, &ProposedPairs{Epoch: 6}, true, ""},
		"the first":                  {pairer, nil, &ProposedPairs{Epoch: 1}, false, ""},
		"the same again":             {pairer, has, &ProposedPairs{Epoch: 5}, false, problem.PairState},
		"the last":                   {pairer, has, &ProposedPairs{Epoch: maxPairEpoch}, true, ""},
		"after the last":             {pairer, has, &ProposedPairs{Epoch: maxPairEpoch + 1}, true, problem.Invalid},
		"what begins anew":           {pairer, state{epoch: maxPairEpoch}, &ProposedPairs{Epoch: 1}, true, ""},
	} {
		err := row.x.check(row.s, row.p, row.new)
		if (err == nil) != (row.code == "") || err != nil && problem.As(err).Code != row.code {
			t.Errorf("%s: %v, want %q", name, err, row.code)
		}
	}
}

// Goal: nobody signs with a peer that is banned, and the answer names it. Method: a quorum with it, and one without.
func TestCheckBans(t *testing.T) {
	nodes := func([]threshold.PartyID) []transport.NodeID { return []transport.NodeID{"c"} }
	p := state{banned: []threshold.PartyID{3}}
	if err := CheckBans(p, []threshold.PartyID{1, 2}, nodes); err != nil {
		t.Error(err)
	}
	if e := problem.As(CheckBans(p, []threshold.PartyID{1, 3}, nodes)); e.Code != problem.Blame || len(e.Culprits) != 1 {
		t.Errorf("%v", e)
	}
}

// toy is pair state with a scheme to it: one byte, its pair-epoch, and one for each peer that is banned.
type toy struct {
	state
	gone bool
}

func (p *toy) Ban(peer threshold.PartyID) { p.banned = append(p.banned, peer) }
func (p *toy) Destroy()                   { p.gone = true }
func (p *toy) Bytes() *secret.Bytes {
	b := []byte{byte(p.epoch)}
	for _, x := range p.banned {
		b = append(b, byte(x))
	}
	return secret.From(b)
}

type toyScheme struct{ threshold.Pairer } // nothing else is asked of it

func (toyScheme) ID() threshold.SchemeID { return "toy" }
func (toyScheme) ParsePairState(b []byte) (threshold.PairState, error) {
	p := &toy{state: state{epoch: uint64(b[0])}}
	for _, x := range b[1:] {
		p.Ban(threshold.PartyID(x))
	}
	return p, nil
}

// newVault is a vault in memory, of a token.
func newVault(t *testing.T) (*vault.Vault, *vaulttest.Wrapper) {
	t.Helper()
	w := vaulttest.NewWrapper("kek")
	v, err := vault.Open(t.Context(), vault.Config{Store: vaulttest.NewMemory(), Wrapper: w, KEK: "kek", Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v, w
}

// told is what Pairs tells the pool.
type told struct {
	ended  [][32]byte
	banned []threshold.PartyID
}

func (x *told) pairs(v *vault.Vault) *Pairs {
	return NewPairs(v, func(d [32]byte) { x.ended = append(x.ended, d) }, func(ps []threshold.PartyID) { x.banned = append(x.banned, ps...) })
}

// Goal: pair state that was made takes the place of the one before when it is the one that is certified, and not otherwise; the one before
// ends with it, for good. Method: the first, adopted by a wrong digest and by its own, and the second; then a restart.
func TestAdopt(t *testing.T) {
	ctx, x, c := t.Context(), &told{}, threshold.Committee{Parties: []threshold.PartyID{1, 2}}
	v, _ := newVault(t)
	p := x.pairs(v)
	adopt := func(epoch, certified uint64) *toy {
		t.Helper()
		if err := p.StoreNext(ctx, toyScheme{}, c, &toy{state: state{epoch: epoch}}); err != nil {
			t.Fatal(err)
		}
		if err := p.Adopt(ctx, toyScheme{}, c, state{epoch: certified}.Digest()); err != nil {
			t.Fatal(err)
		}
		now, err := p.Current(ctx, toyScheme{}, c)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := now.(*toy)
		return got
	}
	if got := adopt(1, 9); got != nil {
		t.Errorf("pair-epoch %d is the current, another was certified", got.epoch)
	}
	first := adopt(1, 1)
	if first == nil || first.epoch != 1 || len(x.ended) != 0 {
		t.Fatalf("%+v is the current, %d have ended", first, len(x.ended))
	}
	second := adopt(2, 2)
	if second.epoch != 2 || !first.gone || second.gone || len(x.ended) != 1 || x.ended[0] != first.Digest() {
		t.Errorf("%+v is the current; before it: %+v; %d have ended", second, first, len(x.ended))
	}
	if _, err := v.GetSecret(ctx, nextName(pairStateName("toy", c))); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("what was adopted is still stored as the next: %v", err)
	}
	if err := p.Adopt(ctx, toyScheme{}, c, second.Digest()); err != nil || second.gone {
		t.Errorf("adopted twice: %v", err)
	}
	if now, err := (&told{}).pairs(v).Current(ctx, toyScheme{}, c); err != nil || now == nil || now.PairEpoch() != 2 {
		t.Errorf("after a restart: %+v, %v", now, err)
	}
}

// Goal: pair state and shares that do not open for a reason of their bytes are told as damage, which nobody repeats, by the names of their
// parties or key; what the token refuses is told as the token's. Method: a store that says so, changed bytes, a full disk, and a token that
// fails.
func TestDamaged(t *testing.T) {
	ctx, c := t.Context(), threshold.Committee{Parties: []threshold.PartyID{1, 2}}
	for name, x := range map[string]struct {
		spoil func(*damagedStore, *vaulttest.Wrapper)
		code  problem.Code
	}{
		"damaged file":     {func(s *damagedStore, _ *vaulttest.Wrapper) { s.err = vault.ErrCorrupt }, problem.Integrity},
		"changed bytes":    {func(s *damagedStore, _ *vaulttest.Wrapper) { s.flip = true }, problem.Integrity},
		"the token fails":  {func(_ *damagedStore, w *vaulttest.Wrapper) { w.Down.Store(true) }, problem.HSM},
		"the disk is full": {func(s *damagedStore, _ *vaulttest.Wrapper) { s.err = vault.ErrFull }, problem.Storage},
		"the disk fails":   {func(s *damagedStore, _ *vaulttest.Wrapper) { s.err = vault.ErrUnread }, problem.Storage},
	} {
		s, w := &damagedStore{Store: vaulttest.NewMemory()}, vaulttest.NewWrapper("kek")
		v, err := vault.Open(ctx, vault.Config{Store: s, Wrapper: w, KEK: "kek", Node: "a"})
		if err != nil {
			t.Fatal(err)
		}
		err = v.PutSecret(ctx, pairStateName("toy", c), []byte{1})
		err = errors.Join(err, v.Store(ctx, "w_1", []byte{1}, vault.Meta{KeyKind: "x", Index: 1, Threshold: 1, TotalParties: 1, Epoch: 1,
			GroupKey: []byte{1}, PublicShare: []byte{1}}), v.Activate(ctx, "w_1", 1))
		if err != nil {
			t.Fatal(err)
		}
		x.spoil(s, w)
		damage := Damage{Token: func(error) string { return "see to the token" }}
		p := (&told{}).pairs(v)
		p.Damage = &damage
		_, pairs := p.Current(ctx, toyScheme{}, c)
		_, share := NewRing(Config{Vault: v, Shares: 8, Damage: &damage}).Open(ctx, nil, "w_1", 1)
		for what, err := range map[string]error{"pair state of parties 1 and 2": pairs, "share of wallet w_1": share} {
			e := problem.As(err)
			if e.Code != x.code || !strings.Contains(e.Message, what) {
				t.Errorf("%s: %s: %+v", name, what, e)
			}
			if (e.Next == "see to the token") != (x.code == problem.HSM) {
				t.Errorf("%s: to do: %s", name, e.Next)
			}
			if e.Code == problem.Integrity && (e.Code.Retryable() || !strings.Contains(e.Next, "stop the node, then run mpcd doctor")) {
				t.Errorf("%s: to do: %s", name, e.Next)
			}
		}
		if err := damage.Err(); (err != nil) != (x.code == problem.Integrity) || err != nil && !strings.HasSuffix(err.Error(), "; and 1 more") {
			t.Errorf("%s: remembered: %v", name, err)
		}
		*s = damagedStore{Store: s.Store}
		_, err = p.Current(ctx, toyScheme{}, c)
		if x.code == problem.Integrity && (err != nil || strings.Contains(damage.Err().Error(), "more")) {
			t.Errorf("%s: what opens again is remembered: %v, %v", name, err, damage.Err())
		}
		_ = v.Close()
	}
}

// damagedStore is a store with bodies that cannot be read, or are not what was stored.
type damagedStore struct {
	vault.Store
	err      error
	flip     bool
	pointers bool // nothing can be read
}

func (s *damagedStore) Get(ctx context.Context, key []byte) ([]byte, error) {
	if s.pointers {
		return nil, vault.ErrCorrupt
	}
	b, err := s.Store.Get(ctx, key)
	if !bytes.Contains(key, []byte("vault/b/")) || err != nil {
		return b, err
	}
	if s.flip {
		b[len(b)-1] ^= 1
	}
	return b, s.err
}

// Goal: a ban outlives the pair state in which the peer was caught, whoever has new pair state made, until an operator has released the
// peer from that very ban; also where a crash came between. Method: a ban, new pair state, a release, new pair state; and a release of an
// older ban.
func TestBansCarried(t *testing.T) {
	ctx, x, c := t.Context(), &told{}, threshold.Committee{Parties: []threshold.PartyID{1, 2, 3}}
	v, _ := newVault(t)
	adopt := func(p *Pairs, epoch uint64) *toy {
		t.Helper()
		if err := p.StoreNext(ctx, toyScheme{}, c, &toy{state: state{epoch: epoch}}); err != nil {
			t.Fatal(err)
		}
		if err := p.Adopt(ctx, toyScheme{}, c, state{epoch: epoch}.Digest()); err != nil {
			t.Fatal(err)
		}
		now, err := p.Current(ctx, toyScheme{}, c)
		if err != nil {
			t.Fatal(err)
		}
		return now.(*toy)
	}
	ban := func(p *Pairs, now *toy, peer threshold.PartyID) {
		t.Helper()
		now.Ban(peer)
		abort := &threshold.Abort{Kind: threshold.Ban, Culprits: []threshold.PartyID{peer}}
		if err := p.KeepBans(ctx, toyScheme{}, c, now, abort); err != nil {
			t.Fatal(err)
		}
	}
	p := x.pairs(v)
	ban(p, adopt(p, 1), 2)
	p = x.pairs(v) // a restart: what was before is on disk alone
	second := adopt(p, 2)
	if !slices.Equal(second.banned, []threshold.PartyID{2}) {
		t.Errorf("new pair state bans %v", second.banned)
	}
	if err := p.StoreNext(ctx, toyScheme{}, c, &toy{state: state{epoch: 2}}); err != nil { // a crash before it was taken away
		t.Fatal(err)
	}
	if err := p.Adopt(ctx, toyScheme{}, c, second.Digest()); err != nil {
		t.Fatal(err)
	}
	if now, err := x.pairs(v).Current(ctx, toyScheme{}, c); err != nil || !slices.Equal(now.Banned(), []threshold.PartyID{2}) {
		t.Errorf("adopted again, it bans %v, %v", now.Banned(), err)
	}
	ban(p, second, 3)
	if err := p.Release(ctx, toyScheme{}, c, []threshold.PartyID{2}); err != nil {
		t.Fatal(err)
	}
	third := adopt(p, 3)
	if !slices.Equal(third.banned, []threshold.PartyID{3}) {
		t.Errorf("after the release of 2 it bans %v", third.banned)
	}
	ban(p, third, 2)
	if fourth := adopt(p, 4); len(fourth.banned) != 2 {
		t.Errorf("it bans %v: an old release ended a new ban", fourth.banned)
	}
}

// Goal: a record of released bans that could not be read, and pair state that could not be stored, are told as damage until they can be,
// and no longer. Method: a record that does not decode, and then another; a vault whose pointer is changed, and then not.
func TestReleaseReadAgain(t *testing.T) {
	ctx, c := t.Context(), threshold.Committee{Parties: []threshold.PartyID{1, 2}}
	s := &damagedStore{Store: vaulttest.NewMemory()}
	v, err := vault.Open(ctx, vault.Config{Store: s, Wrapper: vaulttest.NewWrapper("kek"), KEK: "kek", Node: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	p := (&told{}).pairs(v)
	p.Damage = &Damage{}
	next := func(epoch uint64) error {
		err := p.StoreNext(ctx, toyScheme{}, c, &toy{state: state{epoch: epoch}})
		return errors.Join(err, p.Adopt(ctx, toyScheme{}, c, state{epoch: epoch}.Digest()))
	}
	if err := errors.Join(next(1), v.PutSecret(ctx, releaseName(pairStateName("toy", c)), []byte{0xff})); err != nil {
		t.Fatal(err)
	}
	now, err := p.Current(ctx, toyScheme{}, c)
	if err != nil {
		t.Fatal(err)
	}
	now.Ban(2)
	if err := next(2); err == nil || p.Damage.Err() == nil {
		t.Errorf("not told: %v, %v", err, p.Damage.Err())
	}
	if err := errors.Join(p.Release(ctx, toyScheme{}, c, []threshold.PartyID{2}), next(2)); err != nil || p.Damage.Err() != nil {
		t.Errorf("read again: %v, and told: %v", err, p.Damage.Err())
	}
	s.pointers = true
	if err := p.StoreNext(ctx, toyScheme{}, c, now); err == nil || p.Damage.Err() == nil {
		t.Errorf("not told: %v, %v", err, p.Damage.Err())
	}
	s.pointers = false
	if err := p.StoreNext(ctx, toyScheme{}, c, now); err != nil || p.Damage.Err() != nil {
		t.Errorf("stored again: %v, and told: %v", err, p.Damage.Err())
	}
}

// Goal: what a coordinator proposes is above what it has and what others told, and never past the end. Method: at the edges.
func TestProposeAbove(t *testing.T) {
	ctx, c := t.Context(), threshold.Committee{Parties: []threshold.PartyID{1, 2}}
	for _, row := range []struct{ has, above, want uint64 }{
		{0, 0, 1}, {0, 7, 8}, {5, 0, 6}, {5, 7, 8}, {maxPairEpoch, 0, 1}, {5, maxPairEpoch, 1}, {5, 1<<64 - 1, 1}, {0, 1<<64 - 1, 1},
	} {
		v, _ := newVault(t)
		p := (&told{}).pairs(v)
		if row.has != 0 {
			p.put(pairStateName("toy", c), &toy{state: state{epoch: row.has}})
		}
		if x, err := p.Propose(ctx, toyScheme{}, c, true, row.above); err != nil || x.Epoch != row.want {
			t.Errorf("%d, told of %d: proposes %+v, %v", row.has, row.above, x, err)
		}
	}
}

// Goal: a ban is on disk before the abort is told, whatever has become of the request, and the pool hears of it; nothing else bans, and a
// ban of pair state that is over changes nothing. Method: aborts of each kind, the one that counts in a context that has ended.
func TestKeepBans(t *testing.T) {
	ctx, x, c := t.Context(), &told{}, threshold.Committee{Parties: []threshold.PartyID{1, 2}}
	v, _ := newVault(t)
	p := x.pairs(v)
	current := func(p *Pairs) *toy {
		t.Helper()
		now, err := p.Current(ctx, toyScheme{}, c)
		if err != nil || now == nil {
			t.Fatal(now, err)
		}
		return now.(*toy)
	}
	stored := func() []threshold.PartyID { return current((&told{}).pairs(v)).banned }
	if err := p.StoreNext(ctx, toyScheme{}, c, &toy{state: state{epoch: 2}}); err != nil {
		t.Fatal(err)
	}
	if err := p.Adopt(ctx, toyScheme{}, c, state{epoch: 2}.Digest()); err != nil {
		t.Fatal(err)
	}
	abort := func(kind threshold.AbortKind) error {
		return fmt.Errorf("it ended: %w", &threshold.Abort{Kind: kind, Culprits: []threshold.PartyID{2}})
	}
	gone, end := context.WithCancel(ctx)
	end()
	now := current(p)
	now.Ban(2) // as the engine does
	for _, err := range []error{nil, errors.New("another"), abort(threshold.Retry), abort(threshold.Proven), abort(threshold.Local)} {
		if err := p.KeepBans(gone, toyScheme{}, c, now, err); err != nil || len(stored()) != 0 || len(x.banned) != 0 {
			t.Errorf("%v is no ban: %v, on disk %v, told of %v", err, err, stored(), x.banned)
		}
	}
	over := &toy{state: state{epoch: 1, banned: []threshold.PartyID{2}}}
	if err := p.KeepBans(ctx, toyScheme{}, c, over, abort(threshold.Ban)); err != nil || current((&told{}).pairs(v)).epoch != 2 {
		t.Errorf("a ban brings pair state back that is over: %v", err)
	}
	x.banned = nil
	if err := p.KeepBans(gone, toyScheme{}, c, now, abort(threshold.Ban)); err != nil {
		t.Error(err)
	}
	if !slices.Equal(stored(), []threshold.PartyID{2}) || !slices.Equal(x.banned, []threshold.PartyID{2}) || !p.Banned(2) || p.Banned(1) {
		t.Errorf("on disk %v, told of %v", stored(), x.banned)
	}
}
