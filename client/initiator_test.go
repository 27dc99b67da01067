package client

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/keyfile"
	"github.com/luxfi/mpcd/threshold"
)

// signedBy is an initiator of a cluster that is called test, and the authority that knows it.
func signedBy(t *testing.T) (*Initiator, attest.Authority) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := attest.MarshalPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return &Initiator{Cluster: "test", Name: "payments", Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(key, m), nil }},
		attest.Authority{Cluster: "test", Serial: 1, Initiators: []attest.Initiator{{Name: "payments", Key: der, May: []attest.Grant{{
			Operations: []attest.Operation{attest.OpSign, attest.OpSignRaw, attest.OpKeygen, attest.OpRefresh},
			Vaults:     []string{attest.AnyVault}}}}}}
}

// Goal: what a client sends is signed for exactly what it asks for, in every way to ask. Method: the requests that a node gets, judged as
// nodes do, with the signature in the body and in headers.
func TestInitiate(t *testing.T) {
	for _, http := range []bool{false, true} {
		initiates(t, http)
	}
}

// word is the initiation that a request carries, in its body or its headers.
func word(t *testing.T, in attest.Intent, body map[string]any, h http.Header) *attest.Initiation {
	t.Helper()
	inBody, _ := body["initiation"].(map[string]any)
	parameters, ok := strings.CutPrefix(h.Get("Signature-Input"), "sig1=")
	switch {
	case inBody == nil && !ok:
		return nil
	case ok:
		x, _, err := attest.ParseParameters(parameters)
		sig, serr := base64.StdEncoding.DecodeString(strings.TrimSuffix(strings.TrimPrefix(h.Get("Signature"), "sig1=:"), ":"))
		if x.Signature = sig; err != nil || serr != nil || inBody != nil || h.Get("Mpcd-Initiation") != in.InitiationValue(x.By, x.Expires) {
			t.Errorf("%v, %v: %v", err, serr, h)
		}
		return &x
	}
	var sig attest.Hex
	if err := sig.UnmarshalText([]byte(inBody["signature"].(string))); err != nil {
		t.Fatal(err)
	}
	return &attest.Initiation{By: inBody["by"].(string), Expires: int64(inBody["expires_ms"].(float64)), Signature: sig}
}

func initiates(t *testing.T, http bool) {
	who, authority := signedBy(t)
	digest := authority.Digest()
	who.HTTP = http
	c, nodes := newCluster(t, ok(wallet))
	x := New(Config{Nodes: nodes, Initiator: who})
	judge := func(name string, in attest.Intent, body map[string]any) {
		t.Helper()
		in.Cluster, in.Created, in.Authority, in.RequestID = "test", time.Now().UnixMilli(), digest[:], body["session_id"].(string)
		in.Initiation = word(t, in, body, c.headers[len(c.headers)-1])
		if err := authority.CheckInitiation(in, time.Now()); err != nil || (in.Initiation.Parameters != "") != http {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := func() map[string]any { return c.bodies[len(c.bodies)-1] }
	parties := make([]threshold.PartyID, 3)
	for _, row := range []struct {
		curve, protocol string
		kind            threshold.KindID
	}{{"ed25519", "", threshold.Ed25519.ID}, {"secp256k1", "", threshold.ECDSA.ID}, {"secp256k1", "dkls23", threshold.ECDSA.ID},
		{"secp256k1", "frost", threshold.BIP340.ID}} {
		q := &KeygenRequest{Threshold: 2, Total: 3, Curve: row.curve, Protocol: row.protocol, Label: "l"}
		in := attest.Intent{Operation: attest.OpKeygen, Signers: parties, Keygen: &attest.KeygenParams{Threshold: 2, Kind: row.kind, Label: "l"}}
		_, err := x.Keygen(t.Context(), q)
		judge("keygen "+row.curve+row.protocol, in, last())
		in.Keygen.Group = "trading"
		_, gerr := x.CreateWallet(t.Context(), "trading", q)
		judge("a wallet of a vault", in, last())
		if err != nil || gerr != nil {
			t.Errorf("%v, %v", err, gerr)
		}
	}
	_, err := x.Sign(t.Context(), &SignRequest{WalletID: "w_1", Message: Hex("m"), Chain: "solana"})
	judge("sign", attest.Intent{Operation: attest.OpSign, KeyID: "w_1", Message: attest.Hex("m"), Chain: "solana"}, last())
	_, perr := x.Sign(t.Context(), &SignRequest{WalletID: "w_1", MessageHash: Hex("d"), DerivationPath: "m/0/5"})
	judge("sign below", attest.Intent{Operation: attest.OpSign, KeyID: "w_1", Message: attest.Hex("d"), Path: []uint32{0, 5}}, last())
	tx := &Transaction{Format: "psbt", Bytes: Hex("p"), Input: 2}
	_, terr := x.Sign(t.Context(), &SignRequest{WalletID: "w_1", Transaction: tx, Chain: "bitcoin"})
	judge("sign a transaction", attest.Intent{Operation: attest.OpSign, KeyID: "w_1", Chain: "bitcoin",
		Payload: &attest.Payload{Format: "psbt", Bytes: attest.Hex("p"), Input: 2}}, last())
	_, rerr := x.Refresh(t.Context(), &RefreshRequest{WalletID: "w_1"})
	judge("refresh", attest.Intent{Operation: attest.OpRefresh, KeyID: "w_1"}, last())
	if err != nil || perr != nil || terr != nil || rerr != nil {
		t.Errorf("%v, %v, %v", err, perr, rerr)
	}
	plain := New(Config{Nodes: nodes})
	if _, err := plain.Sign(t.Context(), &SignRequest{WalletID: "w_1", Message: Hex("m")}); err != nil || last()["initiation"] != nil {
		t.Errorf("without an initiator: %v, %v", last(), err)
	}
}

// Goal: a node that tells another wallet for a public key gets no signature for that one. Method: a node's answers, true and false, for
// each form of a key.
func TestInitiateHoldsTheKey(t *testing.T) {
	who, _ := signedBy(t)
	point := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{7}, 32)).PubKey()
	compressed, x := point.SerializeCompressed(), point.SerializeCompressed()[1:]
	even := append([]byte{2}, x...)
	for name, row := range map[string]struct {
		pub  []byte
		kind threshold.KindID
		key  []byte
	}{
		"ed25519":               {x, threshold.Ed25519.ID, x},
		"x-only":                {x, threshold.BIP340.ID, even},
		"Taproot, compressed":   {compressed, threshold.BIP340.ID, even},
		"Taproot, uncompressed": {point.SerializeUncompressed(), threshold.BIP340.ID, even},
		"compressed":            {compressed, threshold.ECDSA.ID, compressed},
		"uncompressed":          {point.SerializeUncompressed(), threshold.ECDSA.ID, compressed},
	} {
		id := attest.KeyID(row.kind, row.key)
		other := attest.KeyID(row.kind, append([]byte{2}, make([]byte, len(row.key)-1)...))
		for told, want := range map[string]bool{id: true, other: false} {
			c, nodes := newCluster(t, ok(strings.Replace(wallet, "w_1", told, 1)))
			x := New(Config{Nodes: nodes, Initiator: who, Attempts: 1})
			_, err := x.Refresh(t.Context(), &RefreshRequest{PublicKey: row.pub})
			if (err == nil) != want || len(c.asked) != map[bool]int{true: 2, false: 1}[want] {
				t.Errorf("%s, told %s: %v, %v", name, told, err, c.asked)
			}
		}
	}
}

// Goal: numbers of a key that nobody gave are made before they are signed for. Method: a keygen with none of them, at a cluster of five.
func TestInitiateFillsIn(t *testing.T) {
	who, _ := signedBy(t)
	_, nodes := newCluster(t, func(before int, w http.ResponseWriter) {
		if before == 0 {
			ok(`{"nodes":[{},{},{},{},{}]}`)(before, w)
			return
		}
		ok(wallet)(before, w)
	})
	q := KeygenRequest{Curve: "ed25519", SessionID: "s"}
	x := New(Config{Nodes: nodes, Initiator: who})
	if _, err := x.initiateKeygen(t.Context(), &q, ""); err != nil || q.Total != 5 || q.Threshold != 3 || q.Initiation == nil {
		t.Errorf("%+v, %v", q, err)
	}
}

// Goal: an initiator is opened by its name and its key file, and by nothing else. Method: good ones, and mistakes.
func TestOpenInitiator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	k, err := keyfile.Generate(hsm.KeyP256)
	if err != nil {
		t.Fatal(err)
	}
	b, err := k.File(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	i, key, err := OpenInitiator("payments@treasury", path, nil)
	if err != nil || i.Name != "payments" || i.Cluster != "treasury" {
		t.Fatalf("%+v, %v", i, err)
	}
	if sig, err := i.Sign([]byte("m")); err != nil || len(sig) != 64 {
		t.Errorf("%x, %v", sig, err)
	}
	_ = key.Close()
	for who, file := range map[string]string{"payments": path, "@treasury": path, "payments@": path, "": path,
		"payments@treasury": path + "x"} {
		if _, _, err := OpenInitiator(who, file, nil); err == nil {
			t.Errorf("%q with %s opens", who, file)
		}
	}
}

// Goal: no request is sent whose signature would hold no time, or longer than one may. Method: a signature for each time.
func TestInitiationTTL(t *testing.T) {
	who, _ := signedBy(t)
	for ttl, ok := range map[time.Duration]bool{0: true, time.Hour: true, attest.MaxInitiation: true, -time.Hour: false,
		attest.MaxInitiation + 1: false} {
		i := *who
		i.TTL = ttl
		c := &Client{initiator: &i}
		if _, _, err := c.initiate(attest.Intent{Operation: attest.OpSign}); (err == nil) != ok || err != nil && !errors.Is(err, ErrUnsent) {
			t.Errorf("%s: %v", ttl, err)
		}
	}
	for _, id := range []string{".", ".."} {
		if _, err := (&Client{}).Operation(t.Context(), id); !errors.Is(err, ErrUnsent) {
			t.Errorf("operation %q is asked for: %v", id, err)
		}
	}
}
