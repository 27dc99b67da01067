package dkg

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/poly"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

type (
	party   = threshold.PartyID
	message = threshold.Message
)

// scene is one ceremony with a liar, seen from above.
type scene struct {
	w                    *tt.World
	states               map[party]*state
	liar, victim, second party // second is honest, too
	before               map[party]*state
}

func (s *scene) st() *state { return s.states[s.liar] }

// row is one misbehaviour: what the liar commits to, what it sends instead of what the protocol says, and the verdict.
type row struct {
	name    string
	refresh bool
	opening func(s *scene)                                // runs after the liar's begin; D1 commits to the opening it leaves
	says    func(s *scene, m *message)                    // changes what the liar's engine broadcasts, and believes it has
	tamper  func(s *scene, m message, to party) []message // changes what leaves for one party
	want    func(s *scene, p party) []tt.Ending
	liar    tt.Ending // if not zero, how it ends for the liar's own engine
}

func proven(checks ...string) func(*scene, party) []tt.Ending {
	return func(s *scene, _ party) []tt.Ending { return tt.Proven(s.liar, checks...) }
}

func always(e []tt.Ending) func(*scene, party) []tt.Ending {
	return func(*scene, party) []tt.Ending { return e }
}

// in changes the liar's broadcast of one round, for everybody.
func in(round uint8, change func(s *scene, m *message)) func(*scene, message, party) []message {
	return to(round, func(s *scene, m *message, _ party) { change(s, m) })
}

// say makes the liar's engine broadcast something else in one round.
func say(round uint8, change func(s *scene, m *message)) func(*scene, *message) {
	return func(s *scene, m *message) {
		if m.Round == round {
			change(s, m)
		}
	}
}

// only changes it for the victim alone.
func only(round uint8, change func(s *scene, m *message)) func(*scene, message, party) []message {
	return to(round, func(s *scene, m *message, p party) {
		if p == s.victim {
			change(s, m)
		}
	})
}

func to(round uint8, change func(s *scene, m *message, p party)) func(*scene, message, party) []message {
	return func(s *scene, m message, p party) []message {
		if m.Round == round && m.Kind == threshold.Data {
			m.Body = slices.Clone(m.Body)
			change(s, &m, p)
		}
		return []message{m}
	}
}

// also sends something on top of everything.
func also(more func(s *scene, m message) []message) func(*scene, message, party) []message {
	return func(s *scene, m message, _ party) []message { return append(more(s, m), m) }
}

func setPoint(at int, enc []byte) func(s *scene, m *message) {
	return func(_ *scene, m *message) { copy(m.Body[at:], enc) }
}

// badPoints are encodings that no decoder may take.
func badPoints(t *testing.T) map[string][]byte {
	identity := edwards25519.NewIdentityPoint().Bytes()
	// A point of order 8, and one with a torsion component in the cofactor's coset.
	order8 := []byte{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a}
	p, err := new(edwards25519.Point).SetBytes(order8)
	if err != nil {
		t.Fatal(err)
	}
	mixed := p.Add(p, edwards25519.NewGeneratorPoint()).Bytes()
	off := make([]byte, 32)
	for off[0] = 2; ; off[0]++ {
		if _, err := new(edwards25519.Point).SetBytes(off); err != nil {
			break
		}
	}
	nonCanonical := bytes.Repeat([]byte{0xff}, 32) // y = 2^255-1-... with x sign: y ≥ p
	nonCanonical[0], nonCanonical[31] = 0xf0, 0x7f // y = p+3
	return map[string][]byte{"identity": identity, "torsion": order8, "mixed torsion": mixed, "off the curve": off,
		"not canonical": nonCanonical}
}

var edParams = Params{Group: group.Ed25519, Kind: threshold.Ed25519.ID}
var skParams = Params{Group: group.Secp256k1, Kind: threshold.BIP340.ID, Finish: func(o *Outcome) {
	// Some public rule, as Taproot's.
	t := group.Secp256k1.HashToScalar("mpcd/v1/test/finish", o.GroupKey.Bytes())
	tg := group.Secp256k1.NewPoint().ScalarBaseMult(t)
	o.Share.Add(o.Share, t)
	o.GroupKey.Add(o.GroupKey, tg)
	for _, p := range o.Public {
		p.Add(p, tg)
	}
}}

// speech is a round of the liar's that says something else than the protocol's.
type speech struct {
	threshold.Round[share]
	s     *scene
	says  func(*scene, *message)
	round uint8
}

func (c *speech) Advance(rand io.Reader, in []threshold.Received) (step, error) {
	next, err := c.Round.Advance(rand, in)
	return c.s.speak(next, c.says, c.round+1), err
}

func (s *scene) speak(next step, says func(*scene, *message), round uint8) step {
	for i, o := range next.Out {
		if says != nil {
			m := message{Session: s.st().id, Round: round, Body: slices.Clone(o.Body)}
			says(s, &m)
			next.Out[i].Body = m.Body
		}
	}
	if next.Next != nil {
		next.Next = &speech{next.Next, s, says, round}
	}
	return next
}

func otherParams(p Params) Params {
	if p.Group == group.Ed25519 {
		return skParams
	}
	return edParams
}

// cheat opens the liar's session: the engine's, but for the opening and what it says.
func (s *scene) cheat(st *state, r *row, rand io.Reader) (*threshold.Session[share], error) {
	set := st.setup
	set.Context = st.context(set.Context)
	return threshold.NewSession(set, rand, threshold.Opening[share]{
		Judge: st.verify, Discard: share.Destroy,
		Begin: func(rand io.Reader, id threshold.SessionID, in []threshold.Received) (step, error) {
			next, err := st.begin(rand, id, in)
			if err == nil && r.opening != nil {
				r.opening(s)
				com := commitment(id, st.setup.Self, st.encBytes[st.setup.Self], st.opens)
				copy(next.Out[0].Body, com[:])
			}
			return s.speak(next, r.says, 1), err
		},
	})
}

// ceremony runs one; r is nil for an honest one.
func ceremony(t *testing.T, w *tt.World, p Params, old map[party]*threshold.KeyShare, r *row,
	before map[party]*state) (*scene, map[party]tt.Outcome[share]) {
	t.Helper()
	ids := w.Committee.Parties
	s := &scene{w: w, states: map[party]*state{}, before: before}
	run := &tt.Run[share]{World: w, Sessions: map[party]*threshold.Session[share]{}, Liars: map[party]tt.Tamper{}}
	if r != nil {
		s.liar, s.victim, s.second = ids[1], ids[2], ids[0]
		if w.Seed%2 == 0 {
			s.liar, s.victim, s.second = ids[2], ids[0], ids[1]
		}
		if r.tamper != nil {
			run.Liars[s.liar] = func(m message, to party) []message { return r.tamper(s, m, to) }
		}
	}
	for _, id := range ids {
		st, err := newState(p, w.Setup(id, nil, "byzantine"), old[id])
		if err != nil {
			t.Fatal(err)
		}
		s.states[id] = st
		var x *threshold.Session[share]
		if r != nil && id == s.liar {
			x, err = s.cheat(st, r, w.Rand(id))
		} else {
			x, err = st.session(w.Rand(id))
		}
		if err != nil {
			t.Fatal(err)
		}
		run.Sessions[id] = x
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	return s, out
}

// wiped asserts that nothing secret is left of a ceremony.
func wiped(t *testing.T, p party, st *state) {
	t.Helper()
	if st.poly != nil && !st.poly.Constant().IsZero() || st.enc != nil && !st.enc.IsZero() {
		t.Errorf("party %d keeps its polynomial or its decryption key", p)
	}
	for q, s := range st.shares {
		if !s.IsZero() {
			t.Errorf("party %d keeps the share dealt by %d", p, q)
		}
	}
	for q, k := range st.shared {
		if !wipedPoint(k) {
			t.Errorf("party %d keeps its ECDH point with %d", p, q)
		}
	}
}

func wipedPoint(p group.Point) bool {
	return fmt.Sprint(p) == fmt.Sprint(emptyOf(p))
}

func emptyOf(p group.Point) group.Point {
	var e group.Point
	if _, ok := p.(*group.SkPoint); ok {
		e = group.Secp256k1.NewPoint()
	} else {
		e = group.Ed25519.NewPoint()
	}
	e.Wipe()
	return e
}

// Goal: whoever breaks the protocol is blamed by every honest party, by the right check, with evidence that convinces a
// third party; nobody honest ever is, and nothing secret is left. Method: a table of misbehaviours, each tried on both
// curves and on networks that keep order, reorder, and lose.
func TestByzantine(t *testing.T) {
	for _, p := range []Params{edParams, skParams} {
		pasts := map[pastKey]*past{}
		for _, r := range append(rows(t, p), conductRows()...) {
			t.Run(p.Group.Name()+"/"+r.name, func(t *testing.T) {
				try(t, p, r, 1, "in order", pasts)
				if p.Group == group.Ed25519 {
					try(t, p, r, 2, "reordered", pasts)
					try(t, p, r, 3, "reordered", pasts)
					try(t, p, r, 1, "rough", pasts)
				}
			})
		}
		for _, h := range pasts {
			for _, k := range h.shares {
				k.Destroy()
			}
		}
	}
}

// past is what honest ceremonies left behind.
type past struct {
	w      tt.World
	shares map[party]*threshold.KeyShare
	before map[party]*state
}

type pastKey struct {
	seed    uint64
	refresh bool
}

func pastOf(t *testing.T, p Params, k pastKey) *past {
	w := tt.NewWorld(k.seed, 4, 3)
	_, first := ceremony(t, w, p, nil, nil, nil)
	h := &past{shares: map[party]*threshold.KeyShare{}}
	for id, o := range first {
		if !o.Done {
			t.Fatalf("honest keygen: %v", o.Abort)
		}
		h.shares[id] = o.Result
	}
	var old map[party]*threshold.KeyShare
	if k.refresh {
		old = h.shares
	}
	s, out := ceremony(t, w, p, old, nil, nil)
	for _, o := range out {
		o.Result.Destroy()
	}
	h.before, h.w = s.states, *w
	return h
}

func try(t *testing.T, p Params, r row, seed uint64, network string, pasts map[pastKey]*past) {
	t.Helper()
	k := pastKey{seed, r.refresh}
	if pasts[k] == nil {
		pasts[k] = pastOf(t, p, k)
	}
	h := pasts[k]
	w := h.w
	var old map[party]*threshold.KeyShare
	var info *threshold.KeyInfo
	if r.refresh {
		old, info = h.shares, &h.shares[w.Committee.Parties[0]].KeyInfo
	}
	w.Faults = tt.Networks()[network]
	third := w.Setup(0, nil, "byzantine")
	s, out := ceremony(t, &w, p, old, &r, h.before)
	t.Logf("seed %d, network %s", seed, network)
	tt.Judged(t, s.liar, out, w.Faults.Lossy(), func(q party) []tt.Ending { return r.want(s, q) },
		func(a *threshold.Abort) error { return VerifyEvidence(p, third, info, a) })
	// Rules of another ceremony convict nobody, whatever it has done in this one.
	for _, o := range out {
		if o.Abort == nil || o.Abort.Kind != threshold.Proven {
			continue
		}
		others := map[string]func(p *Params, s *threshold.Setup, old **threshold.KeyInfo){
			"curve":     func(p *Params, _ *threshold.Setup, _ **threshold.KeyInfo) { *p = otherParams(*p) },
			"kind":      func(p *Params, _ *threshold.Setup, _ **threshold.KeyInfo) { p.Kind = "another" },
			"threshold": func(_ *Params, s *threshold.Setup, _ **threshold.KeyInfo) { s.Committee.Threshold-- },
			"context":   func(_ *Params, s *threshold.Setup, _ **threshold.KeyInfo) { s.Context = []byte("another") },
			"operation": func(_ *Params, _ *threshold.Setup, old **threshold.KeyInfo) {
				if *old = nil; !r.refresh {
					*old = &h.shares[w.Committee.Parties[0]].KeyInfo
				}
			},
		}
		for name, change := range others {
			p, set, old := p, third, info
			change(&p, &set, &old)
			if strings.HasPrefix(o.Abort.Check, "dkg-") && VerifyEvidence(p, set, old, o.Abort) == nil {
				t.Errorf("%v convicts under another %s", o.Abort, name)
			}
		}
	}
	for id, st := range s.states {
		wiped(t, id, st)
	}
	if r.liar != (tt.Ending{}) && !w.Faults.Lossy() {
		if a := out[s.liar].Abort; a == nil || a.Kind != r.liar.Kind || a.Check != r.liar.Check {
			t.Errorf("the liar's own engine ends with %v, want %v", a, r.liar)
		}
	}
	for _, o := range out {
		if o.Done {
			o.Result.Destroy()
		}
	}
}

// conductRows are misbehaviours that every protocol's sessions judge alike.
func conductRows() []row {
	flip := func(at int) func(*scene, *message) { return func(_ *scene, m *message) { m.Body[at] ^= 1 } }
	echo := func(_ *scene, m *message) { m.Echo[0] ^= 1 }
	sess := func(_ *scene, m *message) { m.Session[0] ^= 1 }
	silent := func(tamper func(*scene, message, party) []message) func(*scene, message, party) []message {
		return func(s *scene, m message, p party) []message {
			if m.Kind == threshold.Originals {
				return nil
			}
			return tamper(s, m, p)
		}
	}
	originals := func(change func(s *scene, m *message)) func(*scene, message, party) []message {
		return func(s *scene, m message, p party) []message {
			if m.Kind == threshold.Originals {
				change(s, &m)
				return []message{m}
			}
			return in(2, echo)(s, m, p)
		}
	}
	return []row{
		{name: "honest", want: always(tt.Done)},
		{name: "honest refresh", refresh: true, want: always(tt.Done)},
		{name: "OPEN of another context", tamper: in(0, flip(40)), want: always(tt.Retry("config-mismatch"))},
		{name: "OPEN of another context and longer", tamper: in(0, func(_ *scene, m *message) {
			m.Body[40] ^= 1
			m.Body = append(m.Body, 0)
		}), want: always(tt.Retry("config-mismatch"))},
		{name: "OPEN empty", tamper: in(0, func(_ *scene, m *message) { m.Body = nil }), want: proven("open-length")},
		{name: "OPEN short", tamper: in(0, func(_ *scene, m *message) { m.Body = m.Body[:63] }), want: proven("open-length")},
		{name: "OPEN long", tamper: in(0, func(_ *scene, m *message) { m.Body = append(m.Body, 0) }), want: proven("open-length")},
		{name: "OPEN nonce equivocated", tamper: only(0, flip(3)), want: proven("equivocation", "echo")},
		{name: "D1 equivocated", tamper: only(1, flip(3)), want: proven("equivocation", "echo")},
		{name: "two OPENs in one place", tamper: also(func(_ *scene, m message) []message {
			if m.Round == 0 && m.Kind == threshold.Data {
				m.Body = slices.Clone(m.Body)
				m.Body[0] ^= 1
				return []message{m}
			}
			return nil
		}), want: proven("equivocation")},
		{name: "two D2 in one place", tamper: also(func(_ *scene, m message) []message {
			if m.Round == 2 && m.Kind == threshold.Data {
				m.Echo[5] ^= 1
				return []message{m}
			}
			return nil
		}), want: proven("equivocation", "echo")},
		{name: "other session ID claimed", tamper: in(1, sess), want: proven("echo")},
		{name: "other session ID claimed late", tamper: in(2, sess), want: proven("echo")},
		{name: "other echo claimed in D2", tamper: in(2, echo), want: proven("echo")},
		{name: "other echo claimed in D3", tamper: in(3, echo), want: proven("echo")},
		{name: "other echo claimed to one", tamper: only(3, echo),
			want: func(s *scene, p party) []tt.Ending {
				return append(tt.Proven(s.liar, "echo", "equivocation"), tt.Done...)
			}},
		{name: "echo claimed, originals withheld", tamper: silent(in(2, echo)), want: always(tt.Waits)},
		{name: "echo claimed, originals incomplete", tamper: originals(func(_ *scene, m *message) {
			var os []rawOriginal
			if err := canon.Unmarshal(m.Body, &os); err != nil {
				panic(err)
			}
			m.Body = canon.MustMarshal(os[:len(os)-1])
		}), want: proven("originals")},
		{name: "echo claimed, originals forged", tamper: originals(func(_ *scene, m *message) {
			var os []rawOriginal
			if err := canon.Unmarshal(m.Body, &os); err != nil {
				panic(err)
			}
			os[0].Bytes[len(os[0].Bytes)-1] ^= 1
			m.Body = canon.MustMarshal(os)
		}), want: proven("originals")},
		{name: "echo claimed, originals garbage", tamper: originals(func(_ *scene, m *message) { m.Body = []byte("garbage") }),
			want: proven("originals")},
		{name: "from another party", tamper: also(func(s *scene, m message) []message {
			m.Proof = bytes.Repeat([]byte{1}, 64)
			m.Body = []byte("spoofed")
			m.From = s.second
			return []message{m}
		}), want: always(tt.Done)},
		{name: "from a stranger", tamper: also(func(s *scene, m message) []message {
			m.Proof = bytes.Repeat([]byte{1}, 64)
			m.From = 999
			return []message{m}
		}), want: always(tt.Done)},
		{name: "in another ceremony", tamper: also(func(s *scene, m message) []message {
			m.Body = []byte("other")
			m.Ceremony[0] ^= 1
			return []message{m}
		}), want: always(tt.Done)},
		{name: "of future rounds", tamper: also(func(s *scene, m message) []message {
			m.Kind, m.Body = threshold.Data, []byte("future")
			var ms []message
			for _, r := range []uint8{5, 15, 16, 255} {
				m.Round = r
				ms = append(ms, m)
			}
			return ms
		}), want: always(tt.Done)},
		{name: "direct where broadcast is due", tamper: func(s *scene, m message, p party) []message {
			d := m
			d.To, d.Body, d.Session[9], d.Echo[9] = p, []byte("direct"), 1, 1
			return []message{d, m}
		}, want: always(tt.Done)},
		{name: "of an unknown kind", tamper: also(func(s *scene, m message) []message {
			m.Kind = 77
			return []message{m}
		}), want: always(tt.Done)},
		{name: "oversized on top", tamper: also(func(s *scene, m message) []message {
			m.Round, m.Body = 7, make([]byte, threshold.MaxBody+1)
			return []message{m}
		}), want: always(tt.Done)},
		{name: "an accusation without evidence", tamper: also(func(s *scene, m message) []message {
			m.Kind, m.Body = threshold.Accusation, canon.MustMarshal(map[int]any{1: "equivocation", 2: []party{s.second}, 3: []int{}})
			return []message{m}
		}), want: always(tt.Done)},
		{name: "an accusation of garbage", tamper: also(func(s *scene, m message) []message {
			m.Kind, m.Body = threshold.Accusation, []byte("garbage")
			return []message{m}
		}), want: always(tt.Done)},
	}
}

type rawOriginal struct {
	From  party  `cbor:"1,keyasint"`
	Bytes []byte `cbor:"2,keyasint"`
	Proof []byte `cbor:"3,keyasint"`
}

// rows are the misbehaviours of this protocol.
func rows(t *testing.T, p Params) []row {
	g := p.Group
	pl, sl := g.PointLen(), g.ScalarLen()
	// Layout of a keygen's D2.
	possession := 3 * pl
	salt := possession + pl + sl + 32
	ciphertexts := salt + saltLen
	cut := func(n int) func(*scene, *message) {
		return func(_ *scene, m *message) { m.Body = m.Body[:len(m.Body)-n] }
	}
	long := func(_ *scene, m *message) { m.Body = append(m.Body, 0) }
	flip := func(at int) func(*scene, *message) { return func(_ *scene, m *message) { m.Body[at] ^= 1 } }
	// wrongShare adds one to what the liar dealt to a party.
	wrongShare := func(victims ...func(*scene) party) func(*scene, *message) {
		return say(2, func(s *scene, m *message) {
			for _, v := range victims {
				i := s.w.Committee.Position(v(s))
				if v(s) > s.liar {
					i--
				}
				at := len(m.Body) - (s.st().n-1-i)*sl
				x, err := g.NewScalar().SetCanonical(m.Body[at : at+sl])
				if err != nil {
					panic(err)
				}
				copy(m.Body[at:], x.Add(x, g.NewScalar().SetUint64(1)).Bytes())
				s.st().dealt[s.liar].ciphertexts[i].Set(x) // its engine believes it, too: a fault, not a lie
			}
		})
	}
	victim := func(s *scene) party { return s.victim }
	second := func(s *scene) party { return s.second }
	// complain replaces the liar's D3.
	complain := func(make func(s *scene) complaint) func(*scene, *message) {
		return say(3, func(s *scene, m *message) {
			var v verdict
			if err := canon.Unmarshal(m.Body, &v); err != nil {
				panic(err)
			}
			v.Complaints = append(v.Complaints, make(s))
			m.Body = canon.MustMarshal(v)
		})
	}
	truthful := func(s *scene, dealer party) complaint {
		st := s.st()
		ecdh := st.shared[dealer]
		proof, err := proveEqualLogs(g, st.complaintContext(s.liar, dealer), st.enc, st.encKeys[s.liar], st.encKeys[dealer], ecdh,
			tt.NewRand(1, "complaint"))
		if err != nil {
			panic(err)
		}
		return complaint{dealer, ecdh.Bytes(), proof}
	}
	top := bytes.Repeat([]byte{0xff}, sl) // above every order, in either byte order
	rs := []row{
		{name: "D1 short", says: say(1, cut(1)), want: proven("dkg-length")},
		{name: "D1 empty", says: say(1, func(_ *scene, m *message) { m.Body = nil }), want: proven("dkg-length")},
		{name: "D1 long", says: say(1, long), want: proven("length")},
		{name: "D1 commitment copied", says: say(1, func(s *scene, m *message) {
			com := commitment(m.Session, s.second, s.states[s.second].encBytes[s.second], s.states[s.second].opens)
			copy(m.Body, com[:])
		}), want: proven("dkg-commitment")},
		{name: "D1 copied, with what it opens to", says: func(s *scene, m *message) {
			o := s.states[s.second]
			switch m.Round {
			case 1:
				com := commitment(m.Session, s.second, o.encBytes[s.second], o.opens)
				copy(m.Body, com[:])
				copy(m.Body[32:], o.encBytes[s.second])
			case 2:
				copy(m.Body, o.opens)
			}
		}, want: proven("dkg-commitment")},
		{name: "D1 key exchanged after the commitment",
			says: say(1, setPoint(32, g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(7)).Bytes())), want: proven("dkg-commitment")},
		{name: "D2 does not open the commitment: polynomial", says: say(2, func(s *scene, m *message) {
			copy(m.Body, g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(7)).Bytes())
		}), want: proven("dkg-commitment")},
		{name: "D2 does not open the commitment: chain code", says: say(2, flip(salt-1)), want: proven("dkg-commitment")},
		{name: "D2 does not open the commitment: salt", says: say(2, flip(salt)), want: proven("dkg-commitment")},
		{name: "D2 chain code equivocated", tamper: only(2, flip(salt-1)), want: proven("dkg-commitment")},
		{name: "D2 short", says: say(2, cut(1)), want: proven("dkg-length")},
		{name: "D2 empty", says: say(2, func(_ *scene, m *message) { m.Body = nil }), want: proven("dkg-length")},
		{name: "D2 long", says: say(2, long), want: proven("length")},
		{name: "t-1 commitments", opening: func(s *scene) { s.st().opens = s.st().opens[pl:] }, want: proven("dkg-length")},
		{name: "no commitments", opening: func(s *scene) { s.st().opens = s.st().opens[3*pl:] }, want: proven("dkg-length")},
		{name: "t+1 commitments", opening: func(s *scene) {
			st := s.st()
			st.opens = append(slices.Clone(st.opens[:pl]), st.opens...)
		}, want: proven("length")},
		{name: "possession: wrong response", opening: func(s *scene) {
			// The last byte of the scalar would leave the canonical range on one curve; the middle does not.
			s.st().opens[possession+pl+sl/2] ^= 1
		}, want: proven("dkg-possession")},
		{name: "possession: response not canonical", opening: func(s *scene) { copy(s.st().opens[possession+pl:], top) },
			want: proven("dkg-possession")},
		{name: "possession: made for another party", opening: func(s *scene) {
			st := s.st()
			pop, _ := provePossession(g, st.id, s.second, st.poly.Constant(), st.opens[:3*pl], tt.NewRand(2, "pop"))
			copy(st.opens[possession:], pop)
		}, want: proven("dkg-possession")},
		{name: "possession: made for another session", opening: func(s *scene) {
			st := s.st()
			pop, _ := provePossession(g, s.before[s.liar].id, s.liar, st.poly.Constant(), st.opens[:3*pl], tt.NewRand(2, "pop"))
			copy(st.opens[possession:], pop)
		}, want: proven("dkg-possession")},
		{name: "possession: made for other commitments", opening: func(s *scene) {
			st := s.st()
			other := slices.Clone(st.opens[:3*pl])
			other[2*pl+5] ^= 1
			pop, _ := provePossession(g, st.id, s.liar, st.poly.Constant(), other, tt.NewRand(2, "pop"))
			copy(st.opens[possession:], pop)
		}, want: proven("dkg-possession")},
		{name: "opening of an earlier session", opening: func(s *scene) { copy(s.st().opens, s.before[s.liar].opens) },
			want: proven("dkg-possession")},
		{name: "rogue key", opening: func(s *scene) {
			// C_0 cancels the victim's old contribution: nobody knows its logarithm.
			c := g.NewPoint().Negate(s.before[s.second].dealt[s.second].commitments[0])
			copy(s.st().opens, c.Bytes())
		}, want: proven("dkg-possession")},
		{name: "ciphertext not canonical", says: say(2, func(_ *scene, m *message) { copy(m.Body[ciphertexts+sl:], top) }),
			want: proven("dkg-scalar")},
		{name: "wrong share to one", says: wrongShare(victim), want: proven("dkg-share"),
			liar: tt.Ending{Kind: threshold.Local, Check: "dkg-share"}},
		{name: "wrong share to two", says: wrongShare(victim, second), want: proven("dkg-share")},
		{name: "wrong share in refresh", refresh: true, says: wrongShare(victim), want: proven("dkg-share")},
		{name: "wrong share, then silence", says: wrongShare(victim), tamper: func(s *scene, m message, to party) []message {
			if m.Round == 3 && m.Kind == threshold.Data {
				return nil
			}
			return []message{m}
		}, want: proven("dkg-share")},
		{name: "wrong share to one alone", tamper: only(2, wrongShare(victim)), want: proven("equivocation", "echo")},
		{name: "complaint of a good share", says: complain(func(s *scene) complaint { return truthful(s, s.second) }),
			want: proven("dkg-complaint")},
		{name: "complaint with a forged proof", says: complain(func(s *scene) complaint {
			c := truthful(s, s.second)
			c.Proof[sl/2] ^= 1
			return c
		}), want: proven("dkg-complaint")},
		{name: "complaint with another ECDH point", says: complain(func(s *scene) complaint {
			// The point of the pair with somebody else, rightly proven: not for this dealer.
			c := truthful(s, s.victim)
			c.Dealer = s.second
			return c
		}), want: proven("dkg-complaint")},
		{name: "complaint with a proof of another base", says: complain(func(s *scene) complaint {
			st := s.st()
			other := g.NewScalar().SetUint64(99)
			k := g.NewPoint().ScalarMult(other, st.encKeys[s.second])
			proof, _ := proveEqualLogs(g, st.complaintContext(s.liar, s.second), other, g.NewPoint().ScalarBaseMult(other), st.encKeys[s.second], k,
				tt.NewRand(1, "c"))
			return complaint{s.second, k.Bytes(), proof}
		}), want: proven("dkg-complaint")},
		{name: "complaint without a point", says: complain(func(s *scene) complaint {
			c := truthful(s, s.second)
			c.Point = nil
			return c
		}), want: proven("dkg-complaint")},
		{name: "complaint without a proof", says: complain(func(s *scene) complaint {
			c := truthful(s, s.second)
			c.Proof = nil
			return c
		}), want: proven("dkg-complaint")},
		{name: "complaint of itself", says: complain(func(s *scene) complaint {
			c := truthful(s, s.second)
			c.Dealer = s.liar
			return c
		}), want: proven("dkg-complaint")},
		{name: "complaint of itself, well proven", says: complain(func(s *scene) complaint {
			st := s.st()
			own := st.encKeys[s.liar]
			k := g.NewPoint().ScalarMult(st.enc, own)
			proof, _ := proveEqualLogs(g, st.complaintContext(s.liar, s.liar), st.enc, own, own, k, tt.NewRand(1, "c"))
			return complaint{s.liar, k.Bytes(), proof}
		}), want: proven("dkg-complaint")},
		{name: "complaint of a stranger", says: complain(func(s *scene) complaint {
			c := truthful(s, s.second)
			c.Dealer = 999
			return c
		}), want: proven("dkg-complaint")},
		{name: "D3 other digest", says: say(3, func(s *scene, m *message) { m.Body = canon.MustMarshal(verdict{Digest: make([]byte, 32)}) }),
			want: proven("dkg-digest")},
		{name: "D3 no digest", says: say(3, func(s *scene, m *message) { m.Body = canon.MustMarshal(verdict{}) }),
			want: proven("dkg-digest", "dkg-verdict")},
		{name: "D3 other digest to one", tamper: only(3, func(s *scene, m *message) {
			m.Body = canon.MustMarshal(verdict{Digest: make([]byte, 32)})
		}), want: func(s *scene, p party) []tt.Ending {
			return append(tt.Proven(s.liar, "dkg-digest", "equivocation"), tt.Done...)
		}},
		{name: "D3 garbage", says: say(3, func(s *scene, m *message) { m.Body = []byte("garbage") }), want: proven("dkg-verdict")},
		{name: "D3 trailing byte", says: say(3, long), want: proven("dkg-verdict")},
		{name: "D3 endless", says: say(3, func(s *scene, m *message) { m.Body = make([]byte, 1<<16) }), want: proven("length")},
		{name: "refresh: one commitment more", refresh: true, opening: func(s *scene) {
			st := s.st()
			st.opens = append(slices.Clone(st.opens[:pl]), st.opens...)
		}, want: proven("length")},
		{name: "refresh: one commitment less", refresh: true, opening: func(s *scene) { s.st().opens = s.st().opens[pl:] },
			want: proven("dkg-length")},
		{name: "refresh: constant term not zero", refresh: true, opening: func(s *scene) {
			st := s.st()
			bad, err := poly.New(g, st.t, nil, tt.NewRand(3, "bad"))
			if err != nil {
				panic(err)
			}
			var b []byte
			for _, c := range bad.Commit()[1:] {
				b = append(b, c.Bytes()...)
			}
			st.poly = bad
			copy(st.dealt[s.liar].commitments[1:], bad.Commit()[1:])
			copy(st.opens, b)
		}, want: proven("dkg-share")},
		{name: "keygen opening in a refresh", refresh: true, opening: func(s *scene) {
			st := s.st()
			st.opens = append(st.opens, make([]byte, pl+sl+32)...)
		}, want: proven("length")},
	}
	bad := badPoints(t)
	if p.Group == group.Secp256k1 {
		infinity, off := make([]byte, 33), make([]byte, 33)
		off[0] = 2
		for off[32] = 1; ; off[32]++ {
			if _, err := g.NewPoint().SetCanonical(off); err != nil {
				break
			}
		}
		hybrid := g.NewPoint().ScalarBaseMult(g.NewScalar().SetUint64(5)).Bytes()
		hybrid[0] += 4
		field := bytes.Repeat([]byte{0xff}, 33)
		field[0] = 2
		bad = map[string][]byte{"identity": infinity, "off the curve": off, "hybrid": hybrid, "not canonical": field}
	}
	for name, enc := range bad {
		rs = append(rs,
			row{name: "D1 key " + name, says: say(1, setPoint(32, enc)), want: proven("dkg-point")},
			row{name: "D2 constant " + name, opening: func(s *scene) { copy(s.st().opens, enc) }, want: proven("dkg-point")},
			row{name: "D2 last commitment " + name, opening: func(s *scene) { copy(s.st().opens[2*pl:], enc) }, want: proven("dkg-point")},
			row{name: "D2 possession " + name, opening: func(s *scene) { copy(s.st().opens[possession:], enc) }, want: proven("dkg-possession")},
			row{name: "complaint point " + name, says: complain(func(s *scene) complaint {
				c := truthful(s, s.second)
				c.Point = enc
				return c
			}), want: proven("dkg-complaint")},
			row{name: "refresh: commitment " + name, refresh: true, opening: func(s *scene) { copy(s.st().opens, enc) }, want: proven("dkg-point")},
		)
	}
	return rs
}
