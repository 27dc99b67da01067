package appliance_test

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rlp"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// friend is whom the policy of these tests lets be paid.
const friend = "0x3535353535353535353535353535353535353535"

// friendly is the policy of these tests.
const friendly = `
@id("friend") permit (principal == Initiator::"asker", action == Action::"sign", resource)
	when { context.what == "send" && context.to == "` + friend + `" && context.asset == "" };
@id("large") forbid (principal, action, resource) when { context.what == "send" && context.amount.greaterThan(decimal("1.5")) };
@id("keys") permit (principal, action in [Action::"keygen", Action::"refresh"], resource);
`

const everything = `@id("everything") permit (principal, action, resource);`

// payment is a transaction of Ethereum that is still to be signed, as go-ethereum has it.
func payment(t *testing.T, to string, wei int64, data []byte) (*types.Transaction, *attest.Payload) {
	t.Helper()
	at := common.HexToAddress(to)
	x := &types.DynamicFeeTx{ChainID: big.NewInt(1), Nonce: 7, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(3e10), Gas: 90_000, To: &at,
		Value: big.NewInt(wei), Data: data}
	body, err := rlp.EncodeToBytes([]any{x.ChainID, x.Nonce, x.GasTipCap, x.GasFeeCap, x.Gas, x.To, x.Value, x.Data, types.AccessList{}})
	if err != nil {
		t.Fatal(err)
	}
	return types.NewTx(x), &attest.Payload{Format: "transaction", Bytes: append([]byte{types.DynamicFeeTxType}, body...)}
}

// govern puts a policy in force at all nodes.
func (c *cluster) govern(policy string) {
	c.t.Helper()
	c.asker.Chain = c.change(func(a *attest.Authority) { a.Policy = policy })
	for _, m := range c.nodes {
		if err := m.node.TakeAuthority(c.t.Context(), c.asker.Chain); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Goal: a transaction that was asked for is signed as its network signs it, if the rules of the authority permit what every node reads in
// it; the receipt shows it to a stranger, who judges again. Method: go-ethereum recovers the sender; transactions that no rule permits,
// that one forbids, that call what nobody can read, and a digest, which nobody can read at all; receipts under an authority that forbids.
func TestTransactions(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	c.govern(friendly)
	node := c.nodes[0].node
	sign := func(p *attest.Payload, message []byte) (*appliance.Signature, error) {
		return node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Chain: "ethereum", Payload: p, Message: message})
	}
	tx, payload := payment(t, friend, 15e17, nil)
	sig, err := sign(payload, nil)
	if err != nil {
		t.Fatal(err)
	}
	if es := c.nodes[0].entries(t, "share.sign"); len(es) != 1 || es[0].Facts["rule"] != "friend" { // which webhooks of events go by
		t.Errorf("on record: %+v", es)
	}
	signer := types.LatestSignerForChainID(big.NewInt(1))
	signed, err := tx.WithSignature(signer, append(bytes.Clone(sig.Receipt.Signature), byte(sig.Receipt.RecoveryID)))
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.UnmarshalPubkey(w.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if from, err := types.Sender(signer, signed); err != nil || from != crypto.PubkeyToAddress(*key) {
		t.Errorf("go-ethereum recovers %s, %v", from, err)
	}
	if sig.Receipt.Policy.Rule != "friend" {
		t.Errorf("permitted by %q", sig.Receipt.Policy.Rule)
	}
	verify := func(chain attest.AuthorityChain) error {
		return attest.VerifyReceipt(sig.Receipt, c.roster, schemes.ByID, attest.ReceiptOptions{Authority: chain})
	}
	if err := verify(c.asker.Chain); err != nil {
		t.Error(err)
	}
	_, stranger := payment(t, "0x3535353535353535353535353535353535353536", 1, nil)
	_, large := payment(t, friend, 15e17+1, nil)
	_, call := payment(t, friend, 1, []byte{1, 2, 3, 4})
	for name, row := range map[string]struct {
		payload *attest.Payload
		message []byte
		rule    string
	}{
		"to a stranger": {stranger, nil, "default-deny"}, "too much": {large, nil, "large"}, "a call": {call, nil, "default-deny"},
		"a digest": {nil, make([]byte, 32), "default-deny"},
	} {
		_, err := sign(row.payload, row.message)
		if p := problem.As(err); err == nil || p.Code != problem.Denied || !strings.Contains(p.Message, `"`+row.rule+`"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: each signer reads the transaction and asks the rules for itself, whatever the coordinator does. Method: a coordinator that judges
// nothing proposes a transaction that no rule permits, a digest that is not that of its transaction, and one of another network; once more
// under rules that permit everything.
func TestSignersReadTransactions(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygenBy("secp256k1", "dkls23", 2, 3)
	tx, good := payment(t, friend, 1, nil)
	other, bad := payment(t, "0x3535353535353535353535353535353535353536", 1, nil)
	digest := func(x *types.Transaction) []byte { return types.LatestSignerForChainID(big.NewInt(1)).Hash(x).Bytes() }
	for name, row := range map[string]struct {
		payload *attest.Payload
		digest  []byte
		chain   string
		permits []string // the rules that do
	}{
		"as it is":       {good, digest(tx), "ethereum", []string{friendly, everything}},
		"denied":         {bad, digest(other), "ethereum", []string{everything}},
		"another digest": {good, digest(other), "ethereum", nil}, "another network": {good, digest(tx), "polygon", nil},
		"unreadable": {&attest.Payload{Format: "transaction", Bytes: []byte{1}}, digest(tx), "ethereum", nil},
	} {
		for i, rules := range []string{friendly, everything} {
			c.govern(rules)
			_, err := c.nodes[0].node.SignForged(t.Context(), w.ID, fmt.Sprint(name, i), []threshold.PartyID{2, 3}, row.digest,
				func(in *attest.Intent) { in.Payload, in.Chain = row.payload, row.chain }, false)
			if (err == nil) != slices.Contains(row.permits, rules) {
				t.Errorf("%s, rules %d: %v", name, i, err)
			}
		}
	}
}
