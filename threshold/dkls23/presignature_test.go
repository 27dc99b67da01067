package dkls23

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: C18, a presignature signs once. Method: use it again: at once, for another digest, in 1000 goroutines, after Burn, after a refused
// request, and in two agreements.
func TestC18PresignatureReuse(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	signer, err := f.scheme(q[0]).NewSigner(f.shares[q[0]])
	if err != nil {
		t.Fatal(err)
	}
	reqs := []threshold.SignRequest{{Message: digestOf("first")}, {Message: digestOf("parallel")}, {Message: digestOf("burnt")},
		{Message: digestOf("refused")}}
	pres := f.presign(t, q, 5)
	agreement := f.agree(t, q, reqs, pres)[q[0]]
	for i := range reqs {
		reqs[i].Pre, reqs[i].Agreement = pres[q[0]][i], agreement
	}
	if _, err := signer.SignShare(reqs[0]); err != nil {
		t.Fatal(err)
	}
	again := reqs[0]
	again.Message = digestOf("another")
	copied := *again.Pre
	copied.Prepared = pres[q[1]][0].Prepared
	for _, r := range []threshold.SignRequest{reqs[0], again, {Message: reqs[0].Message, Agreement: agreement, Pre: &copied}} {
		if _, err := signer.SignShare(r); !errors.Is(err, threshold.ErrBurnt) {
			t.Errorf("second use: %v", err)
		}
	}
	var wg sync.WaitGroup
	var made atomic.Int64
	for range 1000 {
		wg.Go(func() {
			if _, err := signer.SignShare(reqs[1]); err == nil {
				made.Add(1)
			} else if !errors.Is(err, threshold.ErrBurnt) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d shares from one presignature", made.Load())
	}
	reqs[2].Pre.Burn()
	reqs[2].Pre.Burn()
	if _, err := signer.SignShare(reqs[2]); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("after Burn: %v", err)
	}
	if n := reqs[2].Pre.Nonces.(*secrets); n.phi.IsZero()&n.u.IsZero()&n.v.IsZero() != 1 {
		t.Error("Burn leaves secrets")
	}
	bad := reqs[3]
	bad.Message = digestOf("not agreed")
	if _, err := signer.SignShare(bad); err == nil {
		t.Error("signs what was not agreed")
	}
	if _, err := signer.SignShare(reqs[3]); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("after a refusal: %v", err)
	}
	for i := range reqs {
		if n := pres[q[0]][i].Nonces.(*secrets); n.phi.IsZero()&n.u.IsZero()&n.v.IsZero() != 1 {
			t.Errorf("presignature %d leaves secrets", i)
		}
	}

	// An agreement that is given up burns; a retry needs another presignature.
	f.next()
	open := func() (*threshold.Session[[][32]byte], error) {
		return f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: digestOf("m"), Pre: pres[q[0]][4]}}, f.rand(q[0]))
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("a second agreement: %v", err)
	}
	s.Erase()
	spent := threshold.SignRequest{Message: digestOf("m"), Pre: pres[q[0]][4], Agreement: agreement}
	if _, err := signer.SignShare(spent); !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("after a failed agreement: %v", err)
	}
}

// Goal: C19, no share leaves unless all signers agreed on this digest, tweak and these nonces. Method: split views in the agreement; then
// a caller that asks for something else than agreed.
func TestC19Agreement(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	tweak := []threshold.Tweak{{T: [32]byte{31: 9}}}
	message := digestOf("agreed")
	views := []threshold.SignRequest{{Message: digestOf("other")}, {Message: message, Tweaks: tweak}}
	pres := f.presign(t, q, len(views)+6)
	for i, view := range views {
		f.next()
		run := &thresholdtest.Run[[][32]byte]{World: f.World, Sessions: map[party]*threshold.Session[[][32]byte]{}}
		for k, r := range []threshold.SignRequest{{Message: message}, view} {
			var err error
			r.Pre = pres[q[k]][i]
			if run.Sessions[q[k]], err = f.scheme(q[k]).Agree(f.setup(q[k], q), []threshold.SignRequest{r}, f.rand(q[k])); err != nil {
				t.Fatal(err)
			}
		}
		out, err := run.Go()
		if err != nil {
			t.Fatal(err)
		}
		for k, p := range q {
			wantAbort(t, out[p].Abort, retry, "config-mismatch")
			if pres[q[k]][i].Nonces.(*secrets).state.Load() != burnt {
				t.Error("a failed agreement leaves the presignature")
			}
		}
	}

	rest := map[party]presignatures{q[0]: pres[q[0]][len(views):], q[1]: pres[q[1]][len(views):]}
	reqs := slices.Repeat([]threshold.SignRequest{{Message: message}}, 5)
	agreement := f.agree(t, q, reqs, rest)[q[0]]
	signer, err := f.scheme(q[0]).NewSigner(f.shares[q[0]])
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(agreement)
	other[1][0] ^= 1
	for i, r := range []threshold.SignRequest{
		{Message: digestOf("other"), Agreement: agreement},
		{Message: message, Tweaks: tweak, Agreement: agreement},
		{Message: message, Agreement: other},
		{Message: message},
		{Message: message, Agreement: agreement[:1]},
		{Message: message, Agreement: agreement}, // the sixth was never agreed on
	} {
		r.Pre = rest[q[0]][i]
		if _, err := signer.SignShare(r); err == nil {
			t.Errorf("request %d: signs what was not agreed", i)
		}
	}
	// What was presigned for one request signs no other, and needs no agreement.
	run, _ := f.presigning(t, q, reqs[:2], 2)
	bound := results(t, run)
	for i, r := range []threshold.SignRequest{{Message: digestOf("other")}, {Message: message, Agreement: agreement}} {
		r.Pre = bound[q[0]][i]
		if _, err := signer.SignShare(r); err == nil {
			t.Errorf("request %d: signs what was not presigned for", i)
		}
	}
	run, _ = f.presigning(t, q, reqs[:4], 4)
	bound = results(t, run)
	free := f.presign(t, q, 3)
	for name, pre := range map[string]pre{"for one request already": bound[q[0]][0], "with another's secrets": free[q[1]][0]} {
		for self, signers := range map[party][]party{q[0]: q, 60000: q} { // an observer is refused too
			reqs := []threshold.SignRequest{{Message: message, Pre: pre}}
			if _, err := f.scheme(q[0]).Agree(f.setup(self, signers), reqs, f.rand(q[0])); err == nil && (self == q[0] || pre == bound[q[0]][0]) {
				t.Errorf("agrees on a presignature %s", name)
			}
		}
	}
	for name, x := range map[string]func() error{
		"other signers": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], []party{q[0], f.Committee.Parties[2]}),
				[]threshold.SignRequest{{Message: message, Pre: free[q[0]][0]}}, f.rand(q[0]))
			return err
		},
		"none": func() error { _, err := f.scheme(q[0]).Agree(f.setup(q[0], q), nil, f.rand(q[0])); return err },
		"no presignature": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: message}}, f.rand(q[0]))
			return err
		},
		"a foreign one": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: message, Pre: &threshold.Presignature{Signers: q}}},
				f.rand(q[0]))
			return err
		},
		"an x-only tweak": func() error {
			r := threshold.SignRequest{Message: message, Pre: free[q[0]][0], Tweaks: []threshold.Tweak{{T: tweak[0].T, XOnly: true}}}
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{r}, f.rand(q[0]))
			return err
		},
		"no randomness": func() error {
			_, err := f.scheme(q[0]).Agree(f.setup(q[0], q), []threshold.SignRequest{{Message: message, Pre: free[q[0]][1]}},
				&failing{f.rand(q[0]), 31})
			return err
		},
	} {
		if x() == nil {
			t.Errorf("agrees on %s", name)
		}
	}
	if free[q[0]][0].Nonces.(*secrets).state.Load() != idle || free[q[0]][1].Nonces.(*secrets).state.Load() != burnt {
		t.Error("a refused agreement burns, or one without randomness does not")
	}
	// Nor does a presignature sign with another party's share, or if it was exchanged.
	theirs, err := f.scheme(q[1]).NewSigner(f.shares[q[1]])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.SignShare(threshold.SignRequest{Message: message, Pre: bound[q[0]][1]}); err == nil {
		t.Error("signs with another's secrets")
	}
	exchanged := *bound[q[0]][2]
	exchanged.Nonces = bound[q[0]][3].Nonces
	if _, err := signer.SignShare(threshold.SignRequest{Message: message, Pre: &exchanged}); err == nil {
		t.Error("signs with another presignature's secrets")
	}
	// Combine refuses what the presignature is not for, before it blames the shares.
	var a *threshold.Abort
	shares := f.sharesOf(t, q, reqs[0], bound, 0)
	for name, r := range map[string]threshold.SignRequest{
		"another request":        {Message: digestOf("other"), Pre: bound[q[0]][0]},
		"an agreement":           {Message: message, Pre: bound[q[0]][0], Agreement: agreement},
		"no agreement":           {Message: message, Pre: free[q[0]][2]},
		"a part of an agreement": {Message: message, Pre: free[q[0]][2], Agreement: agreement[:1]},
	} {
		if _, err := (Scheme{}).Combine(f.shares[q[0]].KeyInfo, r, shares); err == nil || errors.As(err, &a) {
			t.Errorf("combines with %s: %v", name, err)
		}
	}
	other2 := f.shares[q[0]].KeyInfo
	other2.Epoch++
	if _, err := (Scheme{}).Combine(other2, threshold.SignRequest{Message: message, Pre: bound[q[0]][0]}, shares); err == nil {
		t.Error("combines for another epoch of the key")
	}
	for name, change := range map[string]func(*threshold.Presignature){
		"ID":      func(p *threshold.Presignature) { p.ID[0] ^= 1 },
		"signers": func(p *threshold.Presignature) { p.Signers = f.Committee.Parties[1:] },
		"commitments": func(p *threshold.Presignature) {
			p.Commitments = slices.Clone(p.Commitments)
			slices.Reverse(p.Commitments)
		},
	} {
		altered := *bound[q[0]][0]
		change(&altered)
		if _, err := (Scheme{}).Combine(f.shares[q[0]].KeyInfo, threshold.SignRequest{Message: message, Pre: &altered}, shares); err == nil ||
			errors.As(err, &a) {
			t.Errorf("combines with altered %s: %v", name, err)
		}
	}
}

// Goal: what is kept of the request last seen answers that request only. Method: combine the agreed request, then with another digest,
// child and agreement, then the agreed one again.
func TestRequestRemembered(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	pres := f.presign(t, q, 1)
	req := threshold.SignRequest{Message: digestOf("agreed")}
	req.Agreement = f.agree(t, q, []threshold.SignRequest{req}, pres)[q[0]]
	shares := f.sharesOf(t, q, req, pres, 0)
	other := slices.Clone(req.Agreement)
	other[1][0] ^= 1
	for _, c := range []struct {
		name string
		req  threshold.SignRequest
		good bool
	}{
		{"agreed", req, true},
		{"another digest", threshold.SignRequest{Message: digestOf("other"), Agreement: req.Agreement}, false},
		{"agreed again", req, true},
		{"another child", threshold.SignRequest{Message: req.Message, Agreement: req.Agreement, Tweaks: []threshold.Tweak{{T: [32]byte{31: 9}}}},
			false},
		{"agreed a third time", req, true},
		{"another agreement", threshold.SignRequest{Message: req.Message, Agreement: other}, false},
		{"agreed a fourth time", req, true},
		{"no agreement", threshold.SignRequest{Message: req.Message}, false},
	} {
		if sig, err := f.combine(q[0], c.req, pres[q[0]][0], shares); (err == nil) != c.good || (sig.Bytes != nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Goal: secrets are handed out in one state only, and to one taker. Method: every state; then takers that spin for the same moment.
func TestTake(t *testing.T) {
	for state, want := range map[uint32]error{idle: errNotAgreed, agreeing: errNotAgreed, agreed: nil, burnt: threshold.ErrBurnt} {
		n := &secrets{}
		n.state.Store(state)
		if _, _, _, err := n.take(); err != want {
			t.Errorf("state %d: %v, want %v", state, err, want)
		}
	}
	for range 3000 {
		n := &secrets{}
		n.state.Store(agreed)
		var ready, takers atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for ready.Add(1); ready.Load() < 2; {
				}
				if _, _, _, err := n.take(); err == nil {
					takers.Add(1)
				}
			})
		}
		wg.Wait()
		if takers.Load() != 1 {
			t.Fatalf("%d takers", takers.Load())
		}
	}
}

// Goal: the raw-hash forgery on presignatures (Groth and Shoup, ePrint 2021/1330) works against shares without re-randomisation and not
// against ours. Method: run it against both. To forge on h*, choose a, r' = x(a·R), ask for h = h*·r/r'; then s' = s·r'/(r·a) fits
// (r', h*).
func TestRawHashForgery(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	info := f.shares[q[0]].KeyInfo
	target := digestOf("target of the forgery")
	// attack returns whether the forgery verifies, given an oracle that signs one digest with a presignature whose R the attacker knows.
	attack := func(pre pre, oracle func(digest []byte) threshold.Signature) bool {
		R := &pre.Prepared.(*prepared).point
		a := new(secp256k1.Scalar).SetUint64(12345)
		forgedR := new(secp256k1.Point).ScalarMult(a, R)
		r, _ := coordinate(R)
		r2, _ := coordinate(forgedR)
		z := new(secp256k1.Scalar).SetBytesReduced(target)
		var h, inv, s secp256k1.Scalar
		h.Mul(z, r)
		h.Mul(&h, inv.Invert(r2))
		sig := oracle(h.Bytes())
		if _, err := s.SetBytes(sig.Bytes[32:]); err != nil {
			t.Fatal(err)
		}
		s.Mul(&s, r2)
		s.Mul(&s, inv.Invert(r))
		s.Mul(&s, inv.Invert(a))
		s.CondNegate(s.IsHigh())
		return Scheme{}.Verify(info.GroupKey, nil, target, slices.Concat(r2.Bytes(), s.Bytes())) == nil
	}
	pres := f.presign(t, q, 2)

	naive := func(digest []byte) threshold.Signature { // delta = 0: shares of s under R itself
		z := new(secp256k1.Scalar).SetBytesReduced(digest)
		prep := pres[q[0]][0].Prepared.(*prepared)
		r, recovery := coordinate(&prep.point)
		var w, u secp256k1.Scalar
		for _, p := range q {
			n := pres[p][0].Nonces.(*secrets)
			w.MulAdd(z, &n.phi, &w)
			w.MulAdd(r, &n.v, &w)
			u.Add(&u, &n.u)
		}
		x := &request{binding: &binding{z: *z, child: prep.key.point}, r: *r, recovery: recovery}
		sig, err := x.signature(&w, &u)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	if !attack(pres[q[0]][0], naive) {
		t.Error("the forgery fails where it should succeed: the test proves nothing")
	}
	ours := func(digest []byte) threshold.Signature {
		rest := map[party]presignatures{q[0]: pres[q[0]][1:], q[1]: pres[q[1]][1:]}
		req := threshold.SignRequest{Message: digest}
		req.Agreement = f.agree(t, q, []threshold.SignRequest{req}, rest)[q[0]]
		sig, err := f.combine(q[0], req, rest[q[0]][0], f.sharesOf(t, q, req, rest, 0))
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	if attack(pres[q[0]][1], ours) {
		t.Error("a signature was forged")
	}
}

// Goal: delta depends on every nonce, the digest, the tweak, the key, the signers and R, so no party and no requester can fix it. Method:
// change one at a time; all must differ.
func TestRerandomiser(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	pres := f.presign(t, q, 2)[q[0]]
	seen := map[string]string{}
	try := func(name string, p *prepared, message []byte, tweaks []threshold.Tweak, agreement [][32]byte) {
		b, err := newBinding(p.key, threshold.SignRequest{Message: message, Tweaks: tweaks})
		if err != nil {
			t.Fatal(err)
		}
		d := p.rerandomiser(&request{binding: b, agreement: agreement})
		if other, ok := seen[string(d.Bytes())]; ok || d.IsZero() == 1 {
			t.Errorf("%s and %s have one delta", name, other)
		}
		seen[string(d.Bytes())] = name
	}
	p := pres[0].Prepared.(*prepared)
	m, nonces := digestOf("m"), [][32]byte{{1}, {2}}
	try("plain", p, m, nil, nonces)
	try("digest", p, digestOf("m2"), nil, nonces)
	try("tweak", p, m, []threshold.Tweak{{T: [32]byte{31: 1}}}, nonces)
	try("first nonce", p, m, nil, [][32]byte{{3}, {2}})
	try("second nonce", p, m, nil, [][32]byte{{1}, {3}})
	try("nonces swapped", p, m, nil, [][32]byte{{2}, {1}})
	try("no nonces", p, m, nil, nil)
	try("presignature", pres[1].Prepared.(*prepared), m, nil, nonces)
	other := &prepared{id: p.id, signers: p.signers, key: p.key, point: *secp256k1.NewGenerator()}
	try("R", other, m, nil, nonces)
	other = &prepared{id: [32]byte{1}, signers: p.signers, key: p.key, point: p.point}
	try("ID alone", other, m, nil, nonces)
	other = &prepared{id: p.id, signers: f.Committee.Parties[1:], key: p.key, point: p.point}
	try("signers", other, m, nil, nonces)
	key := *p.key
	key.point.Add(&key.point, secp256k1.NewGenerator())
	other = &prepared{id: p.id, signers: p.signers, key: &key, point: p.point}
	try("key", other, m, nil, nonces)
}

// Goal: a presignature prints no secret. Method: every usual verb, on it and on its burner.
func TestPresignaturePrintsNothing(t *testing.T) {
	f := newFixture(t, 3, 2)
	q := f.Committee.Parties[:2]
	pre := f.presign(t, q, 1)[q[0]][0]
	n := pre.Nonces.(*secrets)
	var out string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		out += fmt.Sprintf(verb, *pre) + fmt.Sprintf(verb, n) + fmt.Sprintf(verb, pre.Nonces)
	}
	for _, s := range []*secp256k1.Scalar{&n.phi, &n.u, &n.v} {
		limb := new(big.Int).SetBytes(s.Bytes()[24:])
		if strings.Contains(out, fmt.Sprintf("%x", s.Bytes()[:8])) || strings.Contains(out, limb.String()) ||
			strings.Contains(out, limb.Text(16)) {
			t.Errorf("prints a secret: %s", out)
		}
	}
}

// Goal: a signer that splits the others over two sets of nonces gets no signature, and the honest ones sign the agreed request only.
// Method: equivocate in Agree's OPEN, then let everybody sign with what it has.
func TestSplitAgreement(t *testing.T) {
	f := newFixture(t, 5, 3)
	q := f.Committee.Parties[:3]
	pres := f.presign(t, q, 1)
	f.next()
	req := threshold.SignRequest{Message: digestOf("split")}
	run := &thresholdtest.Run[[][32]byte]{World: f.World, Sessions: map[party]*threshold.Session[[][32]byte]{},
		Liars: map[party]thresholdtest.Tamper{}}
	for _, p := range q {
		r := req
		r.Pre = pres[p][0]
		var err error
		if run.Sessions[p], err = f.scheme(p).Agree(f.setup(p, q), []threshold.SignRequest{r}, f.rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	run.Liars[q[1]] = func(m threshold.Message, to party) []threshold.Message {
		if to == q[2] {
			m.Body = bytes.Clone(m.Body)
			m.Body[len(m.Body)-1] ^= 1
		}
		return []threshold.Message{m}
	}
	nonces := results(t, run)
	if slices.Equal(nonces[q[0]], nonces[q[2]]) {
		t.Fatal("the test splits nobody")
	}
	var shares []*threshold.SignatureShare
	for _, p := range q {
		req.Agreement = nonces[p]
		shares = append(shares, f.sharesOf(t, []party{p}, req, pres, 0)...)
	}
	for _, p := range q {
		req.Agreement = nonces[p]
		sig, err := f.combine(p, req, pres[p][0], shares)
		wantAbort(t, err, retry, "C15")
		if sig.Bytes != nil {
			t.Error("a signature came out")
		}
	}
}
