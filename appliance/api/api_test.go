package api

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
)

// Goal: keygen takes every documented spelling and answers every documented field. Method: table against the fake node.
func TestKeygen(t *testing.T) {
	for name, c := range map[string]struct {
		body  string
		total int
		named int
		asked string // the protocol that the node is asked for, as it was given; "" is its choice
	}{
		"total":             {`{"threshold":2,"total":3,"curve":"ed25519"}`, 3, 0, ""},
		"parties, a number": {`{"threshold":2,"parties":3,"curve":"ed25519","protocol":"frost"}`, 3, 0, "frost"},
		"parties, names":    {`{"threshold":2,"parties":["node1","node2","node3"],"curve":"ed25519"}`, 3, 3, ""},
		"total, names":      {`{"threshold":2,"total":["node1","node2","node3"],"curve":"ed25519"}`, 3, 3, ""},
		"both, agreeing":    {`{"threshold":2,"total":3,"parties":["node1","node2","node3"],"curve":"ed25519"}`, 3, 3, ""},
		"defaults":          {`{"curve":"ed25519"}`, 0, 0, ""},
		"nulls":             {`{"curve":"ed25519","total":null,"session_id":null,"label":null}`, 0, 0, ""},
		"taproot":           {`{"threshold":2,"total":3,"curve":"secp256k1","protocol":"frost"}`, 3, 0, "frost"},
		"ecdsa":             {`{"threshold":2,"total":3,"curve":"secp256k1"}`, 3, 0, ""},
		"dkls23":            {`{"curve":"secp256k1","protocol":"dkls23"}`, 0, 0, "dkls23"},
	} {
		f := newFake()
		w := send(t, devServer(f), "POST", "/api/v1/keygen", c.body)
		if w.Code != 200 || len(f.keygens) != 1 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		if r := f.keygens[0]; r.Total != c.total || len(r.Parties) != c.named || r.Protocol != c.asked || r.Requester != "dev" ||
			r.BodyHash == [32]byte{} {
			t.Errorf("%s: the node was asked %+v", name, r)
		}
	}
	f := newFake()
	w := send(t, devServer(f), "POST", "/api/v1/keygen", `{"session_id":"s-1","threshold":2,"total":3,"curve":"ed25519","label":"a <b>"}`)
	got := decode[wire.Wallet](t, w)
	if got.SessionID != "s-1" || got.WalletID != "w_ed" || !bytes.Equal(got.PublicKey, edPublic) || got.Address == "" ||
		got.Addresses["solana"] != got.Address || got.Protocol != "frost" || got.Curve != "ed25519" || got.Threshold != 2 || got.Total != 3 ||
		len(got.Parties) != 3 || got.Status != "completed" || got.Label != "a <b>" {
		t.Errorf("got %s", w.Body)
	}
	if !strings.Contains(w.Body.String(), `"public_key":"0x`+hex.EncodeToString(edPublic)+`"`) ||
		!strings.Contains(w.Body.String(), `"epoch":0`) {
		t.Errorf("got %s", w.Body)
	}
}

// Goal: the seed documents' requests do what they say there, or say why this build does not. Method: their bodies, word for word,
// with the content type that curl -d sends.
func TestSeedRequests(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	f := newFake()
	h := devServer(f)
	post := func(path, body string) *responseAndBody {
		w := send(t, h, "POST", path, body, "Content-Type", form)
		return &responseAndBody{w.Code, w.Body.String()}
	}
	p := wantProblem(t, send(t, h, "POST", "/api/v1/vaults/v1/wallets",
		`{"protocol": "cggmp21", "curve": "secp256k1", "threshold": 2, "parties": 3, "label": "client-{accountId}"}`, "Content-Type", form), 422,
		"unsupported")
	if !strings.Contains(p.Detail, "cggmp21 is not in this build") || !strings.Contains(p.Detail, "Ask for protocol dkls23") ||
		len(f.keygens) != 0 {
		t.Errorf("detail: %s", p.Detail)
	}
	p = wantProblem(t, send(t, h, "POST", "/api/v1/generate_mpc_sig", `{"wallet_id": "w_ec", "payload": "0xabc123", "chain": "ethereum"}`,
		"Content-Type", form), 422, "invalid")
	if p.Errors[0].Field != "payload" || !strings.Contains(p.Detail, "3 bytes, ECDSA signs exactly 32") {
		t.Errorf("%+v", p)
	}
	p = wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{"public_key": "...", "message_hash": "...", "signers": ["node1", "node2"]}`,
		"Content-Type", form), 422, "invalid")
	if p.Errors[0].Field != "public_key" || !strings.Contains(p.Detail, "hex") {
		t.Errorf("%+v", p)
	}
	key := "0x" + hex.EncodeToString(edPublic)
	for path, body := range map[string]string{
		"/api/v1/keygen": `{"threshold": 2, "total": 3, "curve": "ed25519"}`,
		"/api/v1/sign":   `{"public_key": "` + key + `", "message_hash": "0xabc123", "signers": ["node1", "node2"]}`,
		"/api/v1/refresh": `{"session_id": "uuid", "public_key": "` + key +
			`", "new_threshold": 2, "new_total": 3, "new_parties": ["node1", "node2", "node3"]}`,
		"/api/v1/wallets/w_ed/reshare":  `{"new_threshold": 2, "new_participants": ["node3", "node2", "node1"]}`,
		"/api/v1/generate_mpc_sig":      `{"wallet_id": "w_ec", "payload": "0x` + strings.Repeat("ab", 32) + `", "chain": "ethereum"}`,
		"/api/v1/vaults/bank-1/wallets": `{"protocol": "frost", "curve": "ed25519", "threshold": 2, "parties": 3, "label": "client-{accountId}"}`,
	} {
		want := 200
		if strings.Contains(path, "vaults") {
			want = 201
		}
		if got := post(path, body); got.code != want {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if f.keygens[len(f.keygens)-1].Curve != "ed25519" || len(f.signs) != 2 || len(f.renewals) != 2 {
		t.Errorf("asked %d signs, %d refreshes", len(f.signs), len(f.renewals))
	}
	for _, r := range f.keygens {
		if r.Group != "" && (r.Group != "bank-1" || r.Label != "client-{accountId}") {
			t.Errorf("vault %+v", r)
		}
	}
}

type responseAndBody struct {
	code int
	body string
}

// Goal: what is signed is the bytes that were sent, under every name of the field and of the key. Method: table; the answer's
// signature must verify.
func TestSign(t *testing.T) {
	key := hex.EncodeToString(edPublic)
	long := strings.Repeat("ab", appliance.MaxMessage)
	for name, c := range map[string]struct{ body, message string }{
		"message":           {`{"wallet_id":"w_ed","message":"0x00ff"}`, "00ff"},
		"without 0x":        {`{"wallet_id":"w_ed","message":"00FF"}`, "00ff"},
		"message_hash":      {`{"public_key":"0x` + key + `","message_hash":"0x01"}`, "01"},
		"payload":           {`{"public_key":"` + key + `","payload":"0x02","chain":"solana"}`, "02"},
		"both names of key": {`{"public_key":"` + key + `","wallet_id":"w_ed","payload":"0x02"}`, "02"},
		"the longest":       {`{"wallet_id":"w_ed","message":"0x` + long + `"}`, long},
		"chosen signers":    {`{"wallet_id":"w_ed","message":"0x03","signers":["node3","node1"]}`, "03"},
	} {
		f := newFake()
		w := send(t, devServer(f), "POST", "/api/v1/sign", c.body)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		s := decode[wire.Signature](t, w)
		if !ed25519.Verify(edPublic, unhex(c.message), s.Signature) || f.signs[0].WalletID != "w_ed" {
			t.Errorf("%s: signed %+v", name, f.signs[0])
		}
		if !bytes.Equal(append(append(wire.Hex{}, s.R...), s.S...), s.Signature) || s.RecoveryID != nil || s.V != nil ||
			s.Status != "completed" || s.ReceiptID != "r_1" || len(s.Signers) != 2 {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
}

// Goal: a transaction reaches the node as it was given, and no message beside it. Method: one of each field.
func TestSignTransaction(t *testing.T) {
	f := newFake()
	w := send(t, devServer(f), "POST", "/api/v1/sign",
		`{"wallet_id":"w_ed","chain":"bitcoin","transaction":{"format":"psbt","bytes":"0x0aff","input":3}}`)
	if w.Code == 200 || len(f.signs) > 0 { // no network of the key
		t.Errorf("bitcoin, for an Ed25519 key: %d %s", w.Code, w.Body)
	}
	send(t, devServer(f), "POST", "/api/v1/sign", `{"wallet_id":"w_ed","chain":"solana","transaction":{"format":"x-1","bytes":"0x0aff","input":3}}`)
	want := attest.Payload{Format: "x-1", Bytes: attest.Hex{0x0a, 0xff}, Input: 3}
	if len(f.signs) != 1 || f.signs[0].Payload == nil || !reflect.DeepEqual(*f.signs[0].Payload, want) || f.signs[0].Message != nil {
		t.Errorf("%+v", f.signs)
	}
}

// Goal: a BIP-340 key may be named by any valid encoding, and only by a valid one. Method: the generator's encodings.
func TestPublicKeyForms(t *testing.T) {
	const x = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
	const y = "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
	digest := strings.Repeat("11", 32)
	for key, want := range map[string]int{
		x: 200, "0x" + x: 200, strings.ToUpper(x): 200, "0x02" + x: 200, "03" + x: 200, "0x04" + x + y: 200,
		"05" + x: 422, "04" + x + x: 422, x[2:]: 422, "02" + strings.Repeat("ff", 32): 422, strings.Repeat("22", 32): 404,
	} {
		f := newFake()
		if w := send(t, devServer(f), "POST", "/api/v1/sign", `{"public_key":"`+key+`","message_hash":"`+digest+`"}`); w.Code != want {
			t.Errorf("%s: %d %s", key, w.Code, w.Body)
		}
		if w := send(t, devServer(f), "GET", "/api/v1/wallets/"+key, ""); (w.Code == 200) != (want == 200) || w.Code >= 500 {
			t.Errorf("GET %s: %d", key, w.Code)
		}
	}
}

// Goal: an answer is a function of what the node returned, so the same key gives the same bytes. Method: repeat, with the key in
// the header, in the body, and in another order of fields; then another body, and another requester.
func TestIdempotency(t *testing.T) {
	f := newFake()
	h := devServer(f)
	bodies := []string{`{"session_id":"s1","wallet_id":"w_ed","message":"0x01"}`,
		` { "message" : "0x01", "wallet_id":"w_ed", "session_id" : "s1" } `}
	first := send(t, h, "POST", "/api/v1/sign", bodies[0])
	for _, again := range []string{
		send(t, h, "POST", "/api/v1/sign", bodies[0]).Body.String(),
		send(t, h, "POST", "/api/v1/sign", bodies[1]).Body.String(),
		send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01"}`, "Idempotency-Key", "s1").Body.String(),
		send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01"}`, "Idempotency-Key", `"s1"`).Body.String(),
		send(t, h, "POST", "/api/v1/sign", bodies[0], "Idempotency-Key", "s1").Body.String(),
	} {
		if first.Code != 200 || again != first.Body.String() {
			t.Errorf("got %s, want %s", again, first.Body)
		}
	}
	wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{"session_id":"s1","wallet_id":"w_ed","message":"0x02"}`), 409, "conflict")
	wantProblem(t, send(t, h, "POST", "/api/v1/sign", bodies[0], "Idempotency-Key", "s2"), 422, "invalid")
	for _, keys := range [][]string{{"s1", "s1"}, {"s1", "s2"}, {"", "s1"}, {""}} { // none is taken in silence
		var header []string
		for _, key := range keys {
			header = append(header, "Idempotency-Key", key)
		}
		wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01"}`, header...), 422, "invalid")
	}
}

// Goal: an idempotency key is bound to what is asked for, and by whom, however the request spells it: the same act has one hash, and
// another act never has it. Method: requests in other words, and each with one thing that is another.
func TestKeyIsBoundToTheAct(t *testing.T) {
	hash := func(path, body string) [32]byte {
		t.Helper()
		f := newFake()
		if w := send(t, devServer(f), "POST", "/api/v1/"+path, body); w.Code != 200 {
			t.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
		switch {
		case len(f.signs) > 0:
			return f.signs[0].BodyHash
		case len(f.keygens) > 0:
			return f.keygens[0].BodyHash
		}
		return f.renewals[0].BodyHash
	}
	sign := [][2]string{{"sign", `{"wallet_id":"w_ed","message":"0x01","signers":["node1","node2"]}`},
		{"sign", `{"wallet_id":"w_ed","message_hash":"01","signers":["node2","node1"]}`},
		{"sign", `{"wallet_id":"w_ed","payload":"0x01","signers":["node1","node2"],"session_id":"s"}`},
		{"generate_mpc_sig", `{"wallet_id":"w_ed","message":"0x01","signers":["node1","node2"]}`}}
	refresh := [][2]string{{"refresh", `{"wallet_id":"w_ed"}`}, {"wallets/w_ed/reshare", `{"new_threshold":2}`}}
	keygen := [][2]string{{"keygen", `{"curve":"ed25519","parties":["node1","node2"]}`},
		{"keygen", `{"curve":"ed25519","total":["node2","node1"]}`}}
	for _, same := range [][][2]string{sign, refresh, keygen} {
		for _, x := range same[1:] {
			if hash(x[0], x[1]) != hash(same[0][0], same[0][1]) {
				t.Errorf("%s %s is another request than %s", x[0], x[1], same[0])
			}
		}
	}
	payload := &attest.Payload{Format: "transaction", Bytes: []byte{1}}
	seen := map[[32]byte]any{}
	for _, r := range []appliance.SignRequest{{}, {Requester: "bob"}, {WalletID: "w"}, {Path: []uint32{0}}, {Message: []byte{1}},
		{Payload: payload}, {Signers: []transport.NodeID{"node1"}}, {Chain: "solana"}} {
		seen[r.Hash()] = r
	}
	for _, r := range []appliance.KeygenRequest{{}, {Requester: "bob"}, {Threshold: 2}, {Total: 2}, {Parties: []transport.NodeID{"node1"}},
		{Curve: "ed25519"}, {Protocol: "frost"}, {Label: "a"}, {Group: "a"}} {
		seen[r.Hash()] = r
	}
	for _, r := range []appliance.RefreshRequest{{}, {Requester: "bob"}, {WalletID: "w"}, {Release: []transport.NodeID{"node1"}}} {
		seen[r.Hash()] = r
	}
	if len(seen) != 21 {
		t.Errorf("of 21 requests %d are told apart", len(seen))
	}
}

// Goal: a request that is signed again, as when the first signature has expired, is the same request; what an initiator signed reaches the
// node as it is. Method: one session_id with three words, and without.
func TestSignedAgain(t *testing.T) {
	f := newFake()
	h := devServer(f)
	word := func(expires string) string {
		return `,"initiation":{"by":"payments","expires_ms":` + expires + `,"signature":"0x` + strings.Repeat("ab", 64) + `"}`
	}
	first := ""
	for _, w := range []string{word("1"), word("2"), ""} {
		got := send(t, h, "POST", "/api/v1/sign", `{"session_id":"s1","wallet_id":"w_ed","message":"0x01"`+w+`}`)
		if first == "" {
			first = got.Body.String()
		}
		if got.Code != 200 || got.Body.String() != first {
			t.Errorf("%s: %d %s", w, got.Code, got.Body)
		}
	}
	want := &attest.Initiation{By: "payments", Expires: 1, Signature: bytes.Repeat([]byte{0xab}, 64)}
	if len(f.signs) == 0 || !reflect.DeepEqual(f.signs[0].Initiation, want) {
		t.Errorf("the node was asked %+v", f.signs)
	}
	for _, bad := range []string{`"initiation":{}`, `"initiation":{"by":"p","expires_ms":1,"signature":"0x00"}`,
		`"initiation":{"by":"P","expires_ms":1,"signature":"0x` + strings.Repeat("ab", 64) + `"}`,
		`"initiation":{"by":"p","expires_ms":0,"signature":"0x` + strings.Repeat("ab", 64) + `"}`} {
		wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01",`+bad+`}`), 422, "invalid")
	}
	for path, body := range map[string]string{"/api/v1/keygen": `{"curve":"ed25519"`, "/api/v1/refresh": `{"wallet_id":"w_ed"`,
		"/api/v1/wallets/w_ed/reshare": `{"new_threshold":2`} {
		if got := send(t, h, "POST", path, body+word("1")+`}`); got.Code != 200 {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	if f.keygens[0].Initiation == nil || f.renewals[0].Initiation == nil || f.renewals[1].Initiation == nil {
		t.Errorf("%+v, %+v", f.keygens, f.renewals)
	}
}

// Goal: approvals reach the node as they are, in one order; what cannot be one is refused, with its place. Method: two in the wrong order,
// one twice, and without an initiation.
func TestApprovals(t *testing.T) {
	f := newFake()
	h := devServer(f)
	word := func(by string) string {
		return `{"by":"` + by + `","expires_ms":7,"signature":"0x` + strings.Repeat("ab", 64) + `"}`
	}
	body := func(of string) string {
		return `{"session_id":"s1","wallet_id":"w_ed","message":"0x01","initiation":` + word("payments") + `,"approvals":[` + of + `]}`
	}
	if got := send(t, h, "POST", "/api/v1/sign", body(word("ben")+","+word("ann"))); got.Code != 200 {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	sig := attest.Hex(bytes.Repeat([]byte{0xab}, 64))
	if want := []attest.Approval{{By: "ann", Expires: 7, Signature: sig}, {By: "ben", Expires: 7, Signature: sig}}; !reflect.DeepEqual(
		f.signs[0].Approvals, want) {
		t.Errorf("the node was asked %+v", f.signs[0].Approvals)
	}
	data, client := make(attest.Hex, 37), make(attest.Hex, 1024)
	passkey := func(data, client attest.Hex) string {
		return strings.TrimSuffix(word("ann"), "}") + `,"assertion":{"authenticator_data":"` + data.String() + `","client_data_json":"` +
			client.String() + `"}}`
	}
	if got := send(t, h, "POST", "/api/v1/sign", body(passkey(data, client))); got.Code != 200 {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	if want := (&attest.Assertion{AuthenticatorData: data, ClientData: client}); !reflect.DeepEqual(f.signs[1].Approvals[0].Assertion, want) {
		t.Errorf("the node was asked %+v", f.signs[1].Approvals)
	}
	alone := strings.Replace(body(word("ann")), `"initiation":`+word("payments")+`,`, "", 1)
	for bad, field := range map[string]string{body(word("ann") + "," + word("ann")): "approvals[1]", alone: "initiation",
		body(`{"by":"ann","expires_ms":7,"signature":"0x00"}`): "approvals[0].signature", body(`{}`): "approvals[0]",
		body(passkey(append(data, 0), client)): "approvals[0].assertion.authenticator_data",
		body(passkey(data, append(client, 0))): "approvals[0].assertion.client_data_json",
		body(passkey(data, attest.Hex(nil))):   "approvals[0].assertion.client_data_json"} {
		p := wantProblem(t, send(t, h, "POST", "/api/v1/sign", bad), 422, "invalid")
		if len(p.Errors) == 0 || p.Errors[0].Field != field {
			t.Errorf("%s: %+v", bad, p.Errors)
		}
	}
}

// Goal: operations are shown as documented, with all that an approver signs for; words reach the node as they are. Method: one request
// each, and bodies that cannot be one.
func TestOperations(t *testing.T) {
	f := newFake()
	h := devServer(f)
	one := decode[wire.Operation](t, send(t, h, "GET", "/api/v1/operations/s1", ""))
	if one.ID != "s1" || one.State != "PENDING_APPROVAL" || one.Needs["treasury"] != 2 || !slices.Equal(one.Approved, []string{"ann"}) ||
		!slices.Equal(one.Rejected, []string{"ben"}) || one.Initiator != "payments" || one.ExpiresMS != 7 || one.WalletID != "w_ed" {
		t.Errorf("%+v", one)
	}
	var in attest.Intent
	var key attest.KeyRecord
	if err := errors.Join(json.Unmarshal(one.Intent, &in), json.Unmarshal(one.Key, &key)); err != nil || in.Initiation.By != "payments" ||
		string(key.GroupKey) != string(edPublic) {
		t.Errorf("%v: %s, %s", err, one.Intent, one.Key)
	}
	if l := decode[wire.OperationList](t, send(t, h, "GET", "/api/v1/operations?state=PENDING_APPROVAL", "")); len(l.Operations) != 1 {
		t.Errorf("%+v", l)
	}
	l := decode[wire.OperationList](t, send(t, h, "GET", "/api/v1/operations?state=FAILED", ""))
	if l.Operations == nil || len(l.Operations) != 0 {
		t.Errorf("%+v", l)
	}
	wantProblem(t, send(t, h, "GET", "/api/v1/operations?state=failed", ""), 422, "invalid")
	wantProblem(t, send(t, h, "GET", "/api/v1/operations/none", ""), 404, "not_found")
	sig := `"signature":"0x` + strings.Repeat("ab", 64) + `"`
	passkey := `"assertion":{"authenticator_data":"0x` + strings.Repeat("00", 37) + `","client_data_json":"0x01"}`
	for path, body := range map[string]string{"approvals": `{"by":"ann","expires_ms":9,"rejects":true,` + sig + "," + passkey + `}`,
		"cancel": `{` + sig + `}`} {
		if got := send(t, h, "POST", "/api/v1/operations/s1/"+path, body); got.Code != 200 {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
		wantProblem(t, send(t, h, "POST", "/api/v1/operations/none/"+path, body), 404, "not_found")
		wantProblem(t, send(t, h, "POST", "/api/v1/operations/s1/"+path, `{"signature":"0x00"}`), 422, "invalid")
	}
	raw := attest.Hex(bytes.Repeat([]byte{0xab}, 64))
	if want := (attest.Approval{By: "ann", Expires: 9, Signature: raw, Rejects: true,
		Assertion: &attest.Assertion{AuthenticatorData: make(attest.Hex, 37), ClientData: attest.Hex{1}}}); !slices.ContainsFunc(f.words,
		func(x attest.Approval) bool { return reflect.DeepEqual(x, want) }) {
		t.Errorf("the node was told %+v", f.words)
	}
}

// Goal: the lists and the lesser reads answer as documented. Method: one request each.
func TestReads(t *testing.T) {
	f := newFake()
	h := devServer(f)
	list := decode[wire.WalletList](t, send(t, h, "GET", "/api/v1/wallets?page_size=2&page_token=abc", ""))
	if len(list.Wallets) != 2 || list.NextPageToken != "more" || fmt.Sprint(f.pages[0]) != "{2 abc []}" ||
		!strings.HasPrefix(list.Wallets[1].Address, "bc1p") {
		t.Errorf("%+v %+v", list, f.pages)
	}
	if w := decode[wire.Wallet](t, send(t, h, "GET", "/api/v1/wallets/w_tap", "")); w.WalletID != "w_tap" || w.Created == nil ||
		!w.Created.Equal(born) {
		t.Errorf("%+v", w)
	}
	n := decode[wire.NodeList](t, send(t, h, "GET", "/api/v1/nodes", ""))
	if len(n.Nodes) != 2 || !n.Nodes[0].Self || n.Nodes[0].LastSeen != nil || n.Nodes[1].LastSeen == nil || !n.Nodes[1].Accused {
		t.Errorf("%+v", n)
	}
	if w := send(t, h, "GET", "/api/v1/receipts/r_1", ""); w.Code != 200 || decode[map[string]any](t, w)["id"] != "r_1" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	a := decode[wire.AuditList](t, send(t, h, "GET", "/api/v1/audit", ""))
	if len(a.Entries) != 1 || a.Entries[0].Seq != 7 || f.pages[1].Size != 100 {
		t.Errorf("%+v %+v", a, f.pages)
	}
	if w := send(t, h, "POST", "/api/v1/wallets/w_ed/prove-threshold", ""); w.Code != 200 || f.proofs[0] != "w_ed" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	v := decode[map[string]any](t, send(t, h, "POST", "/api/v1/vaults/v1/wallets", `{"curve":"secp256k1","protocol":"frost"}`))
	if v["btc_address"] != v["address"] || v["schnorr_pub_key"] != v["public_key"] || v["eddsa_pub_key"] != nil {
		t.Errorf("%v", v)
	}
	v = decode[map[string]any](t, send(t, h, "POST", "/api/v1/vaults/v1/wallets", `{"curve":"ed25519"}`))
	if v["sol_address"] != v["address"] || v["eddsa_pub_key"] != v["public_key"] || v["vault"] != "v1" {
		t.Errorf("%v", v)
	}
	for _, name := range []string{"xrp_address", "dot_address", "ada_address"} {
		if s, _ := v[name].(string); s == "" {
			t.Errorf("no %s in %v", name, v)
		}
	}
}

// Goal: a key that is not active yet is not called completed. Method: render one.
func TestPending(t *testing.T) {
	w := edWallet()
	w.State = keys.Proving
	if out, err := renderWallet(w); err != nil || out.Status != "pending" || out.State != "proving" {
		t.Errorf("%+v %v", out, err)
	}
	w.PublicKey = w.PublicKey[:31]
	if _, err := renderWallet(w); problem.As(err).Code != problem.Integrity {
		t.Errorf("%v", err)
	}
}
