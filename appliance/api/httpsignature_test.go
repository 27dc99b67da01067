package api

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/parts/moto"
)

const (
	// input is of a signature that initiates, and signature one that nobody has made.
	input     = `sig1=("mpcd-initiation");created=1;expires=7;keyid="payments";tag="mpcd/v1/initiation"`
	signature = "sig1=:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urqw==:"
)

// Goal: an initiation in headers reaches the node as the signer's parameters have it, on every route that takes one, and what it covers;
// signatures of others are left alone. Method: headers in the forms that RFC 9651 allows.
func TestHeaderInitiation(t *testing.T) {
	f := newFake()
	h := devServer(f)
	parameters, ok := strings.CutPrefix(input, "sig1=")
	if !ok {
		t.Fatal(input)
	}
	want := &attest.Initiation{By: "payments", Expires: 7000, Signature: bytes.Repeat([]byte{0xab}, 64), Parameters: parameters}
	const body = `{"wallet_id":"w_ed","message":"0x01"}`
	for name, header := range map[string][]string{
		"plain":   {"Signature-Input", input, "Signature", signature},
		"blanks":  {"Signature-Input", strings.NewReplacer(";", "; ", `("`, `( "`).Replace(input), "Signature", signature},
		"another": {"Signature-Input", `proxy=("@method");tag="proxy", ` + input + `, a, b=1`, "Signature", "proxy=:AA==:, " + signature},
		"lines":   {"Signature-Input", `proxy=("@method")`, "Signature-Input", input, "Signature", signature, "Signature", "proxy=:AA==:"},
	} {
		f.signs = nil
		got := send(t, h, "POST", "/api/v1/sign", body, append(header, "Mpcd-Initiation", ":AA==:")...)
		if got.Code != 200 || len(f.signs) != 1 || !reflect.DeepEqual(f.signs[0].Initiation, want) || f.signs[0].Field != ":AA==:" {
			t.Errorf("%s: %d %s, %+v", name, got.Code, got.Body, f.signs)
		}
	}
	f.signs = nil
	send(t, h, "POST", "/api/v1/sign", body, "Mpcd-Initiation", "a", "Mpcd-Initiation", "b", "Signature-Input", input, "Signature", signature)
	if len(f.signs) != 1 || f.signs[0].Field != "a, b" { // as RFC 9421 §2.1 has a field of two lines
		t.Errorf("of two lines the node has %+v", f.signs)
	}
	for path, body := range map[string]string{"/api/v1/keygen": `{"curve":"ed25519"}`, "/api/v1/vaults/a/wallets": `{"curve":"ed25519"}`,
		"/api/v1/refresh": `{"wallet_id":"w_ed"}`, "/api/v1/wallets/w_ed/reshare": `{"new_threshold":2}`} {
		got := send(t, h, "POST", path, body, "Mpcd-Initiation", ":AA==:", "Signature-Input", input, "Signature", signature)
		if got.Code/100 != 2 {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	for i := range 2 {
		if !reflect.DeepEqual(f.keygens[i].Initiation, want) || !reflect.DeepEqual(f.renewals[i].Initiation, want) {
			t.Errorf("%+v, %+v", f.keygens[i], f.renewals[i])
		}
	}
	f.signs = nil
	for name, header := range map[string][]string{
		"others' alone":   {"Signature-Input", `proxy=("@method")`, "Signature", "proxy=:AA==:"},
		"others' rubbish": {"Signature-Input", `"`, "Signature", `"`},
	} {
		if got := send(t, h, "POST", "/api/v1/sign", body, header...); got.Code != 200 {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
	if len(f.signs) != 2 || f.signs[0].Initiation != nil || f.signs[1].Initiation != nil {
		t.Errorf("%+v", f.signs)
	}
}

// Goal: what cannot be such an initiation is refused before the node is asked, with the header at fault. Method: one thing wrong each.
func TestHeaderInitiationRefused(t *testing.T) {
	f := newFake()
	h := devServer(f)
	change := func(old, new string) []string {
		return []string{"Mpcd-Initiation", ":AA==:", "Signature-Input", strings.Replace(input, old, new, 1), "Signature", signature}
	}
	for name, x := range map[string]struct {
		header []string
		field  string
		want   string
	}{
		"no signature":   {[]string{"Mpcd-Initiation", ":AA==:"}, "Mpcd-Initiation", "one is missing"},
		"no field":       {change("", "")[2:], "Mpcd-Initiation", "one is missing"},
		"another tag":    {change("v1", "v2"), "Mpcd-Initiation", "one is missing"},
		"no inner list":  {change(`("mpcd-initiation")`, "1"), "Mpcd-Initiation", "one is missing"},
		"no dictionary":  {change("sig1", "("), "Signature-Input", "invalid"},
		"two":            {change("sig1", strings.Replace(input, "sig1", "sig2", 1)+", sig1"), "Signature-Input", "two signatures"},
		"more covered":   {change(`n")`, `n" "@method")`), "Signature-Input", "nothing else"},
		"no keyid":       {change(`keyid="payments";`, ""), "Signature-Input", "no initiator's name"},
		"of another":     {append(change("", "")[:5], "sig2"+signature[4:]), "Signature", "no 64 bytes for sig1"},
		"short":          {append(change("", "")[:5], "sig1=:AA==:"), "Signature", "no 64 bytes for sig1"},
		"no bytes":       {append(change("", "")[:5], "sig1=a"), "Signature", "no 64 bytes for sig1"},
		"none":           {change("", "")[:4], "Signature", "no 64 bytes for sig1"},
		"no signatures":  {append(change("", "")[:5], "("), "Signature", "no 64 bytes for sig1"},
		"a label beyond": {change("sig1", strings.Repeat("a", 200)), "Signature", "aaa…"},
	} {
		p := wantProblem(t, send(t, h, "POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01"}`, x.header...), 422, "invalid")
		if len(p.Errors) != 1 || p.Errors[0].Field != x.field || !strings.Contains(p.Detail, x.want) ||
			!strings.Contains(p.Detail, "docs/RECEIPTS.md") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	both := `{"wallet_id":"w_ed","message":"0x01","initiation":{"by":"payments","expires_ms":7000,"signature":"0x` +
		strings.Repeat("ab", 64) + `"}}`
	p := wantProblem(t, send(t, h, "POST", "/api/v1/sign", both, change("", "")...), 422, "invalid")
	if !strings.Contains(p.Detail, "both given") {
		t.Errorf("%+v", p)
	}
	if len(f.signs) > 0 {
		t.Errorf("the node was asked %+v", f.signs)
	}
}

// Goal: no header panics, is a 5xx, or gives the node an initiation that no signer reads.
func FuzzHeaderInitiation(f *testing.F) {
	f.Add(":AA==:", input, signature)
	f.Add("", `a=("b";c);d=?1, e`, "a=1.5")
	node := newFake()
	h := devServer(node)
	f.Fuzz(func(t *testing.T, field, input, signature string) {
		clear(node.sessions)
		node.signs = nil
		r := newRequest("POST", "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01"}`)
		r.Header["Mpcd-Initiation"], r.Header["Signature-Input"], r.Header["Signature"] = []string{field}, []string{input}, []string{signature}
		x, of, err := headerInitiation(r.Header)
		if err == nil && x != nil {
			again, _, err := attest.ParseParameters(x.Parameters)
			if again.Signature = x.Signature; err != nil || !reflect.DeepEqual(&again, x) || len(x.Signature) != 64 || of != field {
				t.Errorf("%+v, %v", x, err)
			}
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// Goal: who signs requests by RFC 9421 with a tool of others initiates here, and such a tool verifies what our client signs. Method: the
// Python package http-message-signatures, both ways, with keys of both kinds.
func TestStrangersSignature(t *testing.T) {
	root, err := moto.Root()
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(nil)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for alg, key := range map[string]crypto.Signer{"ed25519": ed, "ecdsa-p256-sha256": p256} {
		file := filepath.Join(t.TempDir(), "key")
		private, err := x509.MarshalPKCS8PrivateKey(key)
		public, perr := attest.MarshalPublicKey(key.Public())
		if err != nil || perr != nil {
			t.Fatal(err, perr)
		}
		_ = os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
		_ = os.WriteFile(file+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600)
		now := time.Now().Truncate(time.Second)
		them := func(headers map[string]string) (answer map[string]string) {
			t.Helper()
			cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin/moto/bin/python"), "testdata/httpsign.py", file, alg, "payments",
				strconv.FormatInt(now.Add(time.Minute).Unix(), 10))
			b, _ := json.Marshal(headers)
			cmd.Stdin = bytes.NewReader(b)
			var said bytes.Buffer
			cmd.Stderr = &said
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v: %s", alg, err, said.Bytes())
			}
			if err := json.Unmarshal(out, &answer); err != nil {
				t.Fatal(err)
			}
			return answer
		}
		a := attest.Authority{Cluster: "test", Serial: 1, Initiators: []attest.Initiator{{Name: "payments", Key: public, May: []attest.Grant{{
			Operations: []attest.Operation{attest.OpSignRaw}, Vaults: []string{attest.AnyVault}}}}}}
		in := attest.Intent{Cluster: "test", Operation: attest.OpSign, RequestID: "s1", KeyID: "w_ed", Message: attest.Hex{1},
			Created: now.UnixMilli()}
		f := newFake()
		var header []string
		for name, value := range them(map[string]string{"Mpcd-Initiation": in.InitiationValue("payments", now.Add(time.Minute).UnixMilli())}) {
			header = append(header, name, value)
		}
		got := send(t, devServer(f), "POST", "/api/v1/sign", `{"session_id":"s1","wallet_id":"w_ed","message":"0x01"}`, header...)
		if got.Code != 200 {
			t.Fatalf("%s: %d %s", alg, got.Code, got.Body)
		}
		in.Initiation = f.signs[0].Initiation
		if err := a.CheckInitiation(in, now); err != nil || !slices.Contains(header, f.signs[0].Field) {
			t.Errorf("%s: %v: %+v", alg, err, in.Initiation)
		}
		x, err := in.InitiateHTTP("payments", now, now.Add(time.Minute), func(m []byte) ([]byte, error) { return signBytes(key, m), nil })
		if err != nil {
			t.Fatal(err)
		}
		them(map[string]string{"Mpcd-Initiation": in.InitiationValue(x.By, x.Expires), "Signature-Input": "sig1=" + x.Parameters,
			"Signature": "sig1=:" + base64.StdEncoding.EncodeToString(x.Signature) + ":"})
	}
}

// signBytes signs as hsm.Signer does.
func signBytes(key crypto.Signer, message []byte) []byte {
	if k, ok := key.(ed25519.PrivateKey); ok {
		return ed25519.Sign(k, message)
	}
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key.(*ecdsa.PrivateKey), digest[:])
	if err != nil {
		panic(err)
	}
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}
