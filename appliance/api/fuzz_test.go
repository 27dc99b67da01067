package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

// fuzzBody checks that no body makes a route panic or answer 5xx, that every refusal is a problem, and that what is accepted
// means the same to us and to a second parser.
func fuzzBody(f *testing.F, path string, seeds ...string) {
	for _, s := range append(seeds, `{}`, `null`, `[]`, `{"session_id":"x"}`, `{"a":{"b":[1,null,true,"\ud800"]}}`, "{\"x\":\"\xff\"}",
		`{"total":[[]]}`) {
		f.Add([]byte(s))
	}
	node := newFake()
	h := devServer(node)
	f.Fuzz(func(t *testing.T, body []byte) {
		clear(node.sessions)
		node.keygens, node.signs, node.renewals = nil, nil, nil
		w := send(t, h, "POST", path, string(body))
		switch {
		case w.Code >= 500:
			t.Fatalf("%d %s", w.Code, w.Body)
		case w.Code != http.StatusOK:
			wantProblem(t, w, w.Code, decode[map[string]any](t, w)["code"].(string))
		default:
			var v any
			if json.Unmarshal(body, &v) != nil && len(bytes.TrimSpace(body)) > 0 {
				t.Fatalf("accepted what is not JSON: %q", body)
			}
		}
		if object, err := parseObject(body); err == nil {
			again, err := parseObject(encodeCanonical(object))
			if err != nil || !bytes.Equal(encodeCanonical(again), encodeCanonical(object)) {
				t.Fatalf("the canonical form of %q is none: %v", body, err)
			}
		}
	})
}

// Goal: no keygen body is a 500. Method: fuzz.
func FuzzKeygen(f *testing.F) {
	fuzzBody(f, "/api/v1/keygen",
		`{"session_id":"s","threshold":2,"total":3,"curve":"ed25519","protocol":"frost","parties":["a","b","c"],"label":"l"}`,
		`{"threshold":1e99,"curve":"secp256k1","parties":3}`, `{"threshold":2,"total":3,"curve":"secp256k1","protocol":"lss"}`)
}

// Goal: no sign body is a 500. Method: fuzz.
func FuzzSign(f *testing.F) {
	fuzzBody(f, "/api/v1/sign", `{"wallet_id":"w_ed","message":"0x01","signers":["node1","node2"],"chain":"solana"}`,
		`{"public_key":"0x04ab","payload":"00"}`,
		`{"wallet_id":"w_tap","message_hash":"0x1111111111111111111111111111111111111111111111111111111111111111"}`,
		`{"wallet_id":"w_ec","message_hash":"0x1111111111111111111111111111111111111111111111111111111111111111","chain":"lux-x"}`,
		`{"wallet_id":"w_ec","message_hash":"0x1111111111111111111111111111111111111111111111111111111111111111","derivation_path":"m/0/5"}`)
}

// Goal: no refresh body is a 500. Method: fuzz.
func FuzzRefresh(f *testing.F) {
	fuzzBody(f, "/api/v1/refresh", `{"wallet_id":"w_ed","new_threshold":2,"new_total":3,"new_parties":["node1","node2","node3"]}`,
		`{"wallet_id":"w_ed","new_participants":3}`)
}

// Goal: no Authorization header panics, and only one that we signed is let in. Method: fuzz against a node that trusts one key.
func FuzzToken(f *testing.F) {
	auth, err := NewJWT(publicPEM(f, "EdDSA"), "mpcd", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.")
	f.Add("Bearer a.b.c")
	f.Add("bearer  ")
	f.Fuzz(func(t *testing.T, header string) {
		r := newRequest("GET", "/", "")
		r.Header["Authorization"] = []string{header}
		if _, err := auth.Authenticate(r); err == nil {
			t.Fatalf("let in: %q", header)
		}
	})
}

// Goal: what a caller sends is what the node reads: half of a surrogate pair, of which the decoder makes U+FFFD, is refused, and so is that
// itself. Method: names, values and elements with each; whole pairs pass.
func TestHalfPairs(t *testing.T) {
	for _, half := range []string{`\ud800`, `\udc00x`, `\udc00\ud800`, `\ufffd`, "\ufffd"} {
		for _, body := range []string{`{"a":"%s"}`, `{"a":["x%s"]}`, `{"%s":1}`, `{"a":{"b":"%sy"}}`} {
			if _, err := parseStrict(fmt.Appendf(nil, body, half)); err == nil {
				t.Errorf("%s of %s is taken", half, body)
			}
		}
	}
	if o, err := parseStrict([]byte(`{"a":"\ud83d\udcb0"}`)); err != nil || o["a"] != "💰" {
		t.Error(o, err)
	}
}
