package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/frost"
)

// testToken is an hsm.Signer over keys in memory. It counts its operations, can be made to fail, and gives the high s.
type testToken struct {
	keys  map[string]crypto.Signer
	ops   int
	fail  error
	short bool // gives a part of the signature
}

func newTestToken(tb testing.TB, ids map[string]hsm.KeyType) *testToken {
	tb.Helper()
	t := &testToken{keys: map[string]crypto.Signer{}}
	for id, kind := range ids {
		if kind == hsm.KeyEd25519 {
			_, sk, err := ed25519.GenerateKey(rand.Reader)
			must(tb, err)
			t.keys[id] = sk
			continue
		}
		sk, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(tb, err)
		t.keys[id] = sk
	}
	return t
}

func (t *testToken) Provider() string { return "test" }

func (t *testToken) PublicKey(_ context.Context, id string) (crypto.PublicKey, error) {
	if k, ok := t.keys[id]; ok {
		return k.Public(), nil
	}
	return nil, fmt.Errorf("no key %q", id)
}

func (t *testToken) Sign(_ context.Context, id string, message []byte) ([]byte, error) {
	t.ops++
	if t.fail != nil {
		return nil, t.fail
	}
	switch k := t.keys[id].(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, message), nil
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, k, digest[:])
		if err != nil {
			return nil, err
		}
		if s.Cmp(p256HalfOrder) <= 0 {
			s = new(big.Int).Sub(p256Order, s)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		if t.short {
			return sig[:10], nil
		}
		return sig, nil
	}
	return nil, fmt.Errorf("no key %q", id)
}

func (t *testToken) Verify(_ context.Context, id string, message, signature []byte) (bool, error) {
	k, ok := t.keys[id]
	if !ok {
		return false, fmt.Errorf("no key %q", id)
	}
	return hsm.Verify(k.Public(), message, signature)
}

func (t *testToken) key(id string) Key { return Key{ID: id, Public: t.keys[id].Public()} }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantErr(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func wantMisbound(tb testing.TB, what string, err error, field string) {
	tb.Helper()
	var m *MisboundError
	if !errors.As(err, &m) || m.Field != field {
		tb.Errorf("%s: got %v, want mis-bound %s", what, err, field)
	}
}

// testCluster is three nodes with tokens and a roster, and one 2-of-3 key of the scheme: Ed25519 by FROST, or ECDSA by DKLs23.
type testCluster struct {
	scheme threshold.Scheme
	pairs  []threshold.PairState // ECDSA: in the order of shares
	tokens []*testToken
	root   ed25519.PrivateKey
	roster *SignedRoster
	shares []*threshold.KeyShare
	ahead  time.Duration // of the clock of whoever asks
	chain  string
}

func testNode(tb testing.TB, i int, token *testToken) RosterNode {
	tb.Helper()
	id, _, err := ed25519.GenerateKey(rand.Reader)
	must(tb, err)
	seal, err := ecdh.X25519().GenerateKey(rand.Reader)
	must(tb, err)
	cosign, err := MarshalPublicKey(token.keys["cosign"].Public())
	must(tb, err)
	at, err := MarshalPublicKey(token.keys["attest"].Public())
	must(tb, err)
	n := RosterNode{
		ID: fmt.Sprintf("node%d", i+1), Party: threshold.PartyID(i + 1), Identity: Hex(id), Seal: seal.PublicKey().Bytes(),
		CosignKey: cosign, AttestKey: at, Endpoint: fmt.Sprintf("127.0.0.1:%d", 9000+i), Facility: "here",
	}
	if i != 1 { // which was enrolled before there were witness keys
		n.WitnessKey = make(Hex, witnessKeyLen)
		_, err = rand.Read(n.WitnessKey)
		must(tb, err)
	}
	return n
}

func newRoster(tb testing.TB, nodes int) (Roster, []*testToken) {
	tb.Helper()
	r := Roster{Version: RosterVersion, Cluster: "test", Serial: 1}
	var tokens []*testToken
	for i := range nodes {
		kind := hsm.KeyP256
		if i == 1 {
			kind = hsm.KeyEd25519
		}
		t := newTestToken(tb, map[string]hsm.KeyType{"cosign": hsm.KeyP256, "attest": kind})
		tokens = append(tokens, t)
		r.Nodes = append(r.Nodes, testNode(tb, i, t))
	}
	return r, tokens
}

func newCluster(tb testing.TB) *testCluster { return newClusterOf(tb, frost.Ed25519) }

func newClusterOf(tb testing.TB, scheme threshold.Scheme) *testCluster {
	tb.Helper()
	_, root, err := ed25519.GenerateKey(rand.Reader)
	must(tb, err)
	r, tokens := newRoster(tb, 3)
	c := &testCluster{scheme: scheme, tokens: tokens, root: root}
	c.roster, err = r.Sign(root)
	must(tb, err)
	committee, err := r.Committee([]string{"node3", "node1", "node2"}, 2)
	must(tb, err)
	if scheme.ID() == dkls23.ID {
		setups := map[threshold.PartyID]*threshold.Session[threshold.PairState]{}
		for _, p := range committee.Parties {
			setups[p], err = dkls23.Scheme{}.NewPairState(threshold.Setup{Ceremony: [32]byte{3}, Committee: committee, Self: p, Parallel: inOrder},
				1, rand.Reader)
			must(tb, err)
		}
		c.pairs = exchange(tb, setups)
	}
	sessions := map[threshold.PartyID]*threshold.Session[*threshold.KeyShare]{}
	for _, p := range committee.Parties {
		sessions[p], err = scheme.Keygen(threshold.Setup{Ceremony: [32]byte{1}, Committee: committee, Self: p, Parallel: inOrder}, rand.Reader)
		must(tb, err)
	}
	c.shares = exchange(tb, sessions)
	return c
}

func inOrder(n int, f func(int)) {
	for i := range n {
		f(i)
	}
}

// exchange runs sessions against each other until all are done, and returns their results by ascending party.
func exchange[R any](tb testing.TB, sessions map[threshold.PartyID]*threshold.Session[R]) []R {
	tb.Helper()
	var queue []threshold.Message
	send := func(from threshold.PartyID, out []threshold.Message, err error) {
		must(tb, err)
		for _, m := range out {
			m.From = from
			queue = append(queue, m)
		}
	}
	parties := slices.Sorted(maps.Keys(sessions))
	for _, p := range parties {
		out, err := sessions[p].Start()
		send(p, out, err)
	}
	for len(queue) > 0 {
		m := queue[0]
		queue = queue[1:]
		for _, p := range parties {
			if p != m.From && (m.To == threshold.Everybody || m.To == p) {
				out, err := sessions[p].Step(m)
				send(p, out, err)
			}
		}
	}
	var results []R
	for _, p := range parties {
		r, ok := sessions[p].Result()
		if !ok {
			tb.Fatalf("party %d is not done: lacks %v", p, sessions[p].Missing())
		}
		results = append(results, r)
	}
	return results
}

// presign makes n presignatures for parties 1 and 3; [0] is party 1's.
func (c *testCluster) presign(tb testing.TB, n int) [][]*threshold.Presignature {
	tb.Helper()
	return c.presignFor(tb, make([]threshold.SignRequest, n))
}

// presignFor makes presignatures for the requests, which ECDSA binds into its session.
func (c *testCluster) presignFor(tb testing.TB, reqs []threshold.SignRequest) [][]*threshold.Presignature {
	tb.Helper()
	sessions := map[threshold.PartyID]*threshold.Session[[]*threshold.Presignature]{}
	for _, p := range []threshold.PartyID{1, 3} {
		share := c.shares[p-1]
		keys := make([]threshold.PresignKey, len(reqs))
		for i := range keys {
			keys[i] = threshold.PresignKey{Info: share.KeyInfo, Share: share}
		}
		var err error
		setup := threshold.Setup{Ceremony: [32]byte{2}, Committee: share.Committee, Signers: []threshold.PartyID{1, 3}, Self: p,
			Parallel: inOrder}
		if c.pairs == nil {
			sessions[p], err = c.scheme.Presign(setup, keys, rand.Reader)
		} else {
			var paired threshold.Scheme
			paired, err = dkls23.Scheme{}.WithPairState(c.pairs[p-1])
			must(tb, err)
			sessions[p], err = paired.(threshold.Pooler).PresignFor(setup, keys, reqs, rand.Reader)
		}
		must(tb, err)
	}
	return exchange(tb, sessions)
}

var testNow = time.UnixMilli(1_760_000_000_000)

func (c *testCluster) intent(message string) Intent {
	k := c.shares[0]
	return Intent{
		Version: IntentVersion, Cluster: "test", Operation: OpSign, RequestID: "req-1", KeyID: KeyID(k.Kind, k.GroupKey),
		Scheme: c.scheme.ID(), Epoch: k.Epoch, Message: Hex(message), Chain: c.chain, Signers: []threshold.PartyID{1, 3},
		Requester: "alice", Node: "node1", Created: testNow.Add(c.ahead).UnixMilli(),
	}
}

func (c *testCluster) header(node string, k Kind, after time.Duration) Header {
	return Header{Kind: k, Cluster: "test", Node: node, Time: testNow.Add(after).UnixMilli()}
}

// items are the requests for party p's share of each message.
func (c *testCluster) items(tb testing.TB, p threshold.PartyID, pres []*threshold.Presignature, intents []Intent) []Item {
	tb.Helper()
	share := c.shares[p-1]
	signer, err := c.scheme.NewSigner(share)
	must(tb, err)
	out := make([]Item, len(intents))
	for i, in := range intents {
		req := in.SignRequest()
		req.Pre = pres[i]
		out[i] = Item{Signer: signer, Key: share.KeyInfo, Request: req, Intent: in.Hash()}
	}
	return out
}

// receipt signs a message the whole way.
func (c *testCluster) receipt(tb testing.TB) *Receipt {
	tb.Helper()
	return c.receiptOf(tb, []Intent{c.intent("other"), c.intent("pay bob 5"), c.intent("third")})
}

// receiptOf signs the intents the whole way and returns the receipt of the second. Nobody judges them.
func (c *testCluster) receiptOf(tb testing.TB, intents []Intent) *Receipt {
	tb.Helper()
	ctx := context.Background()
	var hashes [][]byte
	var reqs []threshold.SignRequest
	for _, in := range intents {
		h := in.Hash()
		hashes = append(hashes, h[:])
		reqs = append(reqs, in.SignRequest())
	}
	cosign, err := Attest(ctx, c.tokens[0], c.tokens[0].key("cosign"), c.header("node1", KindCosign, time.Millisecond), hashes)
	must(tb, err)
	pres := c.presignFor(tb, reqs)
	var attested [2][]*AttestedShare
	for i, p := range []threshold.PartyID{1, 3} {
		token := c.tokens[p-1]
		hdr := c.header(fmt.Sprintf("node%d", p), KindShare, 2*time.Millisecond)
		attested[i], _, err = SignShares(ctx, token, token.key("attest"), hdr, c.items(tb, p, pres[i], intents))
		must(tb, err)
	}
	const at = 1
	req := intents[at].SignRequest()
	req.Pre = pres[0][at]
	sig, err := c.scheme.Combine(c.shares[0].KeyInfo, req, []*threshold.SignatureShare{&attested[0][at].Share, &attested[1][at].Share})
	must(tb, err)
	hdr := c.header("node1", KindSettlement, 3*time.Millisecond)
	r := &Receipt{
		Version: ReceiptVersion, ID: ReceiptID(intents[at].Hash()), Cluster: "test", Roster: c.roster.Fingerprint(), SessionID: "req-1",
		Time: hdr.Time, Key: NewKeyRecord(c.shares[0].KeyInfo), Intent: intents[at], Policy: Policy{VerdictPermit, "allow-all"},
		Cosign: NodeAttestation{"node1", cosign.Proof(at)}, PresignSession: Hash(req.Pre.Session), Presignature: req.Pre.ID,
		Signers: []threshold.PartyID{1, 3}, Shares: NewReceiptShares([]*AttestedShare{attested[1][at], attested[0][at]}),
		Signature: sig.Bytes, RecoveryID: sig.RecoveryID, Settlement: NodeAttestation{Node: "node1"},
	}
	c.settle(tb, r)
	return r
}

// settle has node1's hardware cover the receipt, among others.
func (c *testCluster) settle(tb testing.TB, r *Receipt) {
	tb.Helper()
	d := r.Digest()
	hdr := c.header("node1", KindSettlement, 3*time.Millisecond)
	b, err := Attest(context.Background(), c.tokens[0], c.tokens[0].key("attest"), hdr, [][]byte{[]byte("a"), d[:]})
	must(tb, err)
	r.Settlement.Attestation = b.Proof(1)
}

func testScheme(id threshold.SchemeID) (threshold.Scheme, error) {
	switch id {
	case frost.Ed25519.ID():
		return frost.Ed25519, nil
	case frost.Taproot.ID():
		return frost.Taproot, nil
	case dkls23.ID:
		return dkls23.Scheme{}, nil
	}
	return nil, fmt.Errorf("unknown scheme %q", id)
}

// generic is JSON as whatever it says.
func generic(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // it has been decoded before
	return v
}
