package api

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
)

// Goal: an ECDSA wallet is shown with its uncompressed key, the addresses of its chains, and the protocol that ran. Method: keygen
// as seed document 000 writes it, and in a vault; a damaged key is not shown at all.
func TestECDSAWallet(t *testing.T) {
	h := devServer(newFake())
	w := decode[wire.Wallet](t, send(t, h, "POST", "/api/v1/keygen", `{"threshold": 2, "total": 3, "curve": "secp256k1"}`))
	if len(w.PublicKey) != 65 || !strings.HasPrefix(w.PublicKey.String(), "0x04") || w.Protocol != "dkls23" || w.Curve != "secp256k1" ||
		w.Status != "completed" {
		t.Errorf("%+v", w)
	}
	if w.Address != w.Addresses["ethereum"] || w.Address == strings.ToLower(w.Address) || len(w.Address) != 42 ||
		w.Addresses["lux-c"] != w.Address {
		t.Errorf("address %s of %v", w.Address, w.Addresses)
	}
	for chain, prefix := range map[string]string{"bitcoin": "bc1q", "cosmos": "cosmos1", "lux-x": "X-lux1", "lux-p": "P-lux1"} {
		if !strings.HasPrefix(w.Addresses[chain], prefix) {
			t.Errorf("%s: %s", chain, w.Addresses[chain])
		}
	}
	v := decode[map[string]any](t, send(t, h, "POST", "/api/v1/vaults/v1/wallets", `{"curve":"secp256k1","protocol":"dkls23"}`))
	if v["ecdsa_pub_key"] != w.PublicKey.String() || v["eth_address"] != w.Address || v["btc_address"] != w.Addresses["bitcoin"] ||
		v["eddsa_pub_key"] != nil || v["schnorr_pub_key"] != nil || v["sol_address"] != nil {
		t.Errorf("%v", v)
	}
	broken := ecWallet()
	broken.PublicKey = bytes.Clone(broken.PublicKey)
	broken.PublicKey[64] ^= 1
	if _, err := renderWallet(broken); problem.As(err).Code != problem.Integrity {
		t.Errorf("a key that is no point: %v", err)
	}
}

// Goal: a signature comes as r || s with what it takes to recover the key, under every field that takes a digest. Method: decred
// verifies it and recovers the key from recovery_id and from v.
func TestECDSASign(t *testing.T) {
	ids := map[int]bool{}
	for i := range 16 {
		digest := bytes.Repeat([]byte{byte(i + 1)}, 32)
		field := []string{"message_hash", "payload", "message"}[i%3]
		f := newFake()
		w := send(t, devServer(f), "POST", "/api/v1/sign",
			fmt.Sprintf(`{"public_key":"0x%x","%s":"0x%x","signers":["node1","node2"],"chain":"ethereum"}`, ecPublic, field, digest))
		if w.Code != 200 || f.signs[0].WalletID != "w_ec" || !bytes.Equal(f.signs[0].Message, digest) || f.signs[0].Chain != "ethereum" {
			t.Fatalf("%d %s, asked %+v", w.Code, w.Body, f.signs)
		}
		s := decode[wire.Signature](t, w)
		if len(s.Signature) != 64 || !bytes.Equal(s.Signature[:32], s.R) || !bytes.Equal(s.Signature[32:], s.S) || s.Protocol != "dkls23" ||
			s.RecoveryID == nil || s.V == nil {
			t.Fatalf("%s", w.Body)
		}
		if *s.V != 27+*s.RecoveryID {
			t.Errorf("v %d of recovery_id %d", *s.V, *s.RecoveryID)
		}
		ids[*s.RecoveryID] = true
		key, _, err := ecdsa.RecoverCompact(append([]byte{byte(*s.V)}, s.Signature...), digest)
		if err != nil || !key.IsEqual(ecSecret.PubKey()) {
			t.Errorf("recovered %v, %v", key, err)
		}
	}
	if !ids[0] || !ids[1] {
		t.Errorf("recovery ids %v", ids)
	}
	for id := range 4 {
		s, err := renderSignature(&appliance.Signature{Bytes: make([]byte, 64), RecoveryID: id}, ecWallet())
		if err != nil || *s.RecoveryID != id || *s.V != 27+id {
			t.Errorf("%d: %+v", id, s)
		}
	}
}

// Goal: ECDSA signs a digest of 32 bytes and nothing else. Method: lengths around it, under each name of the field.
func TestECDSADigest(t *testing.T) {
	for _, field := range []string{"message_hash", "payload", "message"} {
		for _, n := range []int{1, 20, 31, 33, 64} {
			f := newFake()
			p := wantProblem(t, send(t, devServer(f), "POST", "/api/v1/sign",
				fmt.Sprintf(`{"wallet_id":"w_ec","%s":"0x%s"}`, field, strings.Repeat("11", n))), 422, "invalid")
			if len(p.Errors) != 1 || p.Errors[0].Field != field || !strings.Contains(p.Detail, fmt.Sprintf("%d bytes, ECDSA signs exactly 32", n)) ||
				len(f.signs) != 0 {
				t.Errorf("%s of %d bytes: %+v", field, n, p)
			}
		}
	}
}

// Goal: an ECDSA key may be named by either encoding of its point, and by nothing that could be another key. Method: its encodings,
// its negative's, and x alone.
func TestECDSAKeyForms(t *testing.T) {
	long, short := hex.EncodeToString(ecPublic), hex.EncodeToString(ecSecret.PubKey().SerializeCompressed())
	var negative secp256k1.ModNScalar
	negative.NegateVal(&ecSecret.Key)
	other := secp256k1.NewPrivateKey(&negative).PubKey()
	digest := strings.Repeat("11", 32)
	for key, want := range map[string]int{
		long: 200, "0x" + long: 200, "0x" + strings.ToUpper(long): 200, short: 200, "0x" + short: 200,
		hex.EncodeToString(other.SerializeUncompressed()): 404, hex.EncodeToString(other.SerializeCompressed()): 404,
		short[2:]: 404, long[:128] + "00": 422, long[2:]: 422,
	} {
		if w := send(t, devServer(newFake()), "POST", "/api/v1/sign", `{"public_key":"`+key+`","message_hash":"`+digest+`"}`); w.Code != want {
			t.Errorf("%s: %d %s", key, w.Code, w.Body)
		}
		if w := send(t, devServer(newFake()), "GET", "/api/v1/wallets/"+key, ""); (w.Code == 200) != (want == 200) || w.Code >= 500 {
			t.Errorf("GET %s: %d", key, w.Code)
		}
		if w := send(t, devServer(newFake()), "POST", "/api/v1/sign",
			`{"wallet_id":"w_ec","public_key":"`+key+`","message_hash":"`+digest+`"}`); (w.Code == 200) != (want == 200) || w.Code >= 500 {
			t.Errorf("both names, %s: %d %s", key, w.Code, w.Body)
		}
	}
	if w := send(t, devServer(newFake()), "POST", "/api/v1/sign",
		fmt.Sprintf(`{"wallet_id":"w_tap","public_key":"0x03%x","message_hash":"%s"}`, taproot, digest)); w.Code != 200 {
		t.Errorf("a point and the id of its BIP-340 key: %d %s", w.Code, w.Body)
	}
}

// Goal: a chain is refused where the wallet has no address, and only there. Method: every kind of wallet with chains of each.
func TestChainFitsWallet(t *testing.T) {
	digest := strings.Repeat("11", 32)
	for wallet, chains := range map[string]map[string]int{
		"w_ec": {"ethereum": 200, "bitcoin": 200, "cosmos": 200, "lux-c": 200, "lux-x": 200, "lux-p": 200, "polygon": 200, "xrpl": 200,
			"solana": 422, "cardano": 422, "etherium": 422},
		"w_ed":  {"ethereum": 422, "bitcoin": 422, "lux-x": 422, "solana": 200, "xrpl": 200, "Solana": 422},
		"w_tap": {"ethereum": 422, "bitcoin": 200, "cosmos": 422, "solana": 422, "zcash": 422},
	} {
		for chain, want := range chains {
			f := newFake()
			w := send(t, devServer(f), "POST", "/api/v1/generate_mpc_sig", `{"wallet_id":"`+wallet+`","payload":"`+digest+`","chain":"`+chain+`"}`)
			if w.Code != want || (len(f.signs) == 1) != (want == 200) {
				t.Errorf("%s for %s: %d %s", wallet, chain, w.Code, w.Body)
			}
			if want == 422 && decode[wire.Problem](t, w).Errors[0].Field != "chain" {
				t.Errorf("%s for %s: %s", wallet, chain, w.Body)
			}
		}
	}
}

// Goal: whether ECDSA is in the build is the node's to say. Method: a node that has it not.
func TestNodeWithoutECDSA(t *testing.T) {
	for _, protocol := range []string{``, `,"protocol":"dkls23"`} {
		f := newFake()
		f.err = &problem.Error{Code: problem.Unsupported, Field: "protocol", Message: "no such scheme here", Next: "Use frost."}
		p := wantProblem(t, send(t, devServer(f), "POST", "/api/v1/keygen", `{"curve":"secp256k1"`+protocol+`}`), 422, "unsupported")
		if len(f.keygens) != 1 || f.keygens[0].Curve != "secp256k1" || p.Errors[0].Field != "protocol" ||
			!strings.Contains(p.Detail, "no such scheme here. Use frost.") {
			t.Errorf("%q: asked %+v, %+v", protocol, f.keygens, p)
		}
	}
}
