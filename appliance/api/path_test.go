package api

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
)

// publicChild is the key below the ECDSA wallet's, derived from its public key alone, and its Ethereum address.
func publicChild(t *testing.T, path []uint32) (pub []byte, eth string) {
	t.Helper()
	k := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPublicKeyID[:], ecSecret.PubKey().SerializeCompressed(), make([]byte, 32),
		make([]byte, 4), 0, 0, false)
	for _, index := range path {
		var err error
		if k, err = k.Derive(index); err != nil {
			t.Fatal(err)
		}
	}
	p, err := k.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	pub = p.SerializeUncompressed()
	key, err := crypto.UnmarshalPubkey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pub, crypto.PubkeyToAddress(*key).Hex()
}

// spellings of paths, and what they mean.
var spellings = map[string][]uint32{
	"m/0/5": {0, 5}, "0/5": {0, 5}, "7": {7}, "m/2147483647": {1<<31 - 1}, "m/44/60/0/0/1": {44, 60, 0, 0, 1},
	"m" + strings.Repeat("/2147483647", wire.MaxPath): slices.Repeat([]uint32{1<<31 - 1}, wire.MaxPath),
}

// Goal: a signature under a path comes with the key and addresses that it is of. Method: paths in their spellings; decred recovers,
// hdkeychain derives from the public key, go-ethereum writes the address; then a wallet without a path.
func TestSignUnderPath(t *testing.T) {
	digest := bytes.Repeat([]byte{7}, 32)
	for text, path := range spellings {
		f := newFake()
		w := send(t, devServer(f), "POST", "/api/v1/sign", fmt.Sprintf(`{"wallet_id":"w_ec","message_hash":"0x%x","derivation_path":"%s"}`,
			digest, text))
		if w.Code != 200 || !slices.Equal(f.signs[0].Path, path) || f.signs[0].WalletID != "w_ec" {
			t.Fatalf("%.20s: %d %s", text, w.Code, w.Body)
		}
		s := decode[wire.Signature](t, w)
		pub, eth := publicChild(t, path)
		if !bytes.Equal(s.PublicKey, pub) || s.Address != eth || s.Addresses["ethereum"] != eth ||
			!strings.HasPrefix(s.Addresses["bitcoin"], "bc1q") || s.DerivationPath != "m/"+strings.TrimPrefix(text, "m/") || s.WalletID != "w_ec" {
			t.Errorf("%.20s: %s", text, w.Body)
		}
		key, _, err := ecdsa.RecoverCompact(append([]byte{byte(*s.V)}, s.Signature...), digest)
		if err != nil || !bytes.Equal(key.SerializeUncompressed(), pub) {
			t.Errorf("%.20s: recovered %v, %v", text, key, err)
		}
		got := decode[wire.Child](t, send(t, devServer(newFake()), "GET", "/api/v1/wallets/w_ec/derive?path="+url.QueryEscape(text), ""))
		if got.DerivationPath != s.DerivationPath || !bytes.Equal(got.PublicKey, pub) || got.Address != eth ||
			got.Addresses["bitcoin"] != s.Addresses["bitcoin"] {
			t.Errorf("%.20s: shown %+v", text, got)
		}
	}
	for _, body := range []string{`{"wallet_id":"w_ec","message_hash":"0x%x"}`,
		`{"wallet_id":"w_ec","message_hash":"0x%x","derivation_path":"m"}`} {
		w := send(t, devServer(newFake()), "POST", "/api/v1/sign", fmt.Sprintf(body, digest))
		if s := decode[map[string]any](t, w); s["public_key"] != fmt.Sprintf("0x%x", ecPublic) || s["address"] != nil || s["addresses"] != nil ||
			s["derivation_path"] != nil {
			t.Errorf("%s", w.Body)
		}
	}
	if s := decode[wire.Signature](t, send(t, devServer(newFake()), "POST", "/api/v1/sign", signOne)); len(s.PublicKey) != 32 ||
		s.Address != "" {
		t.Errorf("%+v", s)
	}
	noKey := &appliance.Signature{Bytes: make([]byte, 64), Path: []uint32{1}}
	if _, err := renderSignature(noKey, ecWallet()); problem.As(err).Code != problem.Integrity {
		t.Errorf("a child without a key: %v", err)
	}
}

// Goal: a deposit address is made without signing, for a wallet by its name or key. Method: one request each; the wallet's own key is m.
func TestDerive(t *testing.T) {
	f := newFake()
	h := devServer(f)
	pub, eth := publicChild(t, []uint32{0, 5})
	for _, name := range []string{"w_ec", hex.EncodeToString(ecPublic), "0x" + hex.EncodeToString(ecSecret.PubKey().SerializeCompressed())} {
		c := decode[wire.Child](t, send(t, h, "GET", "/api/v1/wallets/"+name+"/derive?path=m/0/5", ""))
		if c.WalletID != "w_ec" || c.DerivationPath != "m/0/5" || !bytes.Equal(c.PublicKey, pub) || c.Address != eth || c.Protocol != "dkls23" ||
			c.Curve != "secp256k1" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	own := decode[wire.Wallet](t, send(t, h, "GET", "/api/v1/wallets/w_ec", ""))
	if c := decode[wire.Child](t, send(t, h, "GET", "/api/v1/wallets/w_ec/derive?path=m", "")); c.Address != own.Address ||
		c.DerivationPath != "m" || c.Addresses["bitcoin"] != own.Addresses["bitcoin"] {
		t.Errorf("m: %+v", c)
	}
	if len(f.signs)+len(f.keygens)+len(f.renewals) != 0 {
		t.Error("something was signed")
	}
}

// badPaths are no paths below a wallet, with what is said of them.
var badPaths = map[string]string{
	"": "", "m/": "is empty", "m/0/": "index 2 of the path is empty", "0/5/": "index 3 of the path is empty", "m//5": "is empty",
	"/0": "is empty", "m/x": "not a decimal",
	"m/-1": "not a decimal", "m/0x5": "not a decimal", "m/ 0": "not a decimal", "m/05": "begins with a zero", "M/0": "not a decimal",
	"m/0'": "is hardened", "m/44h/0": "index 1 of the path is hardened",
	"m/2147483648": "is hardened", "m/4294967295": "is hardened", "m/4294967296": "2^32 or above",
	"m" + strings.Repeat("/0", 256): "256 indexes, at most 255", "m" + strings.Repeat("/2147483647", 256): "2806",
}

// Goal: what is no path is refused before the node is asked, names the field, and says what to do. Method: each, in a body and in a query.
func TestBadPaths(t *testing.T) {
	for text, says := range badPaths {
		f := newFake()
		body := fmt.Sprintf(`{"wallet_id":"w_ec","message_hash":"0x%x","derivation_path":"%s"}`, make([]byte, 32), text)
		p := wantProblem(t, send(t, devServer(f), "POST", "/api/v1/sign", body), 422, "invalid")
		if len(p.Errors) != 1 || p.Errors[0].Field != "derivation_path" || !strings.Contains(p.Detail, says) || len(p.Detail) > 400 {
			t.Errorf("%.20q: %+v", text, p)
		}
		p = wantProblem(t, send(t, devServer(f), "GET", "/api/v1/wallets/w_ec/derive?path="+url.QueryEscape(text), ""), 422, "invalid")
		if len(p.Errors) != 1 || strings.TrimPrefix(p.Errors[0].Field, "query.") != "path" || !strings.Contains(p.Detail, says) ||
			len(p.Detail) > 400 {
			t.Errorf("%.20q in a query: %+v", text, p)
		}
		if len(f.signs)+len(f.paths) != 0 {
			t.Errorf("%.20q: the node was asked", text)
		}
	}
	for body, field := range map[string]string{`5`: "derivation_path", `["0","5"]`: "derivation_path", `{"0":5}`: "derivation_path"} {
		p := wantProblem(t, send(t, devServer(newFake()), "POST", "/api/v1/sign",
			fmt.Sprintf(`{"wallet_id":"w_ec","message_hash":"0x%x","derivation_path":%s}`, make([]byte, 32), body)), 422, "invalid")
		if len(p.Errors) == 0 || p.Errors[0].Field != field {
			t.Errorf("%s: %+v", body, p)
		}
	}
	for path, want := range map[string]struct {
		status      int
		code, field string
	}{
		"w_ec/derive":               {422, "invalid", "query.path"},
		"w_ec/derive?paht=m/0":      {422, "invalid", ""},
		"w_ec/derive?path=m/0&x=1":  {422, "invalid", ""},
		"w_ed/derive?path=m/0":      {422, "unsupported", "path"},
		"w_tap/derive?path=m/0":     {422, "unsupported", "path"},
		"w_no/derive?path=m/0":      {404, "not_found", ""},
		"w_ec/derive/m/0":           {404, "not_found", ""},
		"0x0102030405/derive?path=": {422, "invalid", ""},
	} {
		p := wantProblem(t, send(t, devServer(newFake()), "GET", "/api/v1/wallets/"+path, ""), want.status, want.code)
		if want.field != "" && (len(p.Errors) == 0 || p.Errors[0].Field != want.field) {
			t.Errorf("%s: %+v", path, p)
		}
	}
	for _, wallet := range []string{"w_ed", "w_tap"} {
		p := wantProblem(t, send(t, devServer(newFake()), "POST", "/api/v1/sign",
			fmt.Sprintf(`{"wallet_id":"%s","message_hash":"0x%x","derivation_path":"m/0"}`, wallet, make([]byte, 32))), 422, "unsupported")
		if len(p.Errors) == 0 || p.Errors[0].Field != "derivation_path" || !strings.Contains(p.Detail, "Leave the path out") {
			t.Errorf("%s: %+v", wallet, p)
		}
	}
}

// Goal: a session_id is bound to the path. Method: the same with another path, and with none.
func TestPathIdempotency(t *testing.T) {
	f := newFake()
	h := devServer(f)
	body := func(path string) string {
		return fmt.Sprintf(`{"session_id":"s","wallet_id":"w_ec","message_hash":"0x%x"%s}`, make([]byte, 32), path)
	}
	first := send(t, h, "POST", "/api/v1/sign", body(`,"derivation_path":"m/0/5"`))
	if again := send(t, h, "POST", "/api/v1/sign", body(`,"derivation_path":"m/0/5"`)); first.Code != 200 ||
		again.Body.String() != first.Body.String() {
		t.Errorf("%s, then %s", first.Body, again.Body)
	}
	for _, other := range []string{`,"derivation_path":"m/0/6"`, `,"derivation_path":"m"`, ``} {
		wantProblem(t, send(t, h, "POST", "/api/v1/sign", body(other)), 409, "conflict")
	}
}

// Goal: no path of a stranger is a 5xx, and what is answered is of the path that was asked for. Method: fuzz the query.
func FuzzDerive(f *testing.F) {
	for text := range spellings {
		f.Add(text)
	}
	for text := range badPaths {
		f.Add(text)
	}
	h := devServer(newFake())
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 64 {
			return // the derivation in the test itself takes the time
		}
		w := send(t, h, "GET", "/api/v1/wallets/w_ec/derive?path="+url.QueryEscape(text), "")
		if w.Code != 200 {
			wantProblem(t, w, 422, "invalid")
			return
		}
		if c := decode[wire.Child](t, w); c.DerivationPath != text && c.DerivationPath != "m/"+text {
			t.Errorf("%q is answered as %s", text, c.DerivationPath)
		}
	})
}
