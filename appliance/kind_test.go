package appliance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// withPlain knows a second protocol for Ed25519 keys beside those of the program.
func withPlain(id threshold.SchemeID) (threshold.Scheme, error) {
	if id != thresholdtest.PlainID {
		return schemes.ByID(id)
	}
	frost, err := schemes.ByID(threshold.FrostEd25519)
	return thresholdtest.Plain{Scheme: frost}, err
}

// Goal: a wallet signs by any protocol of its kind, which the intent, every attested share and so the receipt name, and its name
// does not depend on which; a node refuses a protocol of another kind (that every signer does, TestProposalChecks tells).
// Method: one Ed25519 wallet, made by FROST, that signs by FROST and by a fixture, before and after a refresh; then an intent that
// names the wrong one, and two in one ceremony that name two.
func TestAnyProtocolOfTheKind(t *testing.T) {
	c := newCluster(t, 3)
	for _, m := range c.nodes {
		m.halt()
		m.schemes = withPlain
		m.start()
	}
	c.waitReady()
	ctx := t.Context()
	w := c.keygen("ed25519", 2, 3)
	lead := c.nodes[0].node
	signers := []threshold.PartyID{1, 3}
	sign := func(scheme threshold.SchemeID, session string) {
		t.Helper()
		r, err := lead.SignBy(ctx, w.ID, session, signers, []byte("pay bob 5"), scheme)
		if err != nil {
			t.Fatal(scheme, err)
		}
		if r.Intent.Scheme != scheme || r.Key.KeyID != w.ID || r.Key.Kind != threshold.Ed25519.ID {
			t.Errorf("%s: the receipt names %s, key %s of kind %s", scheme, r.Intent.Scheme, r.Key.KeyID, r.Key.Kind)
		}
		if err := attest.VerifyReceipt(r, c.roster, withPlain, attest.ReceiptOptions{}); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
		if err := attest.VerifyReceipt(r, c.roster, schemes.ByID, attest.ReceiptOptions{}); (err == nil) != (scheme == threshold.FrostEd25519) {
			t.Errorf("%s, to a verifier without the fixture: %v", scheme, err)
		}
	}
	sign(threshold.FrostEd25519, "frost-1")
	sign(thresholdtest.PlainID, "plain-1")
	if _, err := lead.Refresh(ctx, appliance.RefreshRequest{WalletID: w.ID}); err != nil {
		t.Fatal(err)
	}
	sign(thresholdtest.PlainID, "plain-2")
	sign(threshold.FrostEd25519, "frost-2")

	_, err := lead.SignBy(ctx, w.ID, "taproot", signers, make([]byte, 32), threshold.FrostTaproot)
	e := problem.As(err)
	if e.Code != problem.Invalid || !strings.Contains(e.Message, "frost-bip340 does not sign with keys of kind ed25519") {
		t.Errorf("a scheme for another kind of key: %v", err)
	}
	_, err = lead.SignBy(ctx, w.ID, "both", signers, []byte("pay bob 5"), threshold.FrostEd25519, thresholdtest.PlainID)
	if e := problem.As(err); e.Code != problem.Invalid || !strings.Contains(e.Message, "another scheme") {
		t.Errorf("two schemes in one ceremony: %v", err)
	}
}

// Goal: an audit log of another version is refused by its version, and not called damaged. Method: a log that the program wrote when
// entries had no version.
func TestAuditOfAnotherVersion(t *testing.T) {
	b, err := os.ReadFile("testdata/audit_v1.log")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = audit.Verify(path, nil)
	if err == nil || !strings.Contains(err.Error(), "entry 1 is of version 1, this program reads 2") {
		t.Errorf("%v", err)
	}
}
