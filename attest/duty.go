package attest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// duty is who signs what changes something: the root key the first authority, officers or authors what follows it.
type duty struct {
	role   string // of one of them
	people []Officer
	quorum int    // how many of them must
	why    string // what they change, where not all of it is theirs
}

// officers are who thaws, and signs the next where there are no authors.
func (a Authority) officers() duty {
	return duty{role: "officer", people: a.Officers, quorum: a.Quorum}
}

// duties are who of an authority must sign the next. Where it has authors, a quorum of these signs what the rules are made of, and one of
// officers all else, so that neither changes what is the others': officers no rules, authors nobody's rights. Where it has none, officers
// sign all of it. What the next says of its own people counts for nothing.
func (a Authority) duties(next Authority) []duty {
	officers, authors := a.officers(), duty{"author", a.Authors, a.AuthorQuorum, "the rules are changed by a quorum of authors"}
	if len(a.Authors) == 0 {
		return []duty{officers}
	}
	officers.why = "all but the rules is changed by a quorum of officers"
	switch rules, rest := a.otherRules(next), a.otherRest(next); {
	case rules && rest:
		return []duty{officers, authors}
	case rules:
		return []duty{authors}
	}
	return []duty{officers}
}

// otherRules tells whether the next differs in what rules are made of.
func (a Authority) otherRules(next Authority) bool {
	return next.Policy != a.Policy || !slices.Equal(next.Assets, a.Assets)
}

// otherRest tells whether it differs in anything but that and its place in the chain, also in what a later version adds.
func (a Authority) otherRest(next Authority) bool {
	for _, x := range []*Authority{&a, &next} {
		x.Serial, x.Prior, x.Policy, x.Assets = 0, Hash{}, "", nil
	}
	return !bytes.Equal(a.message(), next.message())
}

// duties are who must sign link i of a chain; root is the key of the first, nil where it is not known.
func (c AuthorityChain) duties(i int, root Hex) []duty {
	if i == 0 {
		return []duty{{role: "root key", people: []Officer{{RootSigner, root}}, quorum: 1}}
	}
	return c[i-1].Authority.duties(c[i].Authority)
}

// Words tell of one duty on an authority who has signed, who else may, and how many must.
type Words struct {
	Role       string // "officer", "author", or "root key"
	By, Others []string
	Must       int
}

// Missing is how many more must sign.
func (w Words) Missing() int { return max(0, w.Must-len(w.By)) }

// Signed tells it of the last of a chain, whose signatures it does not judge.
func (c AuthorityChain) Signed() (all []Words) {
	last := len(c) - 1
	for _, d := range c.duties(last, nil) {
		w := Words{Role: d.role, Must: d.quorum}
		for _, o := range d.people {
			if slices.ContainsFunc(c[last].Signatures, func(s AuthoritySignature) bool { return s.By == o.Name }) {
				w.By = append(w.By, o.Name)
			} else {
				w.Others = append(w.Others, o.Name)
			}
		}
		all = append(all, w)
	}
	return all
}

// signedBy checks that a quorum of each duty signed a message, each once and nobody else; unsigned, that so far nobody else has.
func signedBy(message []byte, signatures []AuthoritySignature, duties []duty, unsigned bool) error {
	seen := map[string]bool{}
	for _, s := range signatures {
		if seen[s.By] {
			return fmt.Errorf("%q signed already", clip(s.By))
		}
		seen[s.By] = true
		if err := s.check(message, duties); err != nil {
			return err
		}
	}
	for _, d := range duties {
		n := 0
		for _, o := range d.people {
			if seen[o.Name] {
				n++
			}
		}
		if n < d.quorum && !unsigned {
			return fmt.Errorf("%d of %d %ss signed, %d must%s", n, len(d.people), d.role, d.quorum, d.because())
		}
	}
	return nil
}

func (d duty) because() string {
	if d.why == "" {
		return ""
	}
	return "; " + d.why
}

// check judges the signature of one of those who must sign.
func (s AuthoritySignature) check(message []byte, duties []duty) error {
	var roles []string
	for _, d := range duties {
		i := slices.IndexFunc(d.people, func(o Officer) bool { return o.Name == s.By })
		if i >= 0 {
			if err := verifyMessage(d.people[i].Key, message, s.Signature); err != nil {
				return fmt.Errorf("the signature of %q: %w", s.By, err)
			}
			return nil
		}
		roles = append(roles, d.role)
	}
	return fmt.Errorf("%q signed, who is no %s that decides%s", clip(s.By), strings.Join(roles, " or "), duties[0].because())
}

// CheckSignature judges the word of one of those who, in the authority before, may change it to this one.
func (a Authority) CheckSignature(s AuthoritySignature, before Authority) error {
	return s.check(a.message(), before.duties(a))
}

// other is what a person of a name is beside an author; "" for nothing.
func (a Authority) other(name string) string {
	if slices.ContainsFunc(a.Officers, func(o Officer) bool { return o.Name == name }) {
		return "officer"
	}
	if _, asks := a.Initiator(name); asks {
		return "initiator"
	}
	if _, approves := a.Approver(name); approves {
		return "approver"
	}
	return ""
}
