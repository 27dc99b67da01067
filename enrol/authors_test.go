package enrol

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// Goal: where there are authors, they write and sign the rules, officers all else, and who may not is told so when he tries. Method: an
// authority of one officer and two authors; changes by either, of both, and one that takes the authors away.
func TestAuthorsChange(t *testing.T) {
	dir := t.TempDir()
	a, err := NewOperator(filepath.Join(dir, "operator"), "test")
	if err != nil {
		t.Fatal(err)
	}
	key := func(name string) string {
		pub, err := MakeKeyFile(filepath.Join(dir, name), hsm.KeyEd25519, nil)
		if err != nil {
			t.Fatal(err)
		}
		der, _ := attest.MarshalPublicKey(pub)
		return name + "=" + attest.Hex(der).String()
	}
	rules := filepath.Join(dir, "rules.cedar")
	if err := os.WriteFile(rules, []byte(`@id("all") permit (principal, action, resource);`), 0o600); err != nil {
		t.Fatal(err)
	}
	people := Amendment{Quorum: 1, Officers: []string{key("olga")}, Authors: []string{key("alf"), key("ada")}}
	if _, err := a.FirstAuthority(people); codeOf(err) != fault.CodeUsage || !strings.Contains(fmt.Sprint(err), "0 among 2 authors") {
		t.Errorf("authors without a quorum: %v", err)
	}
	people.AuthorQuorum = 2
	c, err := a.FirstAuthority(people)
	if err != nil {
		t.Fatal(err)
	}
	use := func(who string, f func(attest.SignFunc) (attest.AuthorityChain, error)) (out attest.AuthorityChain, err error) {
		err = UseKey("", filepath.Join(dir, who), nil, func(sign attest.SignFunc) (err error) { out, err = f(sign); return err })
		return out, err
	}
	change := func(who string, x Amendment) (attest.AuthorityChain, error) {
		return use(who, func(sign attest.SignFunc) (attest.AuthorityChain, error) { return Successor(c, x, who, sign) })
	}
	endorse := func(who string, c attest.AuthorityChain) (attest.AuthorityChain, error) {
		return use(who, func(sign attest.SignFunc) (attest.AuthorityChain, error) { return Endorse(c, who, sign) })
	}
	write, hire := Amendment{Policy: rules}, Amendment{Initiators: []string{key("hot")}}
	both := Amendment{Policy: rules, Assets: []string{"base/0xa=6"}, Remove: []string{"ada", "alf"}}
	for _, x := range []struct {
		by     string
		change Amendment
		then   string
		want   string // of who signs first, or of what is not in force yet
	}{
		{"olga", write, "", "the rules are changed by a quorum of authors"},
		{"olga", Amendment{Assets: []string{"base/0xa=6"}}, "", "the rules are changed by a quorum of authors"},
		{"ada", hire, "", "all but the rules is changed by a quorum of officers"},
		{"ada", Amendment{Remove: []string{"alf"}, AuthorQuorum: 1}, "", "all but the rules is changed by a quorum of officers"},
		{"ada", write, "", "1 of 2 authors"},
		{"ada", write, "alf", ""},
		{"olga", hire, "", ""},
		{"olga", both, "", "0 of 2 authors"},
		{"olga", both, "ada", "1 of 2 authors"},
		{"olga", both, "ada alf", ""},
		{"olga", Amendment{Remove: []string{"ada", "alf"}}, "", ""},
		{"olga", Amendment{Remove: []string{"alf"}, AuthorQuorum: 1}, "", ""},
		{"olga", Amendment{Remove: []string{"alf"}}, "", "a quorum of 2 among 1 authors"},
		{"olga", Amendment{Authors: []string{"olga=" + strings.SplitN(hire.Initiators[0], "=", 2)[1]}}, "", "an author and an officer"},
	} {
		next, err := change(x.by, x.change)
		for _, who := range strings.Fields(x.then) {
			if err == nil {
				next, err = endorse(who, next)
			}
		}
		said := fmt.Sprint(err)
		if err == nil {
			said = fmt.Sprint(AuthorityRows(next))
			if _, err := next.Verify(a.Root()); (err == nil) != (x.want == "") || (err == nil) == strings.Contains(said, "not in force") {
				t.Errorf("%+v: %v, %s", x, err, said)
			}
		}
		if !strings.Contains(said, x.want) {
			t.Errorf("%+v: %s", x, said)
		}
	}
	if c.Signed()[0].Missing() != 0 || len(c[0].Authority.Authors) != 2 {
		t.Errorf("the one before was changed: %+v", c)
	}
	if shown := fmt.Sprint(AuthorityRows(c)); !strings.Contains(shown, "rules by 2 of 2 authors: policy and assets") ||
		!strings.Contains(shown, "1 of 1 officers: all but its rules") || !strings.Contains(shown, "author ada 0x") {
		t.Error(shown)
	}
}

// Goal: the key of a configuration of mpcium becomes an initiator: for officers as one of the default grants, in dev beside the one there
// is, also where the cluster was kept and its authority changed, and not twice. Method: a pilot's directory with two nodes, of which one
// has been brought another authority; one that another officer must sign, too.
func TestEventInitiator(t *testing.T) {
	dir := t.TempDir()
	a, err := NewOperator(filepath.Join(dir, "cluster"), "dev")
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := a.Pilot()
	must(err)
	key := func(name string) attest.Hex {
		pub, err := MakeKeyFile(filepath.Join(dir, name), hsm.KeyP256, nil)
		must(err)
		der, err := attest.MarshalPublicKey(pub)
		must(err)
		return der
	}
	event, second := key("event"), key("second")
	change := func(x Amendment) (next attest.AuthorityChain) {
		must(UseKey("", filepath.Join(dir, "cluster", officerFile), nil, func(sign attest.SignFunc) (err error) {
			next, err = Successor(c, x, "officer", sign)
			return err
		}))
		return next
	}
	config := filepath.Join(dir, "config.yaml")
	must(os.WriteFile(config, fmt.Appendf(nil, "event_initiator_pubkey: %x\nevent_initiator_algorithm: p256\n", []byte(event)), 0o600))
	now := change(Amendment{InitiatorConfig: config})[1].Authority
	i, ok := now.InitiatorOf(event)
	if !ok || i.Name != EventInitiator || !i.Allows(attest.OpSign, "x") || !i.Allows(attest.OpKeygen, "") || i.Allows(attest.OpSignRaw, "") {
		t.Errorf("%+v", now.Initiators)
	}
	for _, node := range []string{"node1", "node2"} {
		must(os.MkdirAll(filepath.Join(dir, node), 0o700))
	}
	file := func(of string) string { return filepath.Join(dir, of, AuthorityFile) }
	must(WriteChain(file("node1"), c))
	must(WriteChain(file("node2"), change(Amendment{Initiators: []string{"other=" + second.String()}})))
	for _, added := range []bool{true, false} {
		if did, err := PilotAdds(dir, 2, event); did != added || err != nil {
			t.Fatalf("%v, %v", did, err)
		}
		for _, of := range []string{"cluster", "node1", "node2"} {
			c, err = ReadChain(file(of))
			must(err)
			now, err := c.Verify(a.Root())
			must(err)
			if i, ok := now.InitiatorOf(event); !ok || !i.Allows(attest.OpSignRaw, "x") || len(c) != 3 || len(now.Initiators) != 3 {
				t.Errorf("%s: %+v", of, now.Initiators)
			}
		}
	}
	must(WriteChain(file("node1"), change(Amendment{Quorum: 2, Officers: []string{"second=" + second.String()}, Remove: []string{"other"}})))
	if did, err := PilotAdds(dir, 2, key("third")); did || err == nil || !strings.Contains(err.Error(), "1 of 2 officers signed") {
		t.Errorf("what one of two officers signed is brought: %v, %v", did, err)
	}
}
