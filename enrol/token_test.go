package enrol

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

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
