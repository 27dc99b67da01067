package appliance

import (
	"errors"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
)

// Goal: a page_token that no answer gave is refused by every list, and not answered with a page that seems to be the last. Method: words,
// numbers and IDs that are nearly ones.
func TestPageTokens(t *testing.T) {
	if id := attest.KeyID("ed25519", []byte("key")); !attest.IsKeyID(id) {
		t.Errorf("%s is refused", id)
	}
	n := &Node{}
	for _, token := range []string{"zz", "w_", "w_zz", "5 zz", "5zz", "0x10", "-1", "w_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"} {
		_, _, wallets := n.Wallets(t.Context(), Page{Token: token})
		_, _, entries := n.Audit(t.Context(), Page{Token: token})
		for what, err := range map[string]error{"wallets": wallets, "audit": entries} {
			var p *problem.Error
			if !errors.As(err, &p) || p.Field != "page_token" {
				t.Errorf("%s %q: %v", what, token, err)
			}
		}
	}
}
