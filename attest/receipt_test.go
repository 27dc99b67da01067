package attest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
)

// judge is what `mpcd attest verify` does with a file.
func (c *testCluster) judge(b []byte, o ReceiptOptions) error {
	r, err := ParseReceipt(b)
	if err != nil {
		return err
	}
	return VerifyReceipt(r, c.roster, testScheme, o)
}

// Goal: a receipt is accepted offline, and after any one change it is not. Method: walk its JSON; at every place try every
// change a generic walker knows: other values, another type, null, removed, added, doubled, swapped.
func TestReceiptAnyChange(t *testing.T) {
	c := newCluster(t)
	good := c.receipt(t).JSON()
	o := ReceiptOptions{Root: c.root.Public().(ed25519.PublicKey), Fingerprint: c.roster.Fingerprint(), NotAfter: testNow.Add(time.Minute)}
	must(t, c.judge(good, o))
	var compact bytes.Buffer
	must(t, json.Compact(&compact, good))
	must(t, c.judge(compact.Bytes(), o))
	changes, leaves := 0, 0
	mutate(generic(good), "", func(root any, what string, leaf bool) {
		b, err := json.Marshal(root)
		must(t, err)
		changes++
		if leaf {
			leaves++
		}
		if c.judge(b, o) == nil {
			t.Errorf("accepted after: %s", what)
		}
	})
	t.Logf("%d changes, %d of them of a leaf's value; receipt of %d bytes", changes, leaves, compact.Len())
	if leaves < 200 {
		t.Errorf("the walk found only %d changes of values", leaves)
	}
	for name, bad := range map[string][]byte{
		"doubled field": bytes.Replace(good, []byte(`"version": 2,`), []byte(`"version": 2, "version": 2,`), 1),
		"trailing":      append(bytes.Clone(good), "{}"...),
		"empty":         {},
		"case":          bytes.Replace(good, []byte(`"cluster"`), []byte(`"Cluster"`), 1),
		"upper hex":     bytes.Replace(good, []byte(`"signature": "0x`), []byte(`"signature": "0X`), 1),
	} {
		if bytes.Equal(bad, good) || c.judge(bad, o) == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// mutate calls f with the whole document after each single change, and undoes it.
func mutate(root any, at string, f func(root any, what string, leaf bool)) {
	var walk func(v any, at string, set func(any), remove func())
	try := func(set func(any), old, v any, what string, leaf bool) {
		set(v)
		f(root, what, leaf)
		set(old)
	}
	walk = func(v any, at string, set func(any), remove func()) {
		if remove != nil {
			remove()
			f(root, at+" removed", false)
			set(v)
			try(set, v, nil, at+" null", false)
			try(set, v, []any{}, at+" empty array", false)
		}
		switch x := v.(type) {
		case map[string]any:
			x["extra"] = json.Number("1")
			f(root, at+" with one more field", false)
			delete(x, "extra")
			for k, e := range x {
				walk(e, at+"."+k, func(v any) { x[k] = v }, func() { delete(x, k) })
			}
		case []any:
			if len(x) > 0 {
				try(set, v, x[1:], at+" without its first", false)
				try(set, v, append(append([]any{}, x...), x[0]), at+" with its first again", false)
			} else if remove != nil {
				try(set, v, []any{"0x" + strings.Repeat("00", 32)}, at+" with one element", false)
			}
			for i, e := range x {
				walk(e, fmt.Sprintf("%s[%d]", at, i), func(v any) { x[i] = v }, nil)
				if i > 0 {
					x[i], x[i-1] = x[i-1], x[i]
					f(root, fmt.Sprintf("%s[%d] swapped with the one before", at, i), false)
					x[i], x[i-1] = x[i-1], x[i]
				}
			}
		case string:
			values := []any{x + "0", x + "00", "", "0x", json.Number("1")}
			for _, i := range []int{2, len(x) / 2, len(x) - 1} {
				if i > 0 && i < len(x) {
					values = append(values, x[:i]+string(rune(x[i]^1))+x[i+1:])
				}
			}
			for _, n := range values {
				if n != v {
					try(set, v, n, fmt.Sprintf("%s = %v", at, n), true)
				}
			}
		case json.Number:
			n, _ := x.Int64()
			for _, d := range []int64{-1, 1, 256} {
				try(set, v, json.Number(fmt.Sprint(n+d)), fmt.Sprintf("%s = %d", at, n+d), true)
			}
			try(set, v, fmt.Sprint(n), at+" as text", true)
		case bool:
			try(set, v, !x, at+" flipped", true)
		}
	}
	walk(root, at, nil, nil)
}

// Goal: the chain holds without the settlement: a coordinator that settles a bent receipt with its own hardware is found by
// the link it bent. Method: bend each link, settle again, name the step that must refuse.
func TestReceiptEveryLink(t *testing.T) {
	c := newCluster(t)
	other := c.receipt(t) // another request of the same cluster, with other presignatures
	for _, x := range []struct {
		step string
		bend func(*Receipt)
	}{
		{"key", func(r *Receipt) { r.Key.KeyID += "x" }},
		{"key", func(r *Receipt) { r.Key.GroupKey[0] ^= 1 }},
		{"key", func(r *Receipt) { r.Key.Kind = "x" }},
		{"key", func(r *Receipt) { r.Key.Threshold = 1 }},
		{"key", func(r *Receipt) { r.Key.Parties = []threshold.PartyID{1, 3, 4} }},
		{"key", func(r *Receipt) { r.Key.PublicShares = r.Key.PublicShares[1:] }},
		{"key", func(r *Receipt) { r.Key.Epoch = 0 }},
		{"intent", func(r *Receipt) { r.Key.Epoch++ }},
		{"intent", func(r *Receipt) { r.Key.Threshold = 3 }},
		{"intent", func(r *Receipt) { r.ID += "x" }},
		{"intent", func(r *Receipt) { r.SessionID = "x" }},
		{"intent", func(r *Receipt) { r.Signers = []threshold.PartyID{1, 2} }},
		{"intent", func(r *Receipt) { r.Intent.Message = Hex("pay eve 5") }},
		{"intent", func(r *Receipt) {
			r.Intent.Operation = OpRefresh
			r.Intent.Message = nil
			r.ID = ReceiptID(r.Intent.Hash())
		}},
		{"intent", func(r *Receipt) { r.Intent.Cluster = "other"; r.ID = ReceiptID(r.Intent.Hash()) }},
		{"intent", func(r *Receipt) { r.Intent.KeyID = "other"; r.ID = ReceiptID(r.Intent.Hash()) }},
		{"intent", func(r *Receipt) { r.Intent.Scheme = "other"; r.ID = ReceiptID(r.Intent.Hash()) }},
		{"intent", func(r *Receipt) { r.Intent.Scheme = dkls23.ID; r.ID = ReceiptID(r.Intent.Hash()) }}, // there is one, of another kind
		{"cosignature", func(r *Receipt) { r.Intent.Message = Hex("pay eve 5"); r.ID = ReceiptID(r.Intent.Hash()) }},
		{"cosignature", func(r *Receipt) { r.Intent.Requester = "eve"; r.ID = ReceiptID(r.Intent.Hash()) }},
		{"cosignature", func(r *Receipt) { r.Intent.Created += 3600_000; r.ID = ReceiptID(r.Intent.Hash()) }},
		{"cosignature", func(r *Receipt) { r.Cosign.Node = "node3" }},
		{"cosignature", func(r *Receipt) { r.Cosign.Attestation.Index = 0 }},
		{"cosignature", func(r *Receipt) { r.Cosign.Attestation = Attestation{} }},
		{"cosignature", func(r *Receipt) { r.Cosign.Attestation = r.Shares[0].Attestation }},
		{"policy", func(r *Receipt) { r.Policy.Verdict = "forbid" }},
		{"settlement", func(r *Receipt) { r.Time++ }},
		{"settlement", func(r *Receipt) { r.Settlement.Node = "node3" }},
		{"shares", func(r *Receipt) { r.Key.PublicShares[1][0] ^= 1 }},
		{"shares", func(r *Receipt) { r.Key.ChainCode[0] ^= 1 }},
		{"shares", func(r *Receipt) {
			r.Key.Parties = []threshold.PartyID{1, 3}
			r.Key.PublicShares = r.Key.PublicShares[:2]
		}},
		{"shares", func(r *Receipt) { r.PresignSession[0] ^= 1 }},
		{"shares", func(r *Receipt) { r.Presignature[0] ^= 1 }},
		{"shares", func(r *Receipt) { r.Shares[0], r.Shares[1] = r.Shares[1], r.Shares[0] }},
		{"shares", func(r *Receipt) { r.Shares = r.Shares[:1] }},
		{"shares", func(r *Receipt) { r.Shares[1] = r.Shares[0] }},
		{"shares", func(r *Receipt) { r.Shares[1] = r.Shares[0]; r.Shares[1].Party = 3; r.Shares[1].Node = "node3" }},
		{"shares", func(r *Receipt) { r.Shares[1].Node = "node2" }},
		{"shares", func(r *Receipt) { r.Shares[1].Share[0] ^= 1 }},
		{"shares", func(r *Receipt) { r.Shares[1] = other.Shares[1] }},
		{"shares", func(r *Receipt) { r.Shares[1].Attestation = Attestation{} }},
		{"signature", func(r *Receipt) { r.Signature[0] ^= 1 }},
		{"signature", func(r *Receipt) { r.Signature = other.Signature[1:] }},
		{"signature", func(r *Receipt) { r.RecoveryID = 0 }},
	} {
		r, err := ParseReceipt(c.receipt(t).JSON()) // a copy that shares nothing with the cluster
		must(t, err)
		x.bend(r)
		c.settle(t, r)
		err = VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), "attest: receipt: "+x.step+": ") {
			t.Errorf("want refused for %s, got: %v", x.step, err)
		}
	}
}

// Goal: times are in order, within the clocks' skew. Method: shares before the cosignature and after the settlement, a
// settlement before the cosignature, and a receipt of the future.
func TestReceiptTimes(t *testing.T) {
	c := newCluster(t)
	r := c.receipt(t)
	wantErr(t, "future", VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{NotAfter: testNow}), ErrStale)
	v := receiptCheck{r: r, roster: c.roster.Roster, intent: r.Intent.Hash(), schemeByID: testScheme}
	must(t, v.key())
	must(t, v.checkIntent())
	v.cosigned, v.settled = testNow.Add(time.Second), testNow.Add(2*time.Second)
	wantErr(t, "shares before cosignature", v.shares(), ErrStale)
	wantErr(t, "settlement before cosignature", v.settlement(), ErrStale)
	v.cosigned, v.settled = testNow.Add(-2*time.Second), testNow.Add(-time.Second)
	wantErr(t, "shares after settlement", v.shares(), ErrStale)
	v.o.Skew = 5 * time.Second
	must(t, v.shares())
	r.Intent.Created += time.Hour.Milliseconds()
	v.intent = r.Intent.Hash()
	wantErr(t, "cosigned before it was asked", v.cosign(), ErrStale)
}

// Goal: the clocks of nodes may differ by the skew and no more. Method: whoever asks is ahead of the node that cosigns.
func TestReceiptSkew(t *testing.T) {
	c := newCluster(t)
	c.ahead = 10 * time.Second
	r := c.receipt(t)
	must(t, VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}))
	wantErr(t, "small skew", VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{Skew: time.Second}), ErrStale)
	c.ahead = DefaultSkew + time.Second
	wantErr(t, "default skew", VerifyReceipt(c.receipt(t), c.roster, testScheme, ReceiptOptions{}), ErrStale)
}

// Goal: only the node that proposed cosigns and settles. Method: another member's genuine hardware does it instead.
func TestReceiptProposer(t *testing.T) {
	c := newCluster(t)
	other := c.tokens[2]
	r := c.receipt(t)
	h := r.Intent.Hash()
	b, err := Attest(context.Background(), other, other.key("cosign"), c.header("node3", KindCosign, time.Millisecond), [][]byte{h[:]})
	must(t, err)
	r.Cosign = NodeAttestation{"node3", b.Proof(0)}
	c.settle(t, r)
	wantErr(t, "cosigned by another", VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}), ErrWrongNode)
	r = c.receipt(t)
	r.Settlement.Node = "node3"
	d := r.Digest()
	b, err = Attest(context.Background(), other, other.key("attest"), c.header("node3", KindSettlement, 3*time.Millisecond), [][]byte{d[:]})
	must(t, err)
	r.Settlement.Attestation = b.Proof(0)
	wantErr(t, "settled by another", VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}), ErrWrongNode)
}

// Goal: an intent of a shape no node accepts is refused, whoever cosigned and settled it. Method: the whole line over one.
func TestReceiptIntentShape(t *testing.T) {
	c := newCluster(t)
	c.chain = strings.Repeat("x", maxText+1)
	if err := VerifyReceipt(c.receipt(t), c.roster, testScheme, ReceiptOptions{}); err == nil || !strings.Contains(err.Error(), "257") {
		t.Errorf("got %v", err)
	}
}

// Goal: a receipt of another version or cluster is refused before anything of it is read. Method: both, in memory and in JSON.
func TestReceiptForeign(t *testing.T) {
	c := newCluster(t)
	r := c.receipt(t)
	r.Version = 3
	c.settle(t, r)
	if err := VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("version: %v", err)
	}
	if _, err := ParseReceipt(r.JSON()); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("version in JSON: %v", err)
	}
	r = c.receipt(t)
	r.Cluster, r.Intent.Cluster = "other", "other"
	if err := VerifyReceipt(r, c.roster, testScheme, ReceiptOptions{}); err == nil || err.Error() != misbound("cluster").Error() {
		t.Errorf("cluster: %v", err)
	}
}

// Goal: a receipt is judged by the one roster it was made under, and that by its operator. Method: other rosters and roots.
func TestReceiptRoster(t *testing.T) {
	c := newCluster(t)
	r := c.receipt(t)
	verify := func(roster *SignedRoster, o ReceiptOptions) error { return VerifyReceipt(r, roster, testScheme, o) }
	must(t, verify(c.roster, ReceiptOptions{}))
	_, eve, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	sign := func(r Roster, root ed25519.PrivateKey) *SignedRoster {
		s, err := r.Sign(root)
		must(t, err)
		return s
	}
	more, _ := newRoster(t, 4)
	grown := c.roster.Roster
	grown.Serial, grown.Nodes = 2, append(append([]RosterNode{}, grown.Nodes...), more.Nodes[3])
	wantErr(t, "another cluster's roster", verify(sign(more, c.root), ReceiptOptions{}), ErrRoster)
	wantErr(t, "one node more", verify(sign(grown, c.root), ReceiptOptions{}), ErrRoster)
	wantErr(t, "another root", verify(sign(c.roster.Roster, eve), ReceiptOptions{}), ErrRoster)
	wantErr(t, "pinned root", verify(c.roster, ReceiptOptions{Root: eve.Public().(ed25519.PublicKey)}), ErrRoster)
	wantErr(t, "pinned fingerprint", verify(c.roster, ReceiptOptions{Fingerprint: "r_x"}), ErrRoster)
	forged := *c.roster
	forged.Roster.Nodes = append([]RosterNode{}, forged.Roster.Nodes...)
	forged.Roster.Nodes[0].Endpoint = "elsewhere"
	wantErr(t, "changed roster", verify(&forged, ReceiptOptions{}), ErrRoster)
	if err := verify(sign(grown, c.root), ReceiptOptions{}); !strings.Contains(err.Error(), c.roster.Fingerprint()) {
		t.Errorf("error does not name the roster to fetch: %v", err)
	}
	if VerifyReceipt(nil, c.roster, testScheme, ReceiptOptions{}) == nil || verify(nil, ReceiptOptions{}) == nil {
		t.Error("nothing accepted")
	}
	unknown := errors.New("no such scheme")
	err = VerifyReceipt(r, c.roster, func(threshold.SchemeID) (threshold.Scheme, error) { return nil, unknown }, ReceiptOptions{})
	wantErr(t, "unknown scheme", err, unknown)
}

// Goal: what a node attests that the roster says was removed counts for nothing, as proposer or as signer; who else is removed is none of
// the receipt's business. Method: receipts made under rosters that remove a node each.
func TestReceiptOfRemoved(t *testing.T) {
	signers := newCluster(t).receipt(t).Signers
	for i, n := range newCluster(t).roster.Roster.Nodes {
		c := newCluster(t)
		r := c.roster.Roster
		r.Serial, r.Nodes = 2, append([]RosterNode{}, r.Nodes...)
		r.Nodes[i].Removed = true
		s, err := r.Sign(c.root)
		must(t, err)
		c.roster = s
		err = VerifyReceipt(c.receipt(t), s, testScheme, ReceiptOptions{})
		if signs := slices.Contains(signers, n.Party); signs && !errors.Is(err, ErrUnknownNode) || !signs && err != nil {
			t.Errorf("%s removed, signs %v: %v", n.ID, signs, err)
		}
	}
}
