package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/passkey/passkeytest"
)

// Goal: officers sign no passkey that no browser has, that could be used where anybody on the way writes the page, or that a program is
// asked for; of an authority without any the bytes are as they were. Method: passkeys that pass, and with one thing wrong.
func TestPasskeyForm(t *testing.T) {
	p := newPeople(t, agreeing...)
	a := p.treasury(t)
	without := a.Digest()
	for _, good := range []Passkey{
		{"localhost", []string{"http://localhost"}}, {"localhost", []string{"http://localhost:8123", "https://localhost"}},
		{"example.com", []string{"https://example.com"}}, {"example.com", []string{"https://a.example.com:8443", "https://example.com"}},
		{"xn--bcher-kva.example", []string{"https://xn--bcher-kva.example"}},
	} {
		a.Approvers[2].Passkey = &good
		if err := a.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
		if a.Digest() == without {
			t.Error("officers do not sign the passkey")
		}
	}
	for name, x := range map[string]struct {
		want, id string
		origins  []string
	}{
		"no id":      {"RP ID", "", []string{"https://example.com"}},
		"an address": {"RP ID", "127.0.0.1", []string{"https://127.0.0.1"}},
		"one label":  {"RP ID", "intranet", []string{"https://intranet"}},
		"capitals":   {"RP ID", "Example.com", []string{"https://Example.com"}},
		"a long id":  {"RP ID", strings.Repeat("a.", 128) + "com", []string{"https://" + strings.Repeat("a.", 128) + "com"}},
		"no origins": {"0 origins", "localhost", nil},
		"five origins": {"5 origins", "localhost", []string{"http://localhost:1", "http://localhost:2", "http://localhost:3",
			"http://localhost:4", "http://localhost:5"}},
		"a path":              {"without a path", "example.com", []string{"https://example.com/"}},
		"another scheme":      {"without a path", "example.com", []string{"ftp://example.com"}},
		"no port":             {"without a path", "example.com", []string{"https://example.com:"}},
		"the scheme's port":   {"without a path", "example.com", []string{"https://example.com:443"}},
		"its port, localhost": {"without a path", "localhost", []string{"http://localhost:80"}},
		"a long origin":       {"without a path", "example.com", []string{"https://" + strings.Repeat("a.", 128) + "example.com"}},
		"http":                {"use https", "example.com", []string{"http://example.com"}},
		"another host":        {"not of the RP ID", "example.com", []string{"https://example.org"}},
		"another's end":       {"not of the RP ID", "example.com", []string{"https://badexample.com"}},
		"no host below":       {"not of the RP ID", "example.com", []string{"https://-.example.com"}},
		"below localhost":     {"not of the RP ID", "localhost", []string{"https://a.localhost"}},
		"twice":               {"ascend", "example.com", []string{"https://example.com", "https://example.com"}},
	} {
		a.Approvers[2].Passkey = &Passkey{x.id, x.origins}
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), `approver "cleo": passkey: `) ||
			!strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a.Approvers[2].Passkey = &Passkey{"localhost", []string{"http://localhost"}}
	a.Approvers[2].Webhook = "https://host/"
	if err := a.Validate(); err == nil || !strings.Contains(err.Error(), "a program has no passkey") {
		t.Errorf("a program's: %v", err)
	}
}

// assertion is what an authenticator signs: the hash of the RP ID, flags and counter, and what the browser says.
type assertion struct {
	data []byte
	text string
}

// word has a passkey sign an assertion, after f has changed it.
func (x assertion) word(key *passkeytest.Key, f func(*assertion)) (Approval, passkeytest.Signed) {
	if f != nil {
		f(&x)
	}
	s := key.Over(x.data, []byte(x.text))
	return Approval{Signature: s.Raw, Assertion: &Assertion{AuthenticatorData: s.AuthenticatorData, ClientData: s.ClientData}}, s
}

// theirs is what another implementation says of an assertion.
func theirs(t *testing.T, who Approver, challenge Hash, s passkeytest.Signed) error {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	said := map[string]any{"authenticatorData": b64(s.AuthenticatorData), "clientDataJSON": b64(s.ClientData), "signature": b64(s.DER)}
	text, err := json.Marshal(map[string]any{"id": b64([]byte("id")), "rawId": b64([]byte("id")), "type": "public-key", "response": said})
	must(t, err)
	p, err := protocol.ParseCredentialRequestResponseBytes(text)
	if err != nil {
		return err
	}
	var cose map[int]any // RFC 9053
	pub, err := ParsePublicKey(who.Key)
	must(t, err)
	switch k := pub.(type) {
	case ed25519.PublicKey:
		cose = map[int]any{1: 1, 3: -8, -1: 6, -2: []byte(k)}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		must(t, err)
		cose = map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]}
	}
	return p.Verify(b64(challenge[:]), who.Passkey.RPID, "", who.Passkey.Origins, nil, nil, protocol.TopOriginDefaultVerificationMode,
		false, true, true, canon.MustMarshal(cose), protocol.SignaturePolicy{})
}

// Goal: the word of a passkey counts only for what was asked, from a page of an origin that officers allow, in no frame, when the
// authenticator has seen and verified its person; nothing that go-webauthn refuses passes. Method: an assertion of either kind of key that
// passes, and with one thing wrong, signed as it is then; go-webauthn judges it too.
func TestPasskey(t *testing.T) {
	const origin = "https://approve.example.com"
	for _, ed := range []bool{false, true} {
		key := passkeytest.New("example.com", ed)
		who := Approver{Name: "ann", Key: key.Public(), Passkey: &Passkey{"example.com", []string{origin, "https://example.com"}}}
		message := []byte("what is approved")
		challenge := PasskeyChallenge(message)
		good := key.Sign(origin, challenge)
		like := assertion{good.AuthenticatorData, string(good.ClientData)}
		swap := func(old, new string) func(*assertion) {
			return func(x *assertion) { x.text = strings.Replace(x.text, old, new, 1) }
		}
		flags := func(b byte) func(*assertion) {
			return func(x *assertion) { x.data = slices.Clone(x.data); x.data[32] = b }
		}
		for name, f := range map[string]func(*assertion){
			"as it is": nil, "more fields": swap("false}", `false,"other_keys_can_be_added_here":"do not compare"}`), "copied": flags(0x1d),
			"may be copied": flags(0x0d), "another count": func(x *assertion) { x.data = append(slices.Clone(x.data[:33]), 0, 0, 0, 0) },
			"the other origin": swap("approve.", ""),
		} {
			word, s := like.word(key, f)
			if err := who.Verify(message, word); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := theirs(t, who, challenge, s); err != nil {
				t.Errorf("%s, by go-webauthn: %v", name, err)
			}
		}
		for name, x := range map[string]struct {
			want     string
			f        func(*assertion)
			stricter bool // than go-webauthn
		}{
			"a registration":   {"of no assertion", swap("webauthn.get", "webauthn.create"), false},
			"another form":     {"of no assertion", swap(`{"`, `{ "`), true},
			"another question": {"challenge", swap(`"challenge":"`, `"challenge":"A`), false},
			"a longer one":     {"challenge", swap(`","origin`, `A","origin`), false},
			"another page":     {"not among the origins", swap("approve.example.com", "example.org"), false},
			"a page below":     {"not among the origins", swap("approve.example.com", "a.approve.example.com"), false},
			"another port":     {"not among the origins", swap("approve.example.com", "approve.example.com:444"), false},
			"origin twice":     {"not among the origins", swap(`,"cross`, `,"origin":"https://example.com","cross`), true},
			"in a frame":       {"in a frame", swap("false", "true"), false},
			"says nothing":     {"in a frame", swap(`,"crossOrigin":false`, ""), true},
			"below another":    {"in a frame", swap("false}", `false,"topOrigin":"https://example.org"}`), false},
			"goes on":          {"does not end", swap("false}", "false} "), true},
			"no end":           {"does not end", swap("false}", `false,"a":1`), false},
			"no field":         {"does not end", swap("false}", `false"}`), false},
			"another RP ID":    {"another RP ID", func(x *assertion) { x.data = slices.Clone(x.data); x.data[3] ^= 1 }, false},
			"nobody there":     {"saw nobody", flags(0x04), false},
			"not verified":     {"not verified its person", flags(0x01), false},
			"copied, it can't": {"say what cannot be", flags(0x15), true},
			"extended":         {"say what cannot be", flags(0x85), false},
			"with a key":       {"say what cannot be", flags(0x45), false},
			"extensions":       {"want 37", func(x *assertion) { flags(0x85)(x); x.data = append(x.data, 0xa0) }, true},
			"bytes behind":     {"want 37", func(x *assertion) { x.data = append(slices.Clone(x.data), 0) }, false},
			"short":            {"want 37", func(x *assertion) { x.data = x.data[:36] }, false},
			"long":             {"at most 1024", swap("false}", `false,"a":"`+strings.Repeat("a", 1024)+`"}`), true},
		} {
			word, s := like.word(key, x.f)
			if err := who.Verify(message, word); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s: %v", name, err)
			}
			if err := theirs(t, who, challenge, s); (err == nil) != x.stricter {
				t.Errorf("%s, by go-webauthn: %v", name, err)
			}
		}
		word, _ := like.word(key, nil)
		if err := who.Verify([]byte("something else"), word); err == nil || !strings.Contains(err.Error(), "challenge") {
			t.Errorf("of another message: %v", err)
		}
		word.Assertion.AuthenticatorData = append(slices.Clone(word.Assertion.AuthenticatorData[:36]), 9) // the count is not judged, but signed
		if err := who.Verify(message, word); err == nil || !strings.Contains(err.Error(), "does not verify") {
			t.Errorf("of another signature: %v", err)
		}
		word, _ = like.word(passkeytest.New("example.com", ed), nil)
		if err := who.Verify(message, word); err == nil || !strings.Contains(err.Error(), "does not verify") {
			t.Errorf("of another key: %v", err)
		}
	}
}

// Goal: an origin of localhost without a port stands for all of that machine's, and no other origin for anything but itself.
func TestPasskeyPorts(t *testing.T) {
	any1, one := &Passkey{Localhost, []string{"http://localhost"}}, &Passkey{Localhost, []string{"http://localhost:8123"}}
	for origin, want := range map[string][2]bool{"http://localhost": {true, false}, "http://localhost:8123": {true, true},
		"http://localhost:9": {true, false}, "http://localhost:08123": {}, "http://localhost:8123/": {}, "http://localhost:": {},
		"https://localhost:8123": {}, "http://localhost.example.com": {}, "http://localhost:123456": {}, "": {}} {
		if any1.allows(origin) != want[0] || one.allows(origin) != want[1] {
			t.Errorf("%q: %v, %v", origin, any1.allows(origin), one.allows(origin))
		}
	}
}

// Goal: in an intent, who has a passkey approves by it and nobody else does; what he rejects is his word too; and the receipt's reader sees
// where. Method: an intent with the word of a passkey and of a key, and each in the form of the other.
func TestPasskeyApproves(t *testing.T) {
	p := newPeople(t, agreeing...)
	a, now := p.treasury(t), time.UnixMilli(1_000_000)
	key := passkeytest.New(Localhost, false)
	a.Approvers[0].Key, a.Approvers[0].Passkey = key.Public(), &Passkey{Localhost, []string{"http://localhost"}}
	must(t, a.Validate())
	d := &intent.Decoded{Kind: "eip-1559", Transfers: []intent.Transfer{{What: intent.Send, To: "0xA", Amount: big.NewInt(5)}}}
	in := asked(a)
	var err error
	in.Initiation, err = in.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
	must(t, err)
	expires := now.Add(time.Minute).UnixMilli()
	ann := func(rejects bool) Approval {
		message, err := in.ApprovalMessage(d, "ann", expires, rejects)
		must(t, err)
		s := key.Sign("http://localhost:8123", PasskeyChallenge(message))
		return Approval{By: "ann", Expires: expires, Signature: s.Raw, Rejects: rejects,
			Assertion: &Assertion{AuthenticatorData: s.AuthenticatorData, ClientData: s.ClientData}}
	}
	ben, err := in.Approve(d, "ben", now.Add(time.Minute), false, p.sign("ben"))
	must(t, err)
	in.Approvals = []Approval{ann(false), *ben}
	must(t, in.Validate())
	must(t, a.CheckApprovals(in, d, now))
	must(t, a.CheckApproval(in, d, ann(true), now))
	if at := []string{in.Approvals[0].Origin(), in.Approvals[1].Origin()}; !slices.Equal(at, []string{"http://localhost:8123", ""}) {
		t.Errorf("approved at %q", at)
	}
	again, err := ParseIntent(in.Bytes())
	if err != nil || !bytes.Equal(again.Bytes(), in.Bytes()) {
		t.Errorf("read again: %v", err)
	}
	bare := ann(false)
	bare.Assertion = nil
	dressed := *ben
	dressed.Assertion = in.Approvals[0].Assertion
	turned := ann(false)
	turned.Rejects = true
	for want, x := range map[string]Approval{"this is no assertion": bare, "has a key and no passkey": dressed, "challenge": turned} {
		if err := a.CheckApproval(in, d, x, now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
	}
	for name, f := range map[string]func(*Assertion){
		"no authenticator data": func(x *Assertion) { x.AuthenticatorData = nil },
		"long":                  func(x *Assertion) { x.ClientData = make(Hex, maxClientData+1) },
	} {
		x := ann(false)
		f(x.Assertion)
		in.Approvals = []Approval{x}
		if in.Validate() == nil {
			t.Errorf("an intent whose assertion has %s", name)
		}
	}
	if n, m := bare.Size(), ann(false).Size(); m-n < authenticatorData+100 {
		t.Errorf("an assertion counts %d bytes", m-n)
	}
}

// Goal: nothing that is said to be a browser's word panics, and what is read is what the browsers' form has: the origin, written into it
// again, gives the bytes up to where fields may follow.
func FuzzAssertion(f *testing.F) {
	key := passkeytest.New(Localhost, true)
	s := key.Sign("http://localhost:1", Hash{1})
	f.Add(s.AuthenticatorData, s.ClientData)
	who := Approver{Name: "ann", Key: key.Public(), Passkey: &Passkey{Localhost, []string{"http://localhost"}}}
	f.Fuzz(func(t *testing.T, data, text []byte) {
		x := &Assertion{AuthenticatorData: data, ClientData: text}
		origin, err := x.read(Hash{1})
		if err == nil {
			want := clientDataType + base64.RawURLEncoding.EncodeToString(append([]byte{1}, make([]byte, 31)...)) + clientDataOrigin +
				origin + clientDataCross
			if !bytes.HasPrefix(text, []byte(want)) || (Approval{Assertion: x}).Origin() != origin {
				t.Errorf("%q in %q", origin, text)
			}
		}
		if who.Verify([]byte("m"), Approval{Assertion: x, Signature: make(Hex, 64)}) == nil {
			t.Error("nobody signed it")
		}
	})
}
