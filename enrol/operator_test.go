package enrol

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/policy"
)

// Goal: nodes keep their parties, and parties are never given twice. Method: sign a roster, then one with a further node.
func TestRosterGrows(t *testing.T) {
	ctx := context.Background()
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	var es []Enrolment
	for _, name := range []string{"n1", "n2", "n3"} {
		e, err := Node(ctx, testNode(t, name), host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.Sign(nil, es[:2])
	if err != nil {
		t.Fatal(err)
	}
	if a, err = OpenOperator(a.dir); err != nil {
		t.Fatal(err)
	}
	second, err := a.Sign(first, es[2:])
	if err != nil {
		t.Fatal(err)
	}
	if second.Roster.Serial != 2 || len(second.Roster.Nodes) != 3 || second.Roster.Nodes[2].ID != "n3" ||
		second.Roster.Nodes[2].Party != 3 || second.Roster.Nodes[0].Party != 1 {
		t.Errorf("%+v", second.Roster)
	}
	if _, err := a.Sign(first, es[:1]); err == nil {
		t.Error("a node enrolled twice")
	}
	foreign := es[2]
	foreign.Cluster = "other"
	if _, err := a.Sign(first, []Enrolment{foreign}); err == nil {
		t.Error("a node of another cluster")
	}
	stranger, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Sign(first, es[2:]); err == nil {
		t.Error("a roster of another operator is continued")
	}
	if err := os.Chmod(filepath.Join(a.dir, rootFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOperator(a.dir); err == nil || !strings.Contains(err.Error(), "read by others") {
		t.Errorf("a root key that others may read: %v", err)
	}
}

// Goal: a node that is in the roster gets a new certificate, for the host of its endpoint too, and nobody else gets one. Method: renew all,
// one, and a stranger; read what was issued.
func TestRenew(t *testing.T) {
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	var es []Enrolment
	for name, endpoint := range map[string]string{"n1": "https://one.example:8080", "n2": ""} {
		e, err := Node(t.Context(), testNode(t, name), host.Options{}, Place{Endpoint: endpoint}, false)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	if _, err := a.Renew(nil, nil, time.Time{}); err == nil {
		t.Error("renewed without a roster")
	}
	if _, err := a.Sign(nil, es); err != nil {
		t.Fatal(err)
	}
	made, err := a.Renew(nil, map[string]string{"n2": "two.example"}, time.Time{})
	if err != nil || len(made) != 2 {
		t.Fatalf("%v, %v", made, err)
	}
	read := func(id string) *x509.Certificate {
		b, err := os.ReadFile(filepath.Join(made[id], "node.crt"))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(mustPEM(b))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for id, name := range map[string]string{"n1": "one.example", "n2": "two.example"} {
		if c := read(id); c.VerifyHostname(name) != nil || c.VerifyHostname("localhost") != nil || c.Subject.CommonName != id {
			t.Errorf("%s: %v for %v", id, c.Subject, c.DNSNames)
		}
	}
	before := read("n1").SerialNumber
	if _, err := a.Renew([]string{"n1"}, nil, time.Time{}); err != nil || read("n1").SerialNumber.Cmp(before) == 0 {
		t.Errorf("again: %v", err)
	}
	// what a timer calls each day renews what is due or missing, and leaves the rest
	for _, step := range []struct {
		left time.Duration
		want int
	}{{133 * 24 * time.Hour, 0}, {132 * 24 * time.Hour, 2}} {
		serial := read("n2").SerialNumber
		made, err := a.Renew(nil, nil, read("n1").NotAfter.Add(-step.left))
		if err != nil || len(made) != step.want || (read("n2").SerialNumber.Cmp(serial) == 0) != (step.want == 0) {
			t.Errorf("%s before the end: %v, %v", step.left, made, err)
		}
	}
	if err := os.Remove(filepath.Join(made["n1"], "node.crt")); err != nil {
		t.Fatal(err)
	}
	if made, err := a.Renew(nil, nil, time.Now()); err != nil || len(made) != 1 || made["n1"] == "" {
		t.Errorf("one that is missing: %v, %v", made, err)
	}
	if _, err := a.Renew([]string{"n3"}, nil, time.Time{}); codeOf(err) != fault.CodeUsage {
		t.Errorf("a stranger: %v", err)
	}
}

// Goal: a member whose token was replaced keeps its party, and only the identity that is enrolled can say so. Method: enrolments of one
// node with other keys, and of another node under its name.
func TestRosterRekeys(t *testing.T) {
	ctx := t.Context()
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	c := testNode(t, "n2")
	var es []Enrolment
	for _, n := range []host.Config{testNode(t, "n1"), c} {
		e, err := Node(ctx, n, host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, e)
	}
	first, err := a.Sign(nil, es)
	if err != nil {
		t.Fatal(err)
	}
	c.HSM.AttestKey = "attest-2"
	again, err := Node(ctx, c, host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Sign(first, []Enrolment{again})
	if err != nil {
		t.Fatal(err)
	}
	was, now := first.Roster.Nodes[1], second.Roster.Nodes[1]
	if len(second.Roster.Nodes) != 2 || now.Party != 2 || !bytes.Equal(now.AttestKey, again.AttestKey) || bytes.Equal(was.AttestKey,
		now.AttestKey) || second.Roster.Serial != 2 {
		t.Errorf("%+v, then %+v", was, now)
	}
	if _, err := a.Sign(second, []Enrolment{again}); err == nil {
		t.Error("nothing new is signed")
	}
	stranger, err := Node(ctx, testNode(t, "n2"), host.Options{}, Place{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(second, []Enrolment{stranger}); err == nil || codeOf(err) != fault.CodeUsage {
		t.Errorf("another identity takes the party of n2: %v", err)
	}
}

// Goal: a member that is enrolled anew without saying where it is stays where it was, in the roster and in its certificate. Method: admit a
// node at its place; with another key, without a place; and with another key, at another place.
func TestRosterKeepsThePlace(t *testing.T) {
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	c := testNode(t, "n1")
	for _, x := range []struct {
		key         string
		place, want Place
		host        string
	}{
		{"attest", Place{"https://one.example:8080", "Zug"}, Place{"https://one.example:8080", "Zug"}, "one.example"},
		{"attest-2", Place{}, Place{"https://one.example:8080", "Zug"}, "one.example"},
		{"attest-3", Place{Endpoint: "https://two.example"}, Place{"https://two.example", "Zug"}, "two.example"},
	} {
		c.HSM.AttestKey = x.key
		e, err := Node(t.Context(), c, host.Options{}, x.place, false)
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := a.Admit([]Judgement{{Enrolment: e}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if m := s.Roster.Nodes[0]; (Place{m.Endpoint, m.Facility}) != x.want {
			t.Errorf("%s: at %q, %q", x.key, m.Endpoint, m.Facility)
		}
		b, err := os.ReadFile(filepath.Join(a.dir, "tls", "n1", "node.crt"))
		if err != nil {
			t.Fatal(err)
		}
		if cert, err := x509.ParseCertificate(mustPEM(b)); err != nil || cert.VerifyHostname(x.host) != nil {
			t.Errorf("%s: a certificate for %v, %v", x.key, cert.DNSNames, err)
		}
	}
}

// Goal: the operator takes a member out by a newer roster, in which it stays by name, so that its number and its name are never given
// again. Method: remove one of two, enrol it again, renew all, remove the last.
func TestRemove(t *testing.T) {
	dir := t.TempDir()
	a, err := NewOperator(dir, "c")
	if err != nil {
		t.Fatal(err)
	}
	enrolment := func(name string) []Enrolment {
		e, err := Node(t.Context(), testNode(t, name), host.Options{}, Place{}, false)
		if err != nil {
			t.Fatal(err)
		}
		return []Enrolment{e}
	}
	second, other := enrolment("n2"), enrolment("n4")
	first, err := a.Sign(nil, append(enrolment("n1"), second...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Remove([]string{"n3"}); err == nil {
		t.Error("a stranger is removed")
	}
	s, err := a.Remove([]string{"n2"})
	if err != nil || s.Roster.Serial != first.Roster.Serial+1 || len(s.Roster.Members()) != 1 || !s.Roster.Nodes[1].Removed {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := s.Roster.Node("n2"); !errors.Is(err, attest.ErrUnknownNode) {
		t.Errorf("a member still: %v", err)
	}
	read, err := attest.LoadRoster(filepath.Join(dir, RosterFile))
	if err != nil || read.Fingerprint() != s.Fingerprint() {
		t.Errorf("kept %v, %v", read, err)
	}
	if _, err := a.Sign(s, enrolment("n2")); err == nil {
		t.Error("who was removed comes back under its name")
	}
	second[0].CosignKey, second[0].AttestKey = other[0].CosignKey, other[0].AttestKey
	if _, err := a.Sign(s, second); err == nil || !strings.Contains(err.Error(), "was removed from the cluster") {
		t.Errorf("with its own data directory and another token: %v", err)
	}
	third, err := a.Sign(s, enrolment("n3"))
	if err != nil || third.Roster.Nodes[2].Party != 3 {
		t.Errorf("a new node is party %d, %v", third.Roster.Nodes[2].Party, err)
	}
	if made, err := a.Renew(nil, nil, time.Time{}); err != nil || made["n2"] != "" || made["n1"] == "" {
		t.Errorf("certificates %v, %v", made, err)
	}
	if _, err := a.Remove([]string{"n1", "n3"}); err == nil {
		t.Error("a cluster without a member")
	}
}

// Goal: two commands at once in one operator's directory do not sign two rosters of one serial, of which one is lost: the second says so
// and changes nothing. Method: each command while another has the directory, and after that.
func TestOneAuthority(t *testing.T) {
	a, err := NewOperator(filepath.Join(t.TempDir(), "cluster"), "c")
	if err != nil {
		t.Fatal(err)
	}
	var judged []Judgement
	for _, name := range []string{"n1", "n2"} {
		e, err := Node(t.Context(), testNode(t, name), host.Options{}, Place{Endpoint: "https://" + name}, false)
		if err != nil {
			t.Fatal(err)
		}
		judged = append(judged, Judgement{Enrolment: e})
	}
	if _, _, err := a.Admit(judged[:1], nil, nil); err != nil {
		t.Fatal(err)
	}
	other, err := OpenOperator(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	held, err := other.lock()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]func() error{
		"admit":  func() error { _, _, err := a.Admit(judged[1:], nil, nil); return err },
		"renew":  func() error { _, err := a.Renew(nil, nil, time.Time{}); return err },
		"remove": func() error { _, err := a.Remove([]string{"n2"}); return err },
	}
	for name, do := range all {
		if err := do(); !errors.Is(err, durable.ErrLocked) || codeOf(err) != fault.CodeUsage {
			t.Errorf("%s beside another command: %v", name, err)
		}
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"admit", "renew", "remove"} {
		if err := all[name](); err != nil {
			t.Errorf("%s after it: %v", name, err)
		}
	}
	if s, err := a.roster(); err != nil || s.Roster.Serial != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Goal: officers change who may ask, each with its own key, and what they make holds only when enough have signed. Method: an authority of
// two of three; a change step by step, and with the words of who is no officer.
func TestAuthorityChange(t *testing.T) {
	dir := t.TempDir()
	a, err := NewOperator(filepath.Join(dir, "operator"), "test")
	if err != nil {
		t.Fatal(err)
	}
	key := func(name string, kind hsm.KeyType) string {
		pub, err := MakeKeyFile(filepath.Join(dir, name), kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		der, err := attest.MarshalPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		return name + "=" + attest.Hex(der).String()
	}
	olga, otto, oyuki := key("olga", hsm.KeyP256), key("otto", hsm.KeyEd25519), key("oyuki", hsm.KeyEd25519)
	c, err := a.FirstAuthority(Amendment{Quorum: 2, Officers: []string{oyuki, olga, otto}, Initiators: []string{key("payments", hsm.KeyP256)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.FirstAuthority(Amendment{Quorum: 1, Officers: []string{olga}}); codeOf(err) != fault.CodeUsage {
		t.Errorf("a second first: %v", err)
	}
	use := func(file string, f func(attest.SignFunc) error) error {
		return UseKey("", filepath.Join(dir, file), nil, f)
	}
	var next attest.AuthorityChain
	hot := key("hot", hsm.KeyP256)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(use("olga", func(sign attest.SignFunc) (err error) {
		next, err = Successor(c, Amendment{Initiators: []string{hot + ":sign:trading+cold"}, Remove: []string{"payments"}},
			"olga", sign)
		return err
	}))
	later := Amendment{Remove: []string{"oyuki"}}
	err = use("olga", func(sign attest.SignFunc) error { _, err := Successor(next, later, "olga", sign); return err })
	if codeOf(err) != fault.CodeUsage || !strings.Contains(err.Error(), "serial 2 is not in force: 1 of 2 officers have signed it") {
		t.Errorf("a change of what has too few signatures: %v", err)
	}
	forged := slices.Clone(next)
	forged[1].Signatures = append(slices.Clone(forged[1].Signatures), attest.AuthoritySignature{By: "otto", Signature: make(attest.Hex, 64)})
	for name, c := range map[string]attest.AuthorityChain{"follows a forged one": forged, "forged": forged} {
		err := use("oyuki", func(sign attest.SignFunc) (err error) {
			if name == "forged" {
				_, err = Endorse(c, "oyuki", sign)
			} else {
				_, err = Successor(c, later, "oyuki", sign)
			}
			return err
		})
		if codeOf(err) != fault.CodeIntegrity {
			t.Errorf("%s: %v", name, err)
		}
	}
	err = use("olga", func(sign attest.SignFunc) error {
		_, err := Successor(c, Amendment{Quorum: 2}, "olga", sign)
		return err
	})
	if codeOf(err) != fault.CodeUsage || !strings.Contains(err.Error(), "changes nothing") {
		t.Errorf("a change of nothing: %v", err)
	}
	if _, err := next.Verify(a.Root()); err == nil {
		t.Error("one officer of two changes it")
	}
	for name, by := range map[string][2]string{"another's key": {"otto", "oyuki"}, "an initiator": {"payments", "payments"},
		"nobody": {"mallory", "otto"}} {
		err := use(by[1], func(sign attest.SignFunc) error { _, err := Endorse(next, by[0], sign); return err })
		if codeOf(err) != fault.CodeUsage {
			t.Errorf("%s signs: %v", name, err)
		}
	}
	err = use("otto", func(sign attest.SignFunc) error { _, err := Endorse(c, "otto", sign); return err })
	if codeOf(err) != fault.CodeUsage {
		t.Errorf("the first is signed by an officer: %v", err)
	}
	must(use("otto", func(sign attest.SignFunc) (err error) { next, err = Endorse(next, "otto", sign); return err }))
	path := filepath.Join(dir, "authority.json")
	must(WriteNewChain(path, next))
	must(WriteNewChain(path, next))
	if err := WriteNewChain(path, c); codeOf(err) != fault.CodeUsage {
		t.Errorf("another chain is overwritten: %v", err)
	}
	again, err := ReadChain(path)
	must(err)
	now, err := again.Verify(a.Root())
	must(err)
	if i := now.Initiators; len(i) != 1 || i[0].Name != "hot" || !i[0].Allows(attest.OpSign, "cold") || i[0].Allows(attest.OpSign, "") ||
		i[0].Allows(attest.OpRefresh, "cold") {
		t.Errorf("%+v", i)
	}
	for _, bad := range []Amendment{{Remove: []string{"nobody"}}, {Officers: []string{"olga"}}, {Officers: []string{"olga=zz"}},
		{Initiators: []string{hot + ":sign:a:b"}}, {Initiators: []string{hot + ":steal"}}, {Quorum: 4}} {
		err := use("olga", func(sign attest.SignFunc) error { _, err := Successor(next, bad, "olga", sign); return err })
		if codeOf(err) != fault.CodeUsage {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	must(os.WriteFile(path, []byte("[]"), 0o600))
	if _, err := ReadChain(path); codeOf(err) != fault.CodeUsage {
		t.Errorf("no authority at all: %v", err)
	}
	if _, err := MakeKeyFile(filepath.Join(dir, "olga"), hsm.KeyEd25519, nil); codeOf(err) != fault.CodeUsage {
		t.Errorf("a key in another's place: %v", err)
	}
}

// Goal: nobody signs a chain that no node reads. Method: so many authorities with long policies.
func TestChainIsNotTooLong(t *testing.T) {
	one := attest.SignedAuthority{Authority: attest.Authority{Policy: strings.Repeat(" ", policy.MaxText)}}
	for n, ok := range map[int]bool{60: true, 64: false} {
		path := filepath.Join(t.TempDir(), "authority.json")
		err := WriteChain(path, slices.Repeat(attest.AuthorityChain{one}, n))
		if _, serr := os.Stat(path); (err == nil) != ok || (serr == nil) != ok || !ok && codeOf(err) != fault.CodeUsage {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// Goal: what a cluster begins with permits payments and keys, and what is read as a message, and nothing that takes more than its words
// say: no large fee, no call, no allowance, nothing unread. Method: a request of each.
func TestStarter(t *testing.T) {
	rules, err := policy.Parse(starter)
	if err != nil {
		t.Fatal(err)
	}
	pay := []intent.Transfer{{What: intent.Send, To: "a", Amount: big.NewInt(5)}}
	for name, row := range map[string]struct {
		operation string
		d         *intent.Decoded
		allow     bool
	}{
		"payment":   {"sign", &intent.Decoded{Transfers: pay, Fee: big.NewInt(1e7)}, true},
		"large fee": {"sign", &intent.Decoded{Transfers: pay, Fee: big.NewInt(1e7 + 1)}, false}, "message": {"sign", &intent.Decoded{}, true},
		"call":      {"sign", &intent.Decoded{Calls: []intent.Call{{To: "a"}}}, false},
		"allowance": {"sign", &intent.Decoded{Transfers: []intent.Transfer{{What: intent.Allowance, Amount: big.NewInt(0)}}}, false},
		"unread":    {"sign", &intent.Decoded{Transfers: pay, Unknown: []string{"x"}}, false}, "raw": {"sign-raw", nil, true},
		"key": {"keygen", nil, true}, "refresh": {"refresh", nil, true},
	} {
		if v := rules.Judge(policy.Request{Operation: row.operation, Network: "bitcoin", Decoded: row.d}); v.Allow != row.allow {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// Goal: rules and assets are taken into an authority as they are given, and what is none is refused before anybody signs. Method: an
// amendment of each; an asset given again, and beside another.
func TestAmendRules(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "rules")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := attest.Authority{Policy: starter}
	rules := `@id("a") permit (principal, action, resource);`
	for _, c := range []Amendment{{Policy: file(rules), Assets: []string{"base/x=6", "base/y=0"}}, {Assets: []string{"base/x=18"}}} {
		if err := c.Apply(&a); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(a.Assets); a.Policy != rules || got != "[{base y 0} {base x 18}]" {
		t.Errorf("%s, %s", a.Policy, got)
	}
	for _, c := range []Amendment{{Policy: file("permit")}, {Assets: []string{"base/x"}}, {Assets: []string{"x=6"}},
		{Assets: []string{"base/=6"}},
		{Assets: []string{"/x=6"}}, {Assets: []string{"base/x=-1"}}, {Assets: []string{"base/x=78"}}, {Assets: []string{"base/x=a"}}} {
		was := a
		if err := c.Apply(&was); codeOf(err) != fault.CodeUsage {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
