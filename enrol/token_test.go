package enrol

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: no token is made that every node would refuse, or that lets nobody do anything. Method: what nodes refuse in subjects, no audience,
// no roles, roles that are kept apart, no name of a vault; and the longest subject there is.
func TestTokenThatCounts(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewOperator(dir, "c"); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		change func(*Token)
		good   bool
	}{
		"good":                 {func(*Token) {}, true},
		"the longest subject":  {func(k *Token) { k.Subject = strings.Repeat("a", 128) }, true},
		"no subject":           {func(k *Token) { k.Subject = "" }, false},
		"a longer subject":     {func(k *Token) { k.Subject = strings.Repeat("a", 129) }, false},
		"a subject of words":   {func(k *Token) { k.Subject = "alice smith" }, false},
		"a subject with marks": {func(k *Token) { k.Subject = "älice" }, false},
		"no audience":          {func(k *Token) { k.Audience = "" }, false},
		"no roles":             {func(k *Token) { k.Roles = nil }, false},
		"vaults":               {func(k *Token) { k.Vaults = []string{"trading", ""} }, true},
		"every vault":          {func(k *Token) { k.Vaults = []string{"*"} }, false},
		"a certificate":        {func(k *Token) { k.Cert = filepath.Join(dir, "ca.crt") }, true},
		"no certificate":       {func(k *Token) { k.Cert = filepath.Join(dir, tokenPubFile) }, false},
		"duties apart":         {func(k *Token) { k.Roles = []string{"requester", "key-admin"} }, true},
		"duties together":      {func(k *Token) { k.Roles = []string{"requester", "approver"} }, false},
	} {
		k := Token{Audience: "c", Subject: "alice", Roles: []string{"viewer"}, TTL: time.Hour}
		row.change(&k)
		text, _, err := k.Sign(filepath.Join(dir, TokenKeyFile), time.Now())
		if row.good && err != nil || !row.good && (codeOf(err) != fault.CodeUsage || text != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: no token is signed with a key whose tokens every node refuses, as far as the files beside it tell, and a public key is told as that
// and not to be hidden from others. Method: the keys of a pilot, a key that nothing is known of, public halves.
func TestTokenKey(t *testing.T) {
	p := Plan{Cluster: "c", Dir: t.TempDir(), Nodes: 2, Threshold: 2, HSM: "local", APIPort: APIPort, RoutePort: RoutePort, Dev: true,
		Plain: true, Note: t.Logf}
	if _, _, err := p.CarryOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(p.Dir, "cluster")
	a, err := OpenOperator(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"asks", "decides", "approves", "writes", "another"} {
		if _, err := a.newKey(name+".key", nil); err != nil {
			t.Fatal(err)
		}
	}
	der := func(name string) attest.Hex {
		k, err := readKey(filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	c := attest.AuthorityChain{{Authority: attest.Authority{Officers: []attest.Officer{{Key: der("decides")}},
		Authors:    []attest.Officer{{Key: der("writes")}},
		Initiators: []attest.Initiator{{Key: der("asks"), May: []attest.Grant{}}},
		Approvers:  []attest.Approver{{Key: der("approves"), Groups: []string{}}}}, Signatures: []attest.AuthoritySignature{}}}
	if err := WriteChain(filepath.Join(dir, AuthorityFile), c); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{TokenKeyFile: "", "another.key": "", rootFile: "root key", "decides.key": "an officer's",
		"writes.key": "an author's", "asks.key": "an initiator's", "approves.key": "an approver's",
		tokenPubFile: "holds a public key", caCertFile: "no Ed25519 private key"} {
		k := Token{Audience: "c", Subject: "alice", Roles: []string{"viewer"}, TTL: time.Hour}
		text, _, err := k.Sign(filepath.Join(dir, name), time.Now())
		if says == "" && err != nil || says != "" && (codeOf(err) != fault.CodeUsage || text != "" || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v", name, err)
		}
		var f *fault.Error
		if name == tokenPubFile && (!errors.As(err, &f) || !strings.Contains(f.Do, TokenKeyFile)) {
			t.Errorf("what to do: %v", err)
		}
	}
}
