package thresholdtest

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// TestScheme holds a scheme to its contract: what threshold.Scheme says, for a 2-of-3 and a 3-of-4 committee. Messages are 32
// bytes, which every scheme takes.
func TestScheme(t *testing.T, scheme threshold.Scheme) {
	for _, size := range []struct{ n, t int }{{3, 2}, {4, 3}} {
		w := NewWorld(uint64(size.n), size.n, size.t)
		ks, err := w.Keygen(scheme)
		if err != nil {
			t.Fatal(err)
		}
		c := &contract{scheme: scheme, w: w, ks: ks, q: slices.Clone(w.Committee.Parties[:size.t]), message: NewRand(1, "message").Bytes(32)}
		t.Run("keys", c.keys)
		t.Run("records", c.records)
		t.Run("quorums", c.quorums)
		t.Run("presignatures", c.presignatures)
		t.Run("blame", c.blame)
		t.Run("verify", c.verify)
		t.Run("refresh", c.refresh)
		for _, k := range ks {
			k.Destroy()
		}
	}
}

type contract struct {
	scheme  threshold.Scheme
	w       *World
	ks      Shares
	q       []threshold.PartyID
	message []byte
}

func (c *contract) keys(t *testing.T) {
	if err := sameKey(c.ks); err != nil {
		t.Error(err)
	}
	for p, k := range c.ks {
		if k.Scheme != c.scheme.ID() || k.Epoch != 1 || !k.Committee.Equal(c.w.Committee) || k.ChainCode == [32]byte{} || k.Purpose == "" {
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
		"another party": stored(func(i *threshold.KeyInfo, _ []byte) { i.Party = c.q[1] }),
		"another scheme": stored(func(i *threshold.KeyInfo, _ []byte) {
			i.Scheme = "another"
		}),
		"another public share": stored(func(i *threshold.KeyInfo, _ []byte) { i.PublicShares[0] = i.PublicShares[1] }),
	} {
		if s, err := c.scheme.ParseKeyShare(b); err == nil {
			s.Destroy()
			t.Errorf("%s record accepted", name)
		}
	}
	foreign := threshold.NewKeyShare(k.KeyInfo, bytes.Clone(k.Secret()))
	defer foreign.Destroy()
	foreign.Scheme = "another"
	if _, err := c.scheme.NewSigner(foreign); err == nil {
		t.Error("a share of another scheme may sign")
	}
}

func (c *contract) quorums(t *testing.T) {
	for k := c.w.Committee.Threshold; k <= c.w.Committee.N(); k++ {
		c.w.Committee.Subsets(k, func(q []threshold.PartyID) bool {
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
		"too few": c.q[:len(c.q)-1], "reversed": reversed, "repeated": append([]threshold.PartyID{c.q[0]}, c.q...), "stranger": append(slices.Clone(c.q), 60000),
	} {
		if s, err := c.scheme.Presign(c.w.Setup(k.Party, q, "x"), entry, c.w.Rand(k.Party)); err == nil {
			s.Erase()
			t.Errorf("%s signers accepted", name)
		}
	}
	for name, keys := range map[string][]threshold.PresignKey{
		"no key": nil, "no share": {{Info: k.KeyInfo}}, "another's share": {{Info: k.KeyInfo, Share: c.ks[c.q[1]]}},
	} {
		if s, err := c.scheme.Presign(c.w.Setup(k.Party, c.q, "x"), keys, c.w.Rand(k.Party)); err == nil {
			s.Erase()
			t.Errorf("presign with %s accepted", name)
		}
	}
}

// presign makes n presignatures for the quorum, and for an observer if there is one left in the committee.
func (c *contract) presign(t *testing.T, n int) map[threshold.PartyID][]*threshold.Presignature {
	t.Helper()
	out, err := all(c.w, func(p threshold.PartyID) (*threshold.Session[[]*threshold.Presignature], error) {
		keys := make([]threshold.PresignKey, n)
		for i := range keys {
			keys[i] = threshold.PresignKey{Info: c.ks[p].KeyInfo}
			if slices.Contains(c.q, p) {
				keys[i].Share = c.ks[p]
			}
		}
		return c.scheme.Presign(c.w.Setup(p, c.q, "presign"), keys, c.w.Rand(p))
	}, c.w.Committee.Parties)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *contract) shares(t *testing.T, pres map[threshold.PartyID][]*threshold.Presignature, i int) []*threshold.SignatureShare {
	t.Helper()
	var out []*threshold.SignatureShare
	for _, p := range c.q {
		signer, err := c.scheme.NewSigner(c.ks[p])
		if err != nil {
			t.Fatal(err)
		}
		s, err := signer.SignShare(threshold.SignRequest{Message: c.message, Pre: pres[p][i]})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func (c *contract) presignatures(t *testing.T) {
	pres := c.presign(t, 3)
	seen := map[[32]byte]bool{}
	for i := range 3 {
		for p, x := range pres {
			if x[i].ID != pres[c.q[0]][i].ID || !slices.Equal(x[i].Signers, c.q) {
				t.Errorf("party %d has another presignature", p)
			}
			if signs := x[i].Nonces != nil; signs != slices.Contains(c.q, p) {
				t.Errorf("party %d, nonces %v", p, signs)
			}
		}
		if id := pres[c.q[0]][i].ID; seen[id] {
			t.Error("one identifier for two presignatures")
		} else {
			seen[id] = true
		}
	}
	// An observer combines.
	observer := c.w.Committee.Parties[len(c.w.Committee.Parties)-1]
	sig, err := c.scheme.Combine(c.ks[observer].KeyInfo, threshold.SignRequest{Message: c.message, Pre: pres[observer][0]}, c.shares(t, pres, 0))
	if err != nil || c.scheme.Verify(c.ks[observer].GroupKey, nil, c.message, sig.Bytes) != nil {
		t.Errorf("an observer cannot combine: %v", err)
	}
	signer, err := c.scheme.NewSigner(c.ks[c.q[0]])
	if err != nil {
		t.Fatal(err)
	}
	pre := pres[c.q[0]][1]
	pre.Burn()
	pre.Burn()
	if _, err := signer.SignShare(threshold.SignRequest{Message: c.message, Pre: pre}); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("a burnt presignature: %v", err)
	}
	if _, err := signer.SignShare(threshold.SignRequest{Message: c.message}); err == nil {
		t.Error("signs without a presignature")
	}
	if _, err := signer.SignShare(threshold.SignRequest{Message: c.message, Pre: pres[c.q[1]][2]}); err == nil {
		t.Error("signs with another party's nonces")
	}
}

// blame is the table of bad shares: the one who sent it is named, nobody else, and no signature comes out.
func (c *contract) blame(t *testing.T) {
	pres := c.presign(t, 2)
	good, other := c.shares(t, pres, 0), c.shares(t, pres, 1)
	last := len(good) - 1
	info := c.ks[c.q[0]].KeyInfo
	req := threshold.SignRequest{Message: c.message, Pre: pres[c.q[0]][0]}
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
	}
	swapped := slices.Clone(good)
	swapped[0] = &threshold.SignatureShare{From: good[0].From, Pre: good[0].Pre, Payload: good[1].Payload}
	swapped[1] = &threshold.SignatureShare{From: good[1].From, Pre: good[1].Pre, Payload: good[0].Payload}
	rows := []row{
		{"swapped shares", append([]*threshold.SignatureShare{good[1], good[0]}, good[2:]...), nil},
		{"one missing", good[:last], nil},
		{"one too many", append(slices.Clone(good), good[0]), nil},
		{"none", nil, nil},
		{"nil", append([]*threshold.SignatureShare{nil}, good[1:]...), nil},
	}
	for i, p := range c.q {
		who := []threshold.PartyID{p}
		rows = append(rows,
			row{"wrong value", with(i, func(s *threshold.SignatureShare) { s.Payload[15] ^= 1 }), who},
			row{"zero", with(i, func(s *threshold.SignatureShare) { clear(s.Payload) }), who},
			row{"not canonical", with(i, func(s *threshold.SignatureShare) { copy(s.Payload, bytes.Repeat([]byte{0xff}, len(s.Payload))) }), who},
			row{"short", with(i, func(s *threshold.SignatureShare) { s.Payload = s.Payload[1:] }), who},
			row{"long", with(i, func(s *threshold.SignatureShare) { s.Payload = append(s.Payload, 0) }), who},
			row{"empty", with(i, func(s *threshold.SignatureShare) { s.Payload = nil }), who},
			row{"of another presignature, renamed", with(i, func(s *threshold.SignatureShare) { s.Payload = other[i].Payload }), who},
		)
	}
	for _, r := range rows {
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
		case !errors.As(err, &a) || a.Kind != threshold.Proven || !slices.Equal(a.Culprits, r.culprits):
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
		if c.scheme.VerifyShare(info, req, s) == nil {
			t.Errorf("another party's payload verifies as party %d's", s.From)
		}
	}
	if _, err := c.scheme.Combine(info, threshold.SignRequest{Message: append([]byte{1}, c.message[1:]...), Pre: req.Pre}, good); err == nil {
		t.Error("shares of one message sign another")
	}
	if _, err := c.scheme.Combine(info, req, good); err != nil {
		t.Errorf("the good shares after all that: %v", err)
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
	if c.scheme.Verify(flipped(key, len(key)/2), nil, c.message, sig) == nil || c.scheme.Verify(key[:len(key)-1], nil, c.message, sig) == nil ||
		c.scheme.Verify(nil, nil, c.message, sig) == nil || c.scheme.Verify(key, nil, c.message, nil) == nil || c.scheme.Verify(key, nil, c.message, sig[1:]) == nil {
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
		if !bytes.Equal(k.GroupKey, c.ks[p].GroupKey) || k.ChainCode != c.ks[p].ChainCode || k.Epoch != 2 || bytes.Equal(k.Secret(), c.ks[p].Secret()) {
			t.Errorf("party %d: the key changed, or the share did not", p)
		}
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
