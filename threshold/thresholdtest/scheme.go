package thresholdtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// Traits are what schemes differ in by their papers.
type Traits struct {
	// Convicts says that a wrong signature share convicts its sender by its public share. Where it is false, only a share that is no
	// share at all does; a wrong one of the right form spoils the signature, and nobody can tell whose it was.
	Convicts bool
	// Unhedged says that its nonces are what the generator gives and nothing else, as only a scheme for tests may.
	Unhedged bool
}

// TestScheme holds a scheme to its contract: what threshold.Scheme says, and threshold.Pairer and threshold.Pooler if it is one, for
// a 2-of-3 and a 3-of-4 committee. Messages are 32 bytes, which every kind of key takes.
func TestScheme(t *testing.T, scheme threshold.Scheme, traits Traits) {
	for _, size := range []struct{ n, t int }{{3, 2}, {4, 3}} {
		w := NewWorld(uint64(size.n), size.n, size.t)
		ks, err := w.Keygen(scheme)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.PairUp(scheme); err != nil {
			t.Fatal(err)
		}
		c := &contract{scheme: scheme, traits: traits, w: w, ks: ks, q: slices.Clone(w.Committee.Parties[:size.t])}
		c.message = NewRand(1, "message").Bytes(32)
		t.Run("kind", c.kind)
		t.Run("keys", c.keys)
		t.Run("records", c.records)
		t.Run("another kind", c.otherKind)
		t.Run("quorums", c.quorums)
		t.Run("presignatures", c.presignatures)
		t.Run("erasure", c.erasure)
		t.Run("blame", c.blame)
		t.Run("verify", c.verify)
		if _, ok := scheme.(threshold.Pooler); ok {
			t.Run("pool", c.pool)
		}
		if _, ok := scheme.(threshold.Pairer); ok {
			t.Run("pair state", c.pairState)
		}
		if !traits.Unhedged {
			t.Run("broken generator", c.broken)
		}
		t.Run("refresh", c.refresh)
		for _, k := range ks {
			k.Destroy()
		}
	}
}

type contract struct {
	scheme  threshold.Scheme
	traits  Traits
	w       *World
	ks      Shares
	q       []threshold.PartyID
	message []byte
}

// kind: the scheme is of a kind that the engine lists, whose outside forms all lead to one key.
func (c *contract) kind(t *testing.T) {
	k := c.scheme.Kind()
	got := threshold.KindOf(k.ID)
	if got.ID != k.ID || k.ID == "" || k.Curve == "" || k.Name == "" || len(k.Forms) == 0 || c.scheme.Protocol() == "" {
		t.Fatalf("kind %q is not of the list, or says too little: %+v", k.ID, got)
	}
	key := c.ks[c.q[0]].GroupKey
	shown := k.Shown(key)
	if shown == nil || !bytes.Equal(k.Shown(shown), shown) {
		t.Errorf("group key %x is shown as %x, which names %x", key, shown, k.Shown(shown))
	}
	for _, bad := range [][]byte{nil, key[1:], append(bytes.Clone(key), 0), make([]byte, 33), make([]byte, 65)} {
		if got := k.Shown(bad); got != nil && len(bad) != len(shown) {
			t.Errorf("%x passes as the key %x", bad, got)
		}
	}
}

func (c *contract) keys(t *testing.T) {
	if err := sameKey(c.ks); err != nil {
		t.Error(err)
	}
	for p, k := range c.ks {
		if k.Kind != c.scheme.Kind().ID || k.Epoch != 1 || !k.Committee.Equal(c.w.Committee) || k.ChainCode == [32]byte{} {
			t.Errorf("party %d: incomplete record %+v", p, k.KeyInfo)
		}
	}
	other, err := c.w.Keygen(c.scheme)
	if err != nil {
		t.Fatal(err)
	}
	if p := c.q[0]; bytes.Equal(other[p].GroupKey, c.ks[p].GroupKey) || bytes.Equal(other[p].Secret(), c.ks[p].Secret()) {
		t.Error("two ceremonies made one key")
	}
}

// records are what the vault keeps.
func (c *contract) records(t *testing.T) {
	k := c.ks[c.q[0]]
	stored := func(change func(*threshold.KeyInfo, []byte)) []byte {
		info, scalar := k.KeyInfo, bytes.Clone(k.Secret())
		info.PublicShares = slices.Clone(info.PublicShares)
		change(&info, scalar)
		s := threshold.NewKeyShare(info, scalar)
		defer s.Destroy()
		b := s.Bytes()
		defer b.Wipe()
		return bytes.Clone(b.Bytes())
	}
	good := stored(func(*threshold.KeyInfo, []byte) {})
	back, err := c.scheme.ParseKeyShare(good)
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != k.Digest() || back.Party != k.Party || !bytes.Equal(back.Secret(), k.Secret()) {
		t.Error("a stored share came back different")
	}
	back.Destroy()
	for name, b := range map[string][]byte{
		"empty":     nil,
		"truncated": good[:len(good)-1],
		"trailing":  append(bytes.Clone(good), 0),
		"another scalar": stored(func(_ *threshold.KeyInfo, s []byte) {
			s[15] ^= 1
		}),
		"another party":        stored(func(i *threshold.KeyInfo, _ []byte) { i.Party = c.q[1] }),
		"another kind":         stored(func(i *threshold.KeyInfo, _ []byte) { i.Kind = "another" }),
		"another public share": stored(func(i *threshold.KeyInfo, _ []byte) { i.PublicShares[0] = i.PublicShares[1] }),
	} {
		if s, err := c.scheme.ParseKeyShare(b); err == nil {
			s.Destroy()
			t.Errorf("%s record accepted", name)
		}
	}
}

// otherKind: nothing is done with a key of another kind, whoever holds it.
func (c *contract) otherKind(t *testing.T) {
	p, k := c.q[0], c.ks[c.q[0]]
	foreign := threshold.NewKeyShare(k.KeyInfo, bytes.Clone(k.Secret()))
	defer foreign.Destroy()
	foreign.Kind = "another"
	if _, err := c.scheme.NewSigner(foreign); err == nil {
		t.Error("a share of another kind may sign")
	}
	if s, err := c.scheme.Refresh(c.w.Setup(p, nil, "x"), foreign, c.w.Rand(p)); err == nil {
		s.Erase()
		t.Error("a share of another kind is refreshed")
	}
	for name, entry := range map[string]threshold.PresignKey{
		"share": {Info: foreign.KeyInfo, Share: foreign}, "record": {Info: foreign.KeyInfo, Share: k},
		"share under our record": {Info: k.KeyInfo, Share: foreign},
	} {
		if s, err := c.w.As(c.scheme, p).Presign(c.w.Setup(p, c.q, "x"), []threshold.PresignKey{entry}, c.w.Rand(p)); err == nil {
			s.Erase()
			t.Errorf("presigns with a %s of another kind", name)
		}
	}
	reqs := c.presigned(t, 1)
	shares, err := signatureShares(c.scheme, c.ks, c.q, reqs, 0)
	if err != nil {
		t.Fatal(err)
	}
	req := reqs[p][0]
	if _, err := c.scheme.Combine(foreign.KeyInfo, req, shares); err == nil {
		t.Error("combines under a record of another kind")
	}
	if c.scheme.VerifyShare(foreign.KeyInfo, req, shares[0]) == nil {
		t.Error("verifies a share under a record of another kind")
	}
	relabelled := *req.Pre
	relabelled.Scheme = "another"
	req.Pre = &relabelled
	if _, err := c.scheme.Combine(k.KeyInfo, req, shares); err == nil {
		t.Error("combines with a presignature of another scheme")
	}
}

func (c *contract) quorums(t *testing.T) {
	for k := c.w.Committee.Threshold; k <= c.w.Committee.N(); k++ {
		c.w.Committee.Subsets(k, func(q []threshold.PartyID) bool {
			// A scheme may refuse more signers than are needed, from the start.
			s, refused := c.w.As(c.scheme, q[0]).Presign(c.w.Setup(q[0], q, "x"), keys(c.ks, q, q[0], 1), c.w.Rand(q[0]))
			if refused != nil && k > c.w.Committee.Threshold {
				return true
			}
			s.Erase()
			if _, err := c.w.SignWith(c.scheme, c.ks, q, c.message); err != nil {
				t.Errorf("%v: %v", q, err)
			}
			return true
		})
	}
	if err := c.w.tooFew(c.scheme, c.ks, c.message); err != nil {
		t.Error(err)
	}
	k := c.ks[c.q[0]]
	entry := []threshold.PresignKey{{Info: k.KeyInfo, Share: k}}
	reversed := slices.Clone(c.q)
	slices.Reverse(reversed)
	for name, q := range map[string][]threshold.PartyID{
		"too few": c.q[:len(c.q)-1], "reversed": reversed, "repeated": append([]threshold.PartyID{c.q[0]}, c.q...),
		"stranger": append(slices.Clone(c.q), 60000),
	} {
		if s, err := c.w.As(c.scheme, k.Party).Presign(c.w.Setup(k.Party, q, "x"), entry, c.w.Rand(k.Party)); err == nil {
			s.Erase()
			t.Errorf("%s signers accepted", name)
		}
	}
	for name, keys := range map[string][]threshold.PresignKey{
		"no key": nil, "no share": {{Info: k.KeyInfo}}, "another's share": {{Info: k.KeyInfo, Share: c.ks[c.q[1]]}},
	} {
		if s, err := c.w.As(c.scheme, k.Party).Presign(c.w.Setup(k.Party, c.q, "x"), keys, c.w.Rand(k.Party)); err == nil {
			s.Erase()
			t.Errorf("presign with %s accepted", name)
		}
	}
}

// presigned makes n requests that the quorum can sign, and an observer combine if there is one left in the committee.
func (c *contract) presigned(t *testing.T, n int) requests {
	t.Helper()
	reqs, err := c.w.presignFor(c.scheme, c.ks, c.q, c.w.Committee.Parties, slices.Repeat([]threshold.SignRequest{{Message: c.message}}, n))
	if err != nil {
		t.Fatal(err)
	}
	return reqs
}

func (c *contract) shares(t *testing.T, reqs requests, i int) []*threshold.SignatureShare {
	t.Helper()
	out, err := signatureShares(c.scheme, c.ks, c.q, reqs, i)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *contract) presignatures(t *testing.T) {
	reqs := c.presigned(t, 4)
	seen := map[[32]byte]bool{}
	for i := range 4 {
		for p, x := range reqs {
			if x[i].Pre.ID != reqs[c.q[0]][i].Pre.ID || !slices.Equal(x[i].Pre.Signers, c.q) || x[i].Pre.Scheme != c.scheme.ID() {
				t.Errorf("party %d has another presignature", p)
			}
			if signs := x[i].Pre.Nonces != nil; signs != slices.Contains(c.q, p) {
				t.Errorf("party %d, nonces %v", p, signs)
			}
		}
		if id := reqs[c.q[0]][i].Pre.ID; seen[id] {
			t.Error("one identifier for two presignatures")
		} else {
			seen[id] = true
		}
	}
	// An observer combines.
	observer := c.w.Committee.Parties[len(c.w.Committee.Parties)-1]
	sig, err := c.scheme.Combine(c.ks[observer].KeyInfo, reqs[observer][0], c.shares(t, reqs, 0))
	if err != nil || c.scheme.Verify(c.ks[observer].GroupKey, nil, c.message, sig.Bytes) != nil {
		t.Errorf("an observer cannot combine: %v", err)
	}
	signer, err := c.scheme.NewSigner(c.ks[c.q[0]])
	if err != nil {
		t.Fatal(err)
	}
	burnt := reqs[c.q[0]][1]
	burnt.Pre.Burn()
	burnt.Pre.Burn()
	if _, err := signer.SignShare(burnt); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("a burnt presignature: %v", err)
	}
	if _, err := signer.SignShare(threshold.SignRequest{Message: c.message}); err == nil {
		t.Error("signs without a presignature")
	}
	if _, err := signer.SignShare(reqs[c.q[1]][2]); err == nil {
		t.Error("signs with another party's nonces")
	}
	relabelled := reqs[c.q[0]][3]
	relabelled.Pre.Scheme = "another"
	if _, err := signer.SignShare(relabelled); err == nil {
		t.Error("signs with a presignature of another scheme")
	}
	relabelled.Pre.Scheme = c.scheme.ID()
	if _, err := signer.SignShare(relabelled); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("what was refused is not burnt: %v", err)
	}
}

// erasure: of a session that was ended, or a share that was destroyed, nothing is left to go on with.
func (c *contract) erasure(t *testing.T) {
	p := c.q[0]
	setup := func() threshold.Setup { return c.w.Setup(p, nil, "x") }
	keygen, err := c.scheme.Keygen(setup(), c.w.Rand(p))
	erased(t, "keygen", keygen, err)
	refresh, err := c.scheme.Refresh(setup(), c.ks[p], c.w.Rand(p))
	erased(t, "refresh", refresh, err)
	presign, err := c.w.As(c.scheme, p).Presign(c.w.Setup(p, c.q, "x"), keys(c.ks, c.q, p, 1), c.w.Rand(p))
	erased(t, "presign", presign, err)

	gone := threshold.NewKeyShare(c.ks[p].KeyInfo, bytes.Clone(c.ks[p].Secret()))
	gone.Destroy()
	gone.Destroy()
	defer func() {
		if recover() == nil {
			t.Error("a destroyed share still lends its secret")
		}
	}()
	gone.Secret()
}

// erased begins a session and ends it.
func erased[R any](t *testing.T, name string, s *threshold.Session[R], err error) {
	t.Helper()
	if err == nil {
		_, err = s.Start()
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s.Erase()
	s.Erase()
	if _, done := s.Result(); done {
		t.Errorf("%s: an erased session has a result", name)
	}
	var a *threshold.Abort
	if _, err := s.Step(threshold.Message{}); !errors.As(err, &a) || a.Kind != threshold.Local || len(a.Culprits) > 0 {
		t.Errorf("%s: an erased session goes on: %v", name, err)
	}
}

// blame is the table of bad shares: the one who sent it is named, nobody else, and no signature comes out.
func (c *contract) blame(t *testing.T) {
	reqs := c.presigned(t, 2)
	good, other := c.shares(t, reqs, 0), c.shares(t, reqs, 1)
	last := len(good) - 1
	info := c.ks[c.q[0]].KeyInfo
	req := reqs[c.q[0]][0]
	with := func(i int, change func(*threshold.SignatureShare)) []*threshold.SignatureShare {
		out := slices.Clone(good)
		s := *good[i]
		s.Payload = bytes.Clone(s.Payload)
		change(&s)
		out[i] = &s
		return out
	}
	type row struct {
		name     string
		shares   []*threshold.SignatureShare
		culprits []threshold.PartyID // nil: refused without blame
		spoils   bool                // it has the right form: whether it convicts is a trait of the scheme
	}
	swapped := slices.Clone(good)
	swapped[0] = &threshold.SignatureShare{From: good[0].From, Pre: good[0].Pre, Payload: good[1].Payload}
	swapped[1] = &threshold.SignatureShare{From: good[1].From, Pre: good[1].Pre, Payload: good[0].Payload}
	rows := []row{
		{name: "swapped shares", shares: append([]*threshold.SignatureShare{good[1], good[0]}, good[2:]...)},
		{name: "one missing", shares: good[:last]},
		{name: "one too many", shares: append(slices.Clone(good), good[0])},
		{name: "none"},
		{name: "nil", shares: append([]*threshold.SignatureShare{nil}, good[1:]...)},
	}
	for i, p := range c.q {
		who := []threshold.PartyID{p}
		rows = append(rows,
			row{"wrong value", with(i, func(s *threshold.SignatureShare) { s.Payload[15] ^= 1 }), who, true},
			row{"zero", with(i, func(s *threshold.SignatureShare) { clear(s.Payload) }), who, true},
			row{"not canonical", with(i, func(s *threshold.SignatureShare) { copy(s.Payload, bytes.Repeat([]byte{0xff}, len(s.Payload))) }),
				who, false},
			row{"short", with(i, func(s *threshold.SignatureShare) { s.Payload = s.Payload[1:] }), who, false},
			row{"long", with(i, func(s *threshold.SignatureShare) { s.Payload = append(s.Payload, 0) }), who, false},
			row{"empty", with(i, func(s *threshold.SignatureShare) { s.Payload = nil }), who, false},
			row{"of another presignature, renamed", with(i, func(s *threshold.SignatureShare) { s.Payload = other[i].Payload }), who, true},
		)
	}
	for _, r := range rows {
		if r.spoils && !c.traits.Convicts {
			c.spoilt(t, r.name, info, req, r.shares)
			continue
		}
		sig, err := c.scheme.Combine(info, req, r.shares)
		if err == nil || sig.Bytes != nil {
			t.Errorf("%s: a signature came out", r.name)
			continue
		}
		var a *threshold.Abort
		switch {
		case r.culprits == nil:
			if errors.As(err, &a) && len(a.Culprits) > 0 {
				t.Errorf("%s: blames %v", r.name, a.Culprits)
			}
		case !errors.As(err, &a) || a.Kind != threshold.Ban || !slices.Equal(a.Culprits, r.culprits):
			t.Errorf("%s: got %v, want %v blamed", r.name, err, r.culprits)
		}
		for i, s := range r.shares {
			if s == nil || r.culprits == nil {
				continue
			}
			if bad := slices.Contains(r.culprits, s.From); (c.scheme.VerifyShare(info, req, s) != nil) != bad {
				t.Errorf("%s: VerifyShare judges share %d otherwise than Combine", r.name, i)
			}
		}
	}
	// The sum of swapped payloads is right, so Combine has nobody to blame; each alone is wrong.
	for _, s := range swapped[:2] {
		if c.traits.Convicts && c.scheme.VerifyShare(info, req, s) == nil {
			t.Errorf("another party's payload verifies as party %d's", s.From)
		}
	}
	another := req
	another.Message = append([]byte{c.message[0] ^ 1}, c.message[1:]...)
	if _, err := c.scheme.Combine(info, another, good); err == nil {
		t.Error("shares of one message sign another")
	}
	if _, err := c.scheme.Combine(info, req, good); err != nil {
		t.Errorf("the good shares after all that: %v", err)
	}
}

// spoilt: shares of the right form that give no signature are worth another try, and convict nobody.
func (c *contract) spoilt(t *testing.T, name string, info threshold.KeyInfo, req threshold.SignRequest,
	shares []*threshold.SignatureShare) {
	sig, err := c.scheme.Combine(info, req, shares)
	var a *threshold.Abort
	if sig.Bytes != nil || !errors.As(err, &a) || a.Kind != threshold.Retry || len(a.Culprits) > 0 {
		t.Errorf("%s: got %x and %v, want another try and nobody blamed", name, sig.Bytes, err)
	}
	for i, s := range shares {
		if c.scheme.VerifyShare(info, req, s) != nil {
			t.Errorf("%s: share %d is said to be wrong by a scheme that cannot tell", name, i)
		}
	}
}

// broken: with a generator that repeats itself, no nonce is there twice: of two entries, sessions, keys, or parties; and no key.
func (c *contract) broken(t *testing.T) {
	c.w.Broken = true
	defer func() { c.w.Broken = false }()
	seen := map[string]string{}
	fresh := func(what string, b []byte) {
		if was, ok := seen[string(b)]; ok {
			t.Errorf("%s is %s", what, was)
		}
		seen[string(b)] = what
	}
	other, err := c.w.Keygen(c.scheme)
	if err != nil {
		t.Fatal(err)
	}
	another, err := c.w.Keygen(c.scheme)
	if err != nil {
		t.Fatal(err)
	}
	fresh("the key of one ceremony", other[c.q[0]].GroupKey)
	fresh("the key of another", another[c.q[0]].GroupKey)
	for session := range 2 {
		for key, ks := range []Shares{c.ks, other} {
			pres, err := c.w.presign(c.scheme, ks, c.q, c.q, 2)
			if err != nil {
				t.Fatal(err)
			}
			for entry, pre := range pres[c.q[0]] {
				for i, commitment := range pre.Commitments {
					half := len(commitment)
					if c.scheme.Protocol() == "frost" {
						half /= 2 // hiding and binding
					}
					for n := 0; n < len(commitment); n += half {
						fresh(fmt.Sprintf("session %d, key %d, entry %d, signer %d, half %d", session, key, entry, i, n), commitment[n:n+half])
					}
				}
			}
		}
	}
}

func (c *contract) verify(t *testing.T) {
	sig, err := c.w.SignWith(c.scheme, c.ks, c.q, c.message)
	if err != nil {
		t.Fatal(err)
	}
	key := c.ks[c.q[0]].GroupKey
	flipped := func(b []byte, i int) []byte { b = bytes.Clone(b); b[i] ^= 1; return b }
	if c.scheme.Verify(key, nil, flipped(c.message, 0), sig) == nil {
		t.Error("verifies another message")
	}
	for i := range sig {
		if c.scheme.Verify(key, nil, c.message, flipped(sig, i)) == nil {
			t.Errorf("verifies with byte %d of the signature changed", i)
		}
	}
	if c.scheme.Verify(flipped(key, len(key)/2), nil, c.message, sig) == nil || c.scheme.Verify(key[:len(key)-1], nil, c.message,
		sig) == nil || c.scheme.Verify(nil, nil, c.message, sig) == nil || c.scheme.Verify(key, nil, c.message, nil) == nil ||
		c.scheme.Verify(key, nil, c.message, sig[1:]) == nil {
		t.Error("verifies with a damaged key or signature")
	}
}

func (c *contract) refresh(t *testing.T) {
	fresh, err := c.w.Refresh(c.scheme, c.ks)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameKey(fresh); err != nil {
		t.Error(err)
	}
	for p, k := range fresh {
		if !bytes.Equal(k.GroupKey, c.ks[p].GroupKey) || k.ChainCode != c.ks[p].ChainCode || k.Epoch != 2 ||
			bytes.Equal(k.Secret(), c.ks[p].Secret()) {
			t.Errorf("party %d: the key changed, or the share did not", p)
		}
	}
	if err := c.w.PairUp(c.scheme); err != nil { // new pair state comes with every refresh
		t.Fatal(err)
	}
	if _, err := c.w.SignWith(c.scheme, fresh, c.q, c.message); err != nil {
		t.Error(err)
	}
	if err := c.w.mixed(c.scheme, c.ks, fresh, c.q, c.message); err != nil {
		t.Error(err)
	}
	p := c.q[0]
	if s, err := c.scheme.Refresh(c.w.Setup(p, nil, "x"), c.ks[c.q[1]], c.w.Rand(p)); err == nil {
		s.Erase()
		t.Error("refreshes another party's share")
	}
	if s, err := c.scheme.Refresh(c.w.Setup(p, c.q, "x"), c.ks[p], c.w.Rand(p)); err == nil && len(c.q) < c.w.Committee.N() {
		s.Erase()
		t.Error("refreshes without the whole committee")
	}
	smaller := c.w.Setup(p, nil, "x")
	smaller.Committee.Threshold--
	if s, err := c.scheme.Refresh(smaller, c.ks[p], c.w.Rand(p)); err == nil {
		s.Erase()
		t.Error("a refresh lowers the threshold")
	}
}
