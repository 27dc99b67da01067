package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
)

// oneShare is party 1's attested share of one message, with what a receiver expects.
func oneShare(t *testing.T, c *testCluster) (*AttestedShare, ShareExpect) {
	t.Helper()
	in, pres := c.intent("m"), c.presign(t, 1)[0]
	it := c.items(t, 1, pres, []Intent{in})[0]
	s := NewAttestingSigner(it.Signer, it.Key, c.tokens[0], "attest")
	share, err := s.SignShare(context.Background(), Header{Cluster: "test", Node: "node1", Time: testNow.UnixMilli()}, it.Request, it.Intent)
	must(t, err)
	return share, ShareExpect{Statement: NewStatement("test", "node1", it.Key, "", it.Request, it.Intent)}
}

// Goal: a share passes only as what it was made for. Method: every field of what is expected changed, by reflection.
func TestVerifyShareBindings(t *testing.T) {
	c := newCluster(t)
	pub := c.tokens[0].key("attest").Public
	share, want := oneShare(t, c)
	must(t, VerifyShare(pub, want, share))
	n := reflect.TypeFor[Statement]().NumField()
	for i := range n {
		bad := want
		f := reflect.ValueOf(&bad.Statement).Elem().Field(i)
		field := reflect.TypeFor[Statement]().Field(i).Tag.Get("json")
		switch f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Array:
			f.Index(0).SetUint(uint64(f.Index(0).Uint() ^ 1))
		case reflect.Slice:
			f.Set(reflect.ValueOf([]threshold.PartyID{1, 2}))
		case reflect.Int64:
			f.SetInt(f.Int() + 1)
		default:
			f.SetUint(f.Uint() + 1)
		}
		switch err := VerifyShare(pub, bad, share); field {
		case "node":
			wantErr(t, field, err, ErrWrongNode)
		case "share_hash", "time_ms":
			must(t, err) // not expected of anybody
		default:
			wantMisbound(t, field, err, field)
		}
	}
	late := want
	late.NotAfter = testNow.Add(-time.Second)
	wantErr(t, "stale", VerifyShare(pub, late, share), ErrStale)
	wantErr(t, "other key", VerifyShare(c.tokens[2].key("attest").Public, want, share), ErrWrongNode)
	wantErr(t, "nil", VerifyShare(pub, want, nil), ErrUnattested)
	wantErr(t, "no attestation", VerifyShare(pub, want, &AttestedShare{Share: share.Share, Statement: share.Statement}), ErrUnattested)
}

// Goal: the share itself is bound, whatever the genuine statement beside it says. Method: each part of the share changed, and
// statements of the token that contradict themselves.
func TestShareIsBound(t *testing.T) {
	c := newCluster(t)
	pub := c.tokens[0].key("attest").Public
	share, want := oneShare(t, c)
	refused := func(what string, s *AttestedShare) error {
		ok, err := VerifyAttestation(context.Background(), c.tokens[0], "attest", s)
		if ok || err != nil {
			t.Errorf("%s: VerifyAttestation says %v, %v", what, ok, err)
		}
		return VerifyShare(pub, want, s)
	}
	bad := *share
	bad.Share.Payload = bytes.Clone(share.Share.Payload)
	bad.Share.Payload[0] ^= 1
	wantMisbound(t, "payload", refused("payload", &bad), "share_hash")
	bad = *share
	bad.Share.From = 3
	wantMisbound(t, "from", refused("from", &bad), "share_hash")
	bad = *share
	bad.Share.Pre[0] ^= 1
	wantMisbound(t, "pre", refused("pre", &bad), "share_hash")
	bad = *share
	bad.Statement.Digest[0] ^= 1
	wantErr(t, "statement", refused("statement", &bad), ErrForged)
	for what, lie := range map[string]func(*AttestedShare){
		"party":        func(s *AttestedShare) { s.Share.From = 3 },
		"presignature": func(s *AttestedShare) { s.Share.Pre[0] ^= 1 },
		"time_ms":      func(s *AttestedShare) { s.Statement.Time++ },
		"cluster":      func(s *AttestedShare) { s.Statement.Cluster = "other" },
		"version":      func(s *AttestedShare) { s.Statement.Version = 2 },
	} {
		bad := *share
		lie(&bad)
		bad.Statement.ShareHash = ShareHash(bad.Share)
		b, err := Attest(context.Background(), c.tokens[0], c.tokens[0].key("attest"), c.header("node1", KindShare, 0),
			[][]byte{bad.Statement.Leaf()})
		must(t, err)
		bad.Attestation = b.Proof(0)
		wantMisbound(t, what, refused(what, &bad), what)
	}
	bad = *share
	bad.Statement.Node = "node2"
	b, err := Attest(context.Background(), c.tokens[0], c.tokens[0].key("attest"), c.header("node1", KindShare, 0),
		[][]byte{bad.Statement.Leaf()})
	must(t, err)
	bad.Attestation = b.Proof(0)
	wantErr(t, "node", refused("node", &bad), ErrWrongNode)
}

// Goal: a statement and its share must both be of the party and presignature expected. Method: a token that signs a statement
// which fits its share in one and lies in the other.
func TestStatementContradictsShare(t *testing.T) {
	c := newCluster(t)
	share, want := oneShare(t, c)
	for field, lie := range map[string]func(*Statement){
		"party":        func(s *Statement) { s.Party = 3 },
		"presignature": func(s *Statement) { s.Presignature[0] ^= 1 },
	} {
		bad := *share
		lie(&bad.Statement)
		b, err := Attest(context.Background(), c.tokens[0], c.tokens[0].key("attest"), c.header("node1", KindShare, 0),
			[][]byte{bad.Statement.Leaf()})
		must(t, err)
		bad.Attestation = b.Proof(0)
		wantMisbound(t, field, VerifyShare(c.tokens[0].key("attest").Public, want, &bad), field)
	}
}

// Goal: a share batch has limits and a signer needs a public key. Method: at and over each edge.
func TestShareLimits(t *testing.T) {
	for name, sb := range map[string]ShareBatch{
		"none":     {[]byte{1}, [][]byte{}},
		"too many": {[]byte{1}, make([][]byte, MaxLeaves+1)},
		"too long": {[]byte{1}, [][]byte{make([]byte, maxShare+1)}},
	} {
		_, err := ParseShareBatch(sb.Bytes())
		wantErr(t, name, err, ErrMalformed)
	}
	_, err := ParseShareBatch(ShareBatch{[]byte{1}, [][]byte{make([]byte, maxShare)}}.Bytes())
	must(t, err)
	_, err = ParseShareBatch(append(ShareBatch{[]byte{1}, [][]byte{{1}}}.Bytes(), 0))
	wantErr(t, "trailing byte", err, ErrMalformed)
	mute := struct{ hsm.Signer }{newTestToken(t, bothKeys)}
	for want, token := range map[string]hsm.Signer{"no public keys": mute, "p256": newTestToken(t, nil)} {
		s := NewAttestingSigner(nil, threshold.KeyInfo{}, token, "p256")
		if _, err := s.SignShare(context.Background(), Header{}, threshold.SignRequest{}, [32]byte{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Goal: VerifyAttestation convinces itself by the token's key alone. Method: the right token and key; another token, an unknown key, no
// attestation, an attestation of another kind.
func TestVerifyAttestation(t *testing.T) {
	ctx := context.Background()
	c := newCluster(t)
	share, _ := oneShare(t, c)
	if ok, err := VerifyAttestation(ctx, c.tokens[0], "attest", share); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if ok, err := VerifyAttestation(ctx, c.tokens[0], "none", share); ok || err == nil {
		t.Errorf("unknown key: %v, %v", ok, err)
	}
	if ok, err := VerifyAttestation(ctx, c.tokens[0], "attest", nil); ok || !errors.Is(err, ErrUnattested) {
		t.Errorf("nil: %v, %v", ok, err)
	}
	if ok, err := VerifyAttestation(ctx, c.tokens[2], "attest", share); ok || err != nil {
		t.Errorf("another node's key: %v, %v", ok, err)
	}
	wrongKind := *share
	b, err := Attest(ctx, c.tokens[0], c.tokens[0].key("attest"), c.header("node1", KindCosign, 0), [][]byte{share.Statement.Leaf()})
	must(t, err)
	wrongKind.Attestation = b.Proof(0)
	if ok, err := VerifyAttestation(ctx, c.tokens[0], "attest", &wrongKind); ok || err != nil {
		t.Errorf("another kind: %v, %v", ok, err)
	}
	// A token that signs as for a share what says it is a cosignature.
	wrongKind.Attestation.Cose, err = sign1(ctx, c.tokens[0], c.tokens[0].key("attest"), KindShare, canon.MustMarshal(b.Header))
	must(t, err)
	if ok, err := VerifyAttestation(ctx, c.tokens[0], "attest", &wrongKind); ok || err != nil {
		t.Errorf("two kinds: %v, %v", ok, err)
	}
}

// Goal: an attested share survives both encodings unchanged. Method: round trips; a second JSON form is refused.
func TestShareEncodings(t *testing.T) {
	c := newCluster(t)
	share, want := oneShare(t, c)
	j, err := json.Marshal(share)
	must(t, err)
	var a, b AttestedShare
	must(t, json.Unmarshal(j, &a))
	must(t, canon.Unmarshal(canon.MustMarshal(share), &b))
	for _, s := range []*AttestedShare{&a, &b} {
		must(t, VerifyShare(c.tokens[0].key("attest").Public, want, s))
	}
	if json.Unmarshal(bytes.Replace(j, []byte(`"version"`), []byte(`"Version"`), 1), &a) == nil {
		t.Error("misspelled field accepted")
	}
}

// Goal: a batch travels as payloads and one signature, and opens to shares the engine combines. Method: two signers, several
// messages, one operation of each token; then every expectation bent.
func TestShareBatch(t *testing.T) {
	ctx := context.Background()
	c := newCluster(t)
	intents := []Intent{c.intent("a"), c.intent("b"), c.intent("c"), c.intent("d"), c.intent("e")}
	pres := c.presign(t, len(intents))
	opened := make([][]*AttestedShare, 2)
	for i, p := range []threshold.PartyID{1, 3} {
		token, node := c.tokens[p-1], fmt.Sprintf("node%d", p)
		items, before := c.items(t, p, pres[i], intents), token.ops
		shares, b, err := SignShares(ctx, token, token.key("attest"), c.header(node, KindShare, 0), items)
		must(t, err)
		if token.ops != before+1 {
			t.Errorf("%d operations of the token", token.ops-before)
		}
		wire := NewShareBatch(shares, b).Bytes()
		t.Logf("%d shares in %d bytes", len(shares), len(wire))
		sb, err := ParseShareBatch(wire)
		must(t, err)
		expected := make([]Statement, len(items))
		for j, in := range intents { // the receiver is party 1 and knows its own presignatures
			key := c.shares[0].KeyInfo
			key.Party = p
			req := in.SignRequest()
			req.Pre = pres[0][j]
			expected[j] = NewStatement("test", node, key, "", req, in.Hash())
		}
		pub := token.key("attest").Public
		opened[i], err = sb.Open(pub, Window{testNow, testNow}, expected)
		must(t, err)
		for j, s := range opened[i] {
			must(t, VerifyShare(pub, ShareExpect{Statement: expected[j]}, s))
		}
		testOpenRefuses(t, c, sb, pub, expected)
	}
	for j, in := range intents {
		req := in.SignRequest()
		req.Pre = pres[0][j]
		_, err := frost.Ed25519.Combine(c.shares[0].KeyInfo, req, []*threshold.SignatureShare{&opened[0][j].Share, &opened[1][j].Share})
		must(t, err)
	}
}

func testOpenRefuses(t *testing.T, c *testCluster, sb ShareBatch, pub any, expected []Statement) {
	t.Helper()
	open := func(sb ShareBatch, pub any, w Window, e []Statement) error {
		_, err := sb.Open(pub, w, e)
		return err
	}
	wantErr(t, "unattested", open(ShareBatch{Payloads: sb.Payloads}, pub, Window{}, expected), ErrUnattested)
	wantErr(t, "stale", open(sb, pub, Window{NotBefore: testNow.Add(1e9)}, expected), ErrStale)
	wantErr(t, "other key", open(sb, c.tokens[1].key("attest").Public, Window{}, expected), ErrWrongNode)
	wantErr(t, "too few", open(sb, pub, Window{}, expected[1:]), ErrMalformed)
	wantErr(t, "none", open(ShareBatch{Cose: sb.Cose}, pub, Window{}, nil), ErrMalformed)
	bend := func(f func([]Statement)) error {
		e := append([]Statement{}, expected...)
		f(e)
		return open(sb, pub, Window{}, e)
	}
	wantErr(t, "digest", bend(func(e []Statement) { e[2].Digest[0] ^= 1 }), ErrForged)
	wantErr(t, "intent", bend(func(e []Statement) { e[0].Intent[0] ^= 1 }), ErrForged)
	wantErr(t, "swapped", bend(func(e []Statement) { e[0], e[1] = e[1], e[0] }), ErrForged)
	wantErr(t, "node", bend(func(e []Statement) { e[0].Node = "node2" }), ErrWrongNode)
	if err := bend(func(e []Statement) { e[1].Node = "node2" }); err == nil || errors.Is(err, ErrForged) {
		t.Errorf("mixed nodes are our own mistake, not the sender's: %v", err)
	}
	bad := ShareBatch{sb.Cose, append([][]byte{}, sb.Payloads...)}
	bad.Payloads[1] = bytes.Clone(bad.Payloads[1])
	bad.Payloads[1][0] ^= 1
	wantErr(t, "payload", open(bad, pub, Window{}, expected), ErrForged)
	bad.Payloads[1] = []byte{}
	wantErr(t, "dropped share", open(bad, pub, Window{}, expected), ErrForged)
}

// Goal: one bad request costs the others nothing, and a token that fails lets nothing out. Method: a burnt presignature in the
// middle; a broken token.
func TestSignSharesPartly(t *testing.T) {
	ctx := context.Background()
	c := newCluster(t)
	intents := []Intent{c.intent("a"), c.intent("b"), c.intent("c")}
	pres := c.presign(t, 3)[0]
	pres[1].Burn()
	items := c.items(t, 1, pres, intents)
	token, key, hdr := c.tokens[0], c.tokens[0].key("attest"), c.header("node1", KindShare, 0)
	shares, b, err := SignShares(ctx, token, key, hdr, items)
	var ie *ItemError
	if !errors.Is(err, threshold.ErrBurnt) || !errors.As(err, &ie) || ie.Index != 1 || shares[1] != nil {
		t.Fatalf("shares %v, error %v", shares, err)
	}
	expected := make([]Statement, 3)
	for i, it := range items {
		expected[i] = NewStatement("test", "node1", it.Key, "", it.Request, it.Intent)
	}
	opened, err := NewShareBatch(shares, b).Open(key.Public, Window{}, expected)
	must(t, err)
	if opened[0] == nil || opened[1] != nil || opened[2] == nil {
		t.Errorf("opened %v", opened)
	}
	if shares, b, err := SignShares(ctx, token, key, hdr, items); shares != nil || b != nil || !errors.Is(err, threshold.ErrBurnt) {
		t.Errorf("all burnt: %v, %v, %v", shares, b, err)
	}
	token.fail = errors.New("token on fire")
	shares, b, err = SignShares(ctx, token, key, hdr, c.items(t, 1, c.presign(t, 3)[0], intents))
	if shares != nil || b != nil || !errors.Is(err, token.fail) {
		t.Errorf("broken token: %v, %v, %v", shares, b, err)
	}
}

// Goal: what is signed, a share and a key are named by all that they are. Method: each part changed by itself.
func TestRequestDigest(t *testing.T) {
	tweak := []threshold.Tweak{{T: [32]byte{1}}}
	request := RequestDigest([]byte("m"), tweak)
	share := threshold.SignatureShare{From: 1, Pre: [32]byte{2}, Payload: []byte("z")}
	with := func(f func(*threshold.SignatureShare)) Hash { s := share; f(&s); return ShareHash(s) }
	for name, same := range map[string]bool{
		"message":        request == RequestDigest([]byte("n"), tweak),
		"no tweak":       request == RequestDigest([]byte("m"), nil),
		"tweak":          request == RequestDigest([]byte("m"), []threshold.Tweak{{T: [32]byte{2}}}),
		"kind of tweak":  request == RequestDigest([]byte("m"), []threshold.Tweak{{T: [32]byte{1}, XOnly: true}}),
		"twice":          request == RequestDigest([]byte("m"), append(tweak, tweak...)),
		"sender":         ShareHash(share) == with(func(s *threshold.SignatureShare) { s.From = 3 }),
		"sender, high":   ShareHash(share) == with(func(s *threshold.SignatureShare) { s.From = 257 }),
		"presignature":   ShareHash(share) == with(func(s *threshold.SignatureShare) { s.Pre[0] ^= 1 }),
		"payload":        ShareHash(share) == with(func(s *threshold.SignatureShare) { s.Payload = []byte("y") }),
		"scheme of key":  KeyID("a", []byte("k")) == KeyID("b", []byte("k")),
		"key":            KeyID("a", []byte("k")) == KeyID("a", []byte("l")),
		"scheme and key": KeyID("a", []byte("bk")) == KeyID("ab", []byte("k")),
	} {
		if same {
			t.Errorf("%s does not count", name)
		}
	}
}
