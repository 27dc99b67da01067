// Goal: nobody adds a branch or an index on Δ, β, a seed or an input by accident. Method: package consttime walks the syntax of every
// function that is not listed; each in the list branches on what is public.
package ot

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1/consttime"
)

var branchesAllowed = map[string]string{
	"Setup.Finish":     "whether it is spent; whether C6 holds",
	"Setup.Wipe":       "whether it is wiped",
	"Sender.Reply":     "whether C7 holds",
	"Receiving.Finish": "whether it is spent; whether C8 holds",
	"respondOblivious": "whether a key share is the identity, which the peer chose",
	"parseState":       "version and role",
	"transpose64":      "loop counters",
	"wipePRGs":         "kind of a Go type",
}

// publicNames count transfers, trees, leaves, rows, words and bytes, wherever they stand as an index.
var publicNames = []string{"i", "j", "k", "x", "y", "z", "b", "w", "at", "role", "want"}

func TestNoBranchOnSecrets(t *testing.T) {
	breaches, err := consttime.Check(os.DirFS("."), consttime.Rules{Allowed: branchesAllowed, PublicFiles: []string{"selftest.go"},
		PublicNames: publicNames})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}
