package attest

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold/frost"
)

var writing = append([]string{"ada", "alf", "amy", "new"}, agreeing...)

// written is an authority whose rules two of three authors change.
func (p people) written(tb testing.TB) Authority {
	a := p.treasury(tb)
	a.Assets = []policy.Asset{{Network: "base", ID: "x", Decimals: 6}}
	for _, n := range []string{"ada", "alf", "amy"} {
		a.Authors = append(a.Authors, Officer{n, p.der(tb, n)})
	}
	a.AuthorQuorum = 2
	return a
}

// Changes of an authority that has authors.
func otherPolicy(a *Authority)   { a.Policy += " " }
func otherDecimals(a *Authority) { a.Assets = []policy.Asset{{Network: "base", ID: "x", Decimals: 18}} }
func noAuthors(a *Authority)     { a.Authors, a.AuthorQuorum = nil, 0 }

// Goal: where an authority has authors, officers alone change no rules, and authors alone nobody's rights, by ours and by a verifier in
// another language. Method: one change after the other, of the rules, of the rest, of both, signed by quorums, by too few, by each other's
// people and with each other's keys; a receipt under each.
func TestAuthors(t *testing.T) {
	c := newClusterOf(t, frost.Ed25519)
	p := newPeople(t, writing...)
	p.root = c.root
	root := p.root.Public().(ed25519.PublicKey)
	a := p.written(t)
	first := p.signed(t, a, RootSigner)
	officers, authors := []string{"olga", "oyuki"}, []string{"ada", "amy"}
	both := append(slices.Clone(officers), authors...)
	hires := func(a *Authority) {
		a.Initiators = append(a.Initiators, Initiator{"zoe", p.der(t, "new"), a.Initiators[0].May})
	}
	renames := func(a *Authority) { a.Authors[0].Key = p.der(t, "new") }
	and := func(of ...func(*Authority)) func(*Authority) {
		return func(a *Authority) {
			for _, f := range of {
				f(a)
			}
		}
	}
	fewer := func(a *Authority) { a.AuthorQuorum = 1 }
	few := func(n int, of string) string { return fmt.Sprintf("%d of 3 %s signed, 2 must", n, of) }
	for name, x := range map[string]struct {
		change func(*Authority)
		by     []string
		want   string
	}{
		"rules by authors":                   {otherPolicy, authors, ""},
		"decimals by authors":                {otherDecimals, authors, ""},
		"no asset any more":                  {func(a *Authority) { a.Assets = nil }, authors, ""},
		"an initiator by officers":           {hires, officers, ""},
		"other authors by officers":          {renames, officers, ""},
		"no authors, by officers":            {noAuthors, officers, ""},
		"both by both":                       {and(otherPolicy, hires), both, ""},
		"nothing, by officers":               {and(), officers, ""},
		"a byte of the rules by officers":    {otherPolicy, officers, "no author that decides; the rules are changed by a quorum of authors"},
		"decimals by officers":               {otherDecimals, officers, "no author that decides"},
		"an asset less by officers":          {func(a *Authority) { a.Assets = nil }, officers, "no author that decides"},
		"rules by nobody":                    {otherPolicy, nil, few(0, "authors") + "; the rules are changed by a quorum of authors"},
		"rules by one author":                {otherPolicy, authors[:1], few(1, "authors")},
		"rules by one author twice":          {otherPolicy, []string{"ada", "ada"}, "signed already"},
		"rules by an author and an officer":  {otherPolicy, []string{"ada", "olga"}, "no author that decides"},
		"rules and an initiator, by authors": {and(otherPolicy, hires), authors, few(0, "officers") + "; all but the rules"},
		"the same by officers":               {and(otherPolicy, hires), officers, few(0, "authors")},
		"the same, one author is missing":    {and(otherPolicy, hires), both[:3], few(1, "authors")},
		"the same, one officer is missing":   {and(otherPolicy, hires), both[1:], few(1, "officers")},
		"an initiator by authors":            {hires, authors, "no officer that decides; all but the rules is changed by a quorum of officers"},
		"nothing, by authors":                {and(), authors, "no officer that decides"},
		"other authors by authors":           {renames, authors, "no officer that decides"},
		"their quorum by authors":            {fewer, authors, "no officer that decides"},
		"the officers' quorum by authors":    {func(a *Authority) { a.Quorum = 1 }, authors, "no officer that decides"},
		"an approver less by authors":        {func(a *Authority) { a.Approvers = a.Approvers[1:] }, authors, "no officer that decides"},
		"no authors and rules, by officers":  {and(otherPolicy, noAuthors), officers, few(0, "authors")},
		"no authors and rules, by both":      {and(otherPolicy, noAuthors), both, ""},
		"fewer must, and rules, by so many":  {and(otherPolicy, fewer), both[:3], few(1, "authors")},
		"initiators and approvers":           {otherPolicy, []string{"hot", "ann"}, "no author that decides"},
		"the root":                           {otherPolicy, []string{RootSigner}, "no author that decides"},
	} {
		b := p.after(a)
		b.Authors = slices.Clone(a.Authors)
		x.change(&b)
		chain := AuthorityChain{first, p.signed(t, b, x.by...)}
		now, err := chain.Verify(root)
		if (err == nil) != (x.want == "") || (now != nil) != (err == nil) ||
			err != nil && (!errors.Is(err, ErrAuthority) || !strings.Contains(err.Error(), x.want)) {
			t.Errorf("%s: %v", name, err)
		}
		missing := 0
		for _, w := range chain.Signed() {
			missing += w.Missing()
		}
		if x.want == "" && missing > 0 {
			t.Errorf("%s: %+v", name, chain.Signed())
		}
		judged(t, c, p, name, chain, x.want == "")
	}
	asNew := p.after(a) // the new authors for the old ones, and the other way round: only who was one before decides
	asNew.Authors = []Officer{{"ada", p.der(t, "new")}, {"new", p.der(t, "ada")}}
	otherPolicy(&asNew)
	link := p.signed(t, asNew, officers...)
	for _, key := range []string{"new", "ada"} {
		s, err := asNew.Sign(map[string]string{"new": "ada", "ada": "new"}[key], p.sign(key))
		must(t, err)
		link.Signatures = append(link.Signatures, s)
	}
	rules := p.after(a)
	otherPolicy(&rules)
	stolen, err := rules.Sign("ada", p.sign("olga")) // an author's name with an officer's key
	must(t, err)
	for name, chain := range map[string]AuthorityChain{
		"authors of the new one":   {first, link},
		"with an officer's key":    {first, {rules, append(p.signed(t, rules, "amy").Signatures, stolen)}},
		"of officers and authors":  {first, p.signed(t, rules, both...)},
		"another document's words": {first, {rules, p.signed(t, asNew, authors...).Signatures}},
	} {
		if _, err := chain.Verify(root); !errors.Is(err, ErrAuthority) {
			t.Errorf("%s: %v", name, err)
		}
		judged(t, c, p, name, chain, false)
	}
}

// judged has the verifier in Python judge a chain, by a receipt under its first.
func judged(t *testing.T, c *testCluster, p people, name string, chain AuthorityChain, good bool) {
	t.Helper()
	if t.Failed() {
		return // ours has been told of already
	}
	in, digest := c.intent("pay bob 5"), chain[0].Authority.Digest()
	in.Vault, in.Authority = "trading", digest[:]
	x, err := in.Initiate("payments", time.UnixMilli(in.Created).Add(time.Minute), p.sign("payments"))
	must(t, err)
	in.Initiation = x
	receipts := map[string][]byte{"a": c.receiptOf(t, []Intent{c.intent("pay bob 5"), in}).JSON()}
	if answers, _ := stranger(t, c.roster, c.roster.Fingerprint(), receipts, chain); (answers["a"] == "valid") != good {
		t.Errorf("%s, the other verifier: %v", name, answers)
	}
}

// Goal: no cluster has authors of whom nobody can tell what they decide. Method: one fault at a time, also in the verifier in Python where
// it would have another quorum decide.
func TestAuthorsValidate(t *testing.T) {
	c := newClusterOf(t, frost.Ed25519)
	p := newPeople(t, writing...)
	p.root = c.root
	must(t, p.written(t).Validate())
	for name, x := range map[string]struct {
		want string
		f    func(*Authority)
	}{
		"a quorum of none":     {"a quorum of 0 among 3 authors", func(a *Authority) { a.AuthorQuorum = 0 }},
		"a negative one":       {"a quorum of -1 among 3 authors", func(a *Authority) { a.AuthorQuorum = -1 }},
		"above their number":   {"a quorum of 4 among 3 authors", func(a *Authority) { a.AuthorQuorum = 4 }},
		"of nobody":            {"a quorum of 1 among 0 authors", func(a *Authority) { a.Authors, a.AuthorQuorum = nil, 1 }},
		"a negative of nobody": {"a quorum of -1 among 0 authors", func(a *Authority) { a.Authors, a.AuthorQuorum = nil, -1 }},
		"too many":             {"among 33 authors", func(a *Authority) { a.Authors = make([]Officer, maxOfficers+1) }},
		"an officer's key":     {"one of its own", func(a *Authority) { a.Authors[0].Key = a.Officers[0].Key }},
		"an author's twice":    {"one of its own", func(a *Authority) { a.Authors[0].Key = a.Authors[1].Key }},
		"an initiator's key":   {"one of its own", func(a *Authority) { a.Authors[0].Key = a.Initiators[0].Key }},
		"an approver's key":    {"one of its own", func(a *Authority) { a.Authors[0].Key = a.Approvers[0].Key }},
		"an officer":           {"an author and an officer", func(a *Authority) { a.Authors[2].Name = "olga" }},
		"an initiator":         {"an author and an initiator", func(a *Authority) { a.Authors[2].Name = "hot" }},
		"an approver":          {"an author and an approver", func(a *Authority) { a.Authors[2].Name = "ann" }},
		"in another order":     {"ascend", func(a *Authority) { a.Authors[0], a.Authors[1] = a.Authors[1], a.Authors[0] }},
		"one twice":            {"ascend", func(a *Authority) { a.Authors[1].Name = "ada" }},
		"named root":           {"names are", func(a *Authority) { a.Authors[2].Name = RootSigner }},
		"no key":               {"public key", func(a *Authority) { a.Authors[2].Key = nil }},
	} {
		a := p.written(t)
		x.f(&a)
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(x.want, "quorum") || strings.Contains(name, "officer") || strings.Contains(name, "twice") {
			judged(t, c, p, name, AuthorityChain{{a, []AuthoritySignature{p.bare(t, a)}}}, false)
		}
	}
}

// bare is the root's signature on what Sign refuses.
func (p people) bare(tb testing.TB, a Authority) AuthoritySignature {
	tb.Helper()
	s, err := p.sign(RootSigner)(a.message())
	must(tb, err)
	return AuthoritySignature{RootSigner, s}
}

// Goal: an authority without authors is the one it was before there were any, to the byte, and so is what names it. Method: its encoding
// ends with the fields of then; with authors it has two more.
func TestNoAuthorsChangeNothing(t *testing.T) {
	p := newPeople(t, writing...)
	type before struct { // the fields of before, as they were
		Version    uint8          `cbor:"1,keyasint"`
		Cluster    string         `cbor:"2,keyasint"`
		Serial     uint64         `cbor:"3,keyasint"`
		Prior      Hash           `cbor:"4,keyasint"`
		Quorum     int            `cbor:"5,keyasint"`
		Officers   []Officer      `cbor:"6,keyasint"`
		Initiators []Initiator    `cbor:"7,keyasint"`
		Policy     string         `cbor:"8,keyasint,omitempty"`
		Assets     []policy.Asset `cbor:"9,keyasint,omitempty"`
		Approvers  []Approver     `cbor:"10,keyasint,omitempty"`
	}
	a := p.written(t)
	of := func(a Authority) string {
		return string(canon.MustMarshal(before{a.Version, a.Cluster, a.Serial, a.Prior, a.Quorum, a.Officers, a.Initiators, a.Policy, a.Assets,
			a.Approvers}))
	}
	if string(canon.MustMarshal(a)) == of(a) {
		t.Error("authors are not part of what is signed")
	}
	noAuthors(&a)
	if string(canon.MustMarshal(a)) != of(a) || strings.Contains(string(AuthorityChain{{Authority: a}}.JSON()), `"authors"`) {
		t.Error("an authority without authors is another than before")
	}
}
