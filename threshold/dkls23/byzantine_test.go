package dkls23

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// scene is a presigning ceremony of three parties and two entries, in which one lies to a victim about the second entry.
type scene struct {
	*fixture
	q                   []party
	liar, victim, other party
	states              map[party]*presigning
	said                map[party][2][]threshold.Outgoing // what each party put out in R1 and R2
}

// lie is one way to leave the protocol. Its functions change what the liar is about to send.
type lie struct {
	name     string
	r1, r2   func(*scene, []threshold.Outgoing)
	answer   func(s *scene, from party, check func()) // around the liar's own Check of R1
	kind     threshold.AbortKind                      // zero: presigning succeeds
	check    string
	everyone bool // all honest parties see it, not the victim alone
}

// twisted is a liar's round.
type twisted struct {
	threshold.Round[presignatures]
	s     *scene
	l     lie
	round int
}

func (r *twisted) Check(from threshold.PartyID, in threshold.Inbound) (p threshold.Payload, err error) {
	run := func() { p, err = r.Round.Check(from, in) }
	if r.round == 1 && r.l.answer != nil {
		r.l.answer(r.s, from, run)
	} else {
		run()
	}
	return p, err
}

func (r *twisted) Advance(rand io.Reader, in []threshold.Received) (step, error) {
	st, err := r.Round.Advance(rand, in)
	if r.round == 1 && err == nil {
		if r.l.r2 != nil {
			r.l.r2(r.s, st.Out)
		}
		st.Next = &twisted{st.Next, r.s, r.l, 2}
	}
	return st, err
}

const entries = 2

// play runs the ceremony; batch is its size.
func play(t *testing.T, f *fixture, q []party, victim party, l lie,
	tamper thresholdtest.Tamper) (*scene, map[party]thresholdtest.Outcome[presignatures]) {
	t.Helper()
	s := &scene{fixture: f, q: q, liar: q[1], victim: victim, states: map[party]*presigning{}, said: map[party][2][]threshold.Outgoing{}}
	s.other = q[0]
	if victim == q[0] {
		s.other = q[2]
	}
	run, states := f.presigning(t, q, nil, entries)
	s.states = states
	x := states[s.liar]
	var err error
	run.Sessions[s.liar], err = threshold.NewSession(x.setup, f.rand(s.liar), threshold.Opening[presignatures]{
		Payload: x.epoch, PayloadLen: epochLen, Check: x.samePairs,
		Begin: func(rand io.Reader, id threshold.SessionID, in []threshold.Received) (step, error) {
			st, err := x.begin(rand, id, in)
			if err == nil && l.r1 != nil {
				l.r1(s, st.Out)
			}
			st.Next = &twisted{st.Next, s, l, 1}
			return st, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	if tamper != nil {
		run.Liars[s.liar] = tamper
	}
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	return s, out
}

// to finds the message for a party.
func to(out []threshold.Outgoing, p party) *[]byte {
	i := slices.IndexFunc(out, func(o threshold.Outgoing) bool { return o.To == p })
	out[i].Body = bytes.Clone(out[i].Body)
	return &out[i].Body
}

// direct changes the last entry's part of the message to the victim.
func direct(size int, change func(part []byte)) func(*scene, []threshold.Outgoing) {
	return func(s *scene, out []threshold.Outgoing) {
		b := *to(out, s.victim)
		change(b[(entries-1)*size:])
	}
}

func flip(at int) func([]byte) { return func(b []byte) { b[at] ^= 1 } }
func ones(at int) func([]byte) {
	return func(b []byte) { copy(b[at:at+32], bytes.Repeat([]byte{0xff}, 32)) }
}
func point(at int) func([]byte) { return func(b []byte) { copy(b[at:], generator) } }
func zero(at, n int) func([]byte) {
	return func(b []byte) { clear(b[at : at+n]) }
}

var generator = secp256k1.NewGenerator().Bytes()

// The places in R2 direct, behind Alice's answer, and in the broadcast.
const (
	atGu  = ot.Msg2Len
	atGv  = atGu + pointLen
	atPsi = atGv + pointLen
	atR   = saltLen + (entries-1)*public2Len
	atPk  = atR + pointLen
)

func broadcast2(change func([]byte)) func(*scene, []threshold.Outgoing) {
	return func(_ *scene, out []threshold.Outgoing) { change(*to(out, threshold.Everybody)) }
}

func length(who func(*scene) party, more int) func(*scene, []threshold.Outgoing) {
	return func(s *scene, out []threshold.Outgoing) {
		b := to(out, who(s))
		if more > 0 {
			*b = append(*b, make([]byte, more)...)
		} else {
			*b = (*b)[:len(*b)+more]
		}
	}
}

func everybody(*scene) party { return threshold.Everybody }
func victim(s *scene) party  { return s.victim }

// with changes a secret of the liar's last entry while it answers the victim.
func with(secret func(*entry) *secp256k1.Scalar) func(*scene, party, func()) {
	return func(s *scene, from party, check func()) {
		x := secret(s.states[s.liar].entries[entries-1])
		was := *x
		if from == s.victim {
			x.Add(x, new(secp256k1.Scalar).SetOne())
		}
		check()
		*x = was
	}
}

// identityCommitted commits to the identity in place of R.
func identityCommitted(s *scene, out []threshold.Outgoing) {
	x := s.states[s.liar]
	public := x.encoded()
	clear(public[(entries-1)*public2Len:][:pointLen])
	com := x.commit(s.liar, public, x.salt[:])
	copy(*to(out, threshold.Everybody), com[:])
}

const (
	ban    = threshold.Ban
	proven = threshold.Proven
	retry  = threshold.Retry
)

// lies is the tamper table: every field of every message, and inputs that do not fit together.
var lies = []lie{
	{name: "commitment short", r1: length(everybody, -1), kind: proven, check: "C3", everyone: true},
	{name: "commitment long", r1: length(everybody, 1), kind: proven, check: "C3", everyone: true},
	{name: "R1 short", r1: length(victim, -1), kind: ban, check: "C3"},
	{name: "R1 long", r1: length(victim, 1), kind: ban, check: "C3"},
	{name: "R1 empty", r1: func(s *scene, out []threshold.Outgoing) { *to(out, s.victim) = nil }, kind: ban, check: "C3"},
	{name: "R1 one entry", r1: length(victim, -direct1Len), kind: ban, check: "C3"},
	{name: "salt of OT extension", r1: direct(direct1Len, flip(0)), kind: ban, check: "C7"},
	{name: "first row of U", r1: direct(direct1Len, flip(32)), kind: ban, check: "C7"},
	{name: "last row of U", r1: direct(direct1Len, flip(32+64*68-1)), kind: ban, check: "C7"},
	{name: "x~", r1: direct(direct1Len, flip(32+64*68)), kind: ban, check: "C7"},
	{name: "t~", r1: direct(direct1Len, flip(ot.Msg1Len-1)), kind: ban, check: "C7"},
	{name: "R1 of the other peer", r1: func(s *scene, out []threshold.Outgoing) { *to(out, s.victim) = *to(out, s.other) }, kind: ban,
		check: "C7"},
	{name: "R1 entries swapped", r1: func(s *scene, out []threshold.Outgoing) {
		b := *to(out, s.victim)
		copy(b, slices.Concat(b[direct1Len:], b[:direct1Len]))
	}, kind: ban, check: "C7"},

	{name: "opening short", r2: length(everybody, -1), kind: proven, check: "C3", everyone: true},
	{name: "opening long", r2: length(everybody, 1), kind: proven, check: "C3", everyone: true},
	{name: "opening empty", r2: func(_ *scene, out []threshold.Outgoing) { *to(out, threshold.Everybody) = nil }, kind: proven, check: "C3",
		everyone: true},
	{name: "another R", r2: broadcast2(point(atR)), kind: proven, check: "C9", everyone: true},
	{name: "R negated", r2: broadcast2(flip(atR)), kind: proven, check: "C9", everyone: true},
	{name: "another salt", r2: broadcast2(flip(0)), kind: proven, check: "C9", everyone: true},
	{name: "commitment copied", kind: proven, check: "C9", everyone: true, r1: func(s *scene, out []threshold.Outgoing) {
		x := s.states[s.q[2]] // who has committed already
		com := x.commit(s.q[2], x.encoded(), x.salt[:])
		copy(*to(out, threshold.Everybody), com[:])
	}, r2: func(s *scene, out []threshold.Outgoing) {
		x := s.states[s.q[2]]
		copy(*to(out, threshold.Everybody), append(bytes.Clone(x.salt[:]), x.encoded()...))
	}},
	{name: "R is the identity", r1: identityCommitted, r2: broadcast2(zero(atR, pointLen)), kind: proven, check: "C5", everyone: true},
	{name: "pk is the identity", r2: broadcast2(zero(atPk, pointLen)), kind: proven, check: "C5", everyone: true},
	{name: "pk not on the curve", r2: broadcast2(ones(atPk + 1)), kind: proven, check: "C5", everyone: true},
	{name: "another pk", r2: broadcast2(point(atPk)), kind: ban, check: "C12", everyone: true},

	{name: "R2 short", r2: length(victim, -1), kind: ban, check: "C3"},
	{name: "R2 long", r2: length(victim, 1), kind: ban, check: "C3"},
	{name: "R2 empty", r2: func(s *scene, out []threshold.Outgoing) { *to(out, s.victim) = nil }, kind: ban, check: "C3"},
	{name: "R2 one entry", r2: length(victim, -direct2Len), kind: ban, check: "C3"},
	{name: "salt of the OLE", r2: direct(direct2Len, flip(0)), kind: ban, check: "C8"},
	{name: "a~ of the first transfer", r2: direct(direct2Len, flip(32+31)), kind: ban, check: "C8"},
	{name: "a~ of the last transfer", r2: direct(direct2Len, flip(ot.Msg2Len-64-1)), kind: ban, check: "C8"},
	{name: "a~ not canonical", r2: direct(direct2Len, ones(32)), kind: ban, check: "C4"},
	{name: "eta", r2: direct(direct2Len, flip(ot.Msg2Len-32-1)), kind: ban, check: "C8"},
	{name: "eta not canonical", r2: direct(direct2Len, ones(ot.Msg2Len-64)), kind: ban, check: "C4"},
	{name: "hash of mu", r2: direct(direct2Len, flip(ot.Msg2Len-1)), kind: ban, check: "C8"},
	{name: "R2 of the other peer", r2: func(s *scene, out []threshold.Outgoing) { *to(out, s.victim) = *to(out, s.other) }, kind: ban,
		check: "C8"},
	{name: "R2 entries swapped", r2: func(s *scene, out []threshold.Outgoing) {
		b := *to(out, s.victim)
		copy(b, slices.Concat(b[direct2Len:], b[:direct2Len]))
	}, kind: ban, check: "C8"},
	{name: "Gamma u is the identity", r2: direct(direct2Len, zero(atGu, pointLen)), kind: ban, check: "C5"},
	{name: "Gamma v is the identity", r2: direct(direct2Len, zero(atGv, pointLen)), kind: ban, check: "C5"},
	{name: "Gamma u not canonical", r2: direct(direct2Len, ones(atGu+1)), kind: ban, check: "C5"},
	{name: "Gamma v not canonical", r2: direct(direct2Len, ones(atGv+1)), kind: ban, check: "C5"},
	{name: "another Gamma u", r2: direct(direct2Len, point(atGu)), kind: ban, check: "C11"},
	{name: "another Gamma v", r2: direct(direct2Len, point(atGv)), kind: ban, check: "C12"},
	{name: "psi not canonical", r2: direct(direct2Len, ones(atPsi)), kind: ban, check: "C4"},
	{name: "another psi", r2: direct(direct2Len, flip(atPsi+31)), check: "C15"},
	{name: "another r to one peer", answer: with(func(e *entry) *secp256k1.Scalar { return &e.r }), kind: ban, check: "C11"},
	{name: "another sk to one peer", answer: with(func(e *entry) *secp256k1.Scalar { return &e.sk }), kind: ban, check: "C12"},
	{name: "another phi to one peer", answer: with(func(e *entry) *secp256k1.Scalar { return &e.phi }), check: "C15"},
	{name: "another sk with its pk to all", kind: retry, check: "C13", everyone: true, r1: func(s *scene, _ []threshold.Outgoing) {
		e := s.states[s.liar].entries[entries-1]
		e.sk.Add(&e.sk, new(secp256k1.Scalar).SetOne())
		e.public.ScalarBaseMult(&e.sk)
	}},
}

// Goal: checks C3 to C5, C7 to C9 and C11 to C13: every lie about any field is found by whom it was told to, under its check, and nobody
// but the liar is blamed or banned; what only the signature can show, it shows; a session that ends keeps no secret. Method: the tamper
// table for every victim.
func TestLies(t *testing.T) {
	for _, l := range lies {
		t.Run(l.name, func(t *testing.T) {
			for _, v := range []int{0, 2} {
				f := newFixture(t, 5, 3)
				q := []party{f.Committee.Parties[0], f.Committee.Parties[2], f.Committee.Parties[3]}
				s, out := play(t, f, q, q[v], l, nil)
				s.judge(t, l, out)
				for p, o := range out {
					if o.Done || o.Abort != nil {
						s.states[p].wiped(t)
					}
				}
			}
		})
	}
}

func (s *scene) judge(t *testing.T, l lie, out map[party]thresholdtest.Outcome[presignatures]) {
	t.Helper()
	if l.kind == 0 {
		s.unsigned(t, l, out)
		return
	}
	for _, p := range []party{s.victim, s.other} {
		a := out[p].Abort
		if p == s.other && !l.everyone {
			if a != nil || len(s.pairs[p].Banned()) > 0 {
				t.Errorf("%d is no victim of %d, but ends with %v", p, s.liar, a)
			}
			continue
		}
		if a == nil || a.Kind != l.kind || a.Check != l.check {
			t.Errorf("party %d ends with %v, want %v by %s", p, a, l.kind, l.check)
			continue
		}
		var want, banned []party
		if l.kind != retry {
			want = []party{s.liar}
		}
		if l.kind == ban {
			banned = want
		}
		if !slices.Equal(a.Culprits, want) || !slices.Equal(s.pairs[p].Banned(), banned) {
			t.Errorf("party %d blames %v and bans %v", p, a.Culprits, s.pairs[p].Banned())
		}
		if l.kind == proven {
			s.convicts(t, p, a)
		}
	}
}

// convicts asserts that third parties repeat the judgement, of the liar only.
func (s *scene) convicts(t *testing.T, p party, a *threshold.Abort) {
	t.Helper()
	set := s.states[p].setup
	set.Context = s.setup(0, s.q).Context // the ceremony's, before the session bound its keys into it
	judge := func(a *threshold.Abort) error {
		return Scheme{}.VerifyPresigning(set, slices.Repeat([]threshold.KeyInfo{s.shares[s.q[0]].KeyInfo}, entries), nil, a)
	}
	if err := judge(a); err != nil {
		t.Errorf("the evidence of party %d does not convince: %v", p, err)
	}
	frame := *a
	for frame.Round = 1; frame.Round <= 3; frame.Round++ {
		for _, check := range []string{"C3", "C5", "C9", "C12", ""} {
			if frame.Check = check; (check != a.Check || frame.Round != a.Round) && judge(&frame) == nil {
				t.Errorf("the evidence for %v also convicts by %q in round %d", a, check, frame.Round)
			}
		}
	}
	for _, honest := range []party{s.victim, s.other} {
		frame.Culprits = []party{honest}
		for _, check := range []string{"C3", "C5", "C9"} {
			for frame.Round = 1; frame.Round <= 2; frame.Round++ {
				if frame.Check = check; judge(&frame) == nil {
					t.Errorf("the evidence frames party %d with %s", honest, check)
				}
			}
		}
	}
}

// unsigned: presigning succeeds, the signature does not verify, and nobody is blamed (C15).
func (s *scene) unsigned(t *testing.T, l lie, out map[party]thresholdtest.Outcome[presignatures]) {
	t.Helper()
	pres := map[party]presignatures{}
	for p, o := range out {
		if !o.Done {
			t.Fatalf("party %d ends with %v", p, o.Abort)
		}
		pres[p] = o.Result
	}
	reqs := []threshold.SignRequest{{Message: digestOf("fine")}, {Message: digestOf("lied about")}}
	agreement := s.agree(t, s.q, reqs, pres)[s.victim]
	for i, req := range reqs {
		req.Agreement = agreement
		sig, err := s.combine(s.victim, req, pres[s.victim][i], s.sharesOf(t, s.q, req, pres, i))
		if i == 0 {
			if err != nil {
				t.Errorf("the entry without a lie: %v", err)
			}
			continue
		}
		wantAbort(t, err, retry, l.check)
		if sig.Bytes != nil {
			t.Error("an unverified signature came out")
		}
	}
}

func wantAbort(t *testing.T, err error, kind threshold.AbortKind, check string, culprits ...party) {
	t.Helper()
	a, ok := err.(*threshold.Abort)
	if !ok || a == nil || a.Kind != kind || a.Check != check || !slices.Equal(a.Culprits, culprits) {
		t.Errorf("got %v, want %v by %s of %v", err, kind, check, culprits)
	}
}
