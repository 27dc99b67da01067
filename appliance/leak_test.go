package appliance_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/edwards25519"
	secp256k1 "github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/vault"
)

// Goal: Must show 8. No share, signing nonce, presignature, pair state, dealt polynomial, PIN, store key or identity seed is in any
// log, audit log, metric, file or message; presignatures are not even sealed anywhere. Method: a cluster of real parts makes and
// refreshes keys, signs, presigns, fails and aborts; the test opens the vaults, reads presignatures out of memory and recomputes the
// nonces from the randomness that was drawn, which it proves by public halves; then it looks for all of them in every encoding,
// with presignatures still in memory. Besides, a secret planted in each of the places is found there.
func TestRealLeakScan(t *testing.T) {
	c := sim.New(t, sim.Config{Nodes: 3, Limits: appliance.Limits{Silence: time.Second, Presignatures: 8}})
	registry := prometheus.NewRegistry()
	handler := api.New(api.Config{Backend: appliance.NewFront(c.Nodes[0].Node), Auth: api.Dev{}, Dev: true, OpenMetrics: true,
		Registry: registry})
	ed, tap, ec := c.Keygen("ed25519", 2, 3), c.Keygen("secp256k1", 2, 3), c.KeygenBy("secp256k1", "dkls23", 2, 3)
	wallets := []*appliance.Wallet{ed, tap, ec}
	var secrets, memory []sim.Secret // of all, and of those that are never stored
	var proven proofs
	shares := func(when string) {
		for _, n := range c.Nodes {
			for _, w := range wallets {
				s := n.Share(w.ID)
				secrets = append(secrets, sim.Secret{Name: fmt.Sprintf("share of %s in %s %s, %s", n.ID, w.Protocol, w.Kind.Curve, when),
					Bytes: bytes.Clone(s.Secret())})
				s.Destroy()
			}
		}
		secrets = append(secrets, pairSecrets(t, c, ec, when)...)
	}
	shares("epoch 1")
	exercise(t, c, wallets)
	memory = append(memory, presignatures(t, c, ec, 8, "epoch 1", &proven)...)
	for _, w := range wallets {
		if _, err := c.Nodes[1].Node.Refresh(t.Context(), appliance.RefreshRequest{WalletID: w.ID}); err != nil {
			t.Fatal(err)
		}
	}
	shares("epoch 2")
	exercise(t, c, wallets)
	memory = append(memory, presignatures(t, c, ec, 8, "epoch 2", &proven)...)
	abort(t, c, ed, ec)

	edShares, deltas := map[*sim.Node][][]byte{}, map[string]bool{}
	for _, s := range secrets {
		if strings.HasPrefix(s.Name, "delta ") {
			deltas[string(s.Bytes)] = true
		}
		for _, n := range c.Nodes {
			if strings.HasPrefix(s.Name, "share of "+string(n.ID)+" in frost ed25519") {
				edShares[n] = append(edShares[n], s.Bytes)
			}
		}
	}
	wire := c.Wire.Bytes()
	for _, n := range c.Nodes {
		secrets = append(secrets,
			sim.Secret{Name: "PIN of " + string(n.ID), Bytes: n.PIN}, sim.Secret{Name: "store password of " + string(n.ID), Bytes: []byte(n.Store)},
			sim.Secret{Name: "store key of " + string(n.ID), Bytes: n.Key},
			sim.Secret{Name: "identity seed of " + string(n.ID), Bytes: n.Seed[:32]},
			sim.Secret{Name: "HPKE seed of " + string(n.ID), Bytes: n.Seed[32:]})
		memory = append(memory, drawn(n, edShares[n], deltas, wire, &proven)...)
	}
	if proven.nonces < 40 || proven.ecdsa < 40 || proven.dealt < 36 || proven.presignatures < 16 || proven.choices < 12 {
		t.Errorf("only %s are proven: the test does not know the secrets", proven)
	}
	if c.Nodes[0].Node.Counts().PresHeld == 0 {
		t.Error("no presignature is left in memory")
	}
	kept, forgotten := sim.NewScanner(secrets...), sim.NewScanner(memory...)
	secrets = append(secrets, memory...)
	scanner := sim.NewScanner(secrets...)

	places := func() map[string][]byte {
		var audit bytes.Buffer
		for _, n := range c.Nodes {
			if !n.Running() {
				continue
			}
			es, _, err := n.Node.Audit(t.Context(), appliance.Page{Size: 1000})
			if err != nil || len(es) == 0 {
				t.Fatalf("no audit entries: %v", err)
			}
			_ = json.NewEncoder(&audit).Encode(es)
		}
		answer := httptest.NewRecorder()
		req := httptest.NewRequest("GET", "http://127.0.0.1/metrics", nil)
		req.RemoteAddr = "127.0.0.1:1"
		handler.ServeHTTP(answer, req)
		if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
			t.Fatalf("no metrics: %d", answer.Code)
		}
		return map[string][]byte{"log": c.Log.Bytes(), "audit": audit.Bytes(), "metrics": answer.Body.Bytes(), "wire": c.Wire.Bytes()}
	}
	for place, b := range places() {
		for _, f := range scanner.Scan(place, b) {
			t.Errorf("leak: %s", f)
		}
	}
	// Files: the data directories of running nodes and, below, of halted ones; the tokens, but for the files that hold the PINs.
	dirs := func(s *sim.Scanner) (all []sim.Find) {
		for _, n := range c.Nodes {
			f, files, size, err := s.ScanDir(n.Dir, nil)
			if err != nil || files < 6 || size < 1<<12 {
				t.Fatalf("%s: %d files, %d bytes, %v", n.Dir, files, size, err)
			}
			all = append(all, f...)
		}
		tokens := filepath.Dir(os.Getenv("SOFTHSM2_CONF"))
		f, files, _, err := s.ScanDir(tokens, func(path string) bool { return strings.HasSuffix(path, ".pin") })
		if err != nil || files < 9 {
			t.Fatalf("%s: %d files, %v", tokens, files, err)
		}
		return append(all, f...)
	}
	for _, f := range dirs(scanner) {
		t.Errorf("leak: %s", f)
	}
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		for _, wrong := range scanStored(t, string(n.ID), n.Node.Store(), n.Vault, scanner, forgotten, kept) {
			t.Error(wrong)
		}
	}

	// The same eyes on the same places with a secret that was let out on purpose.
	planted := make([]byte, 32)
	_, _ = rand.Read(planted)
	eyes := sim.NewScanner(sim.Secret{Name: "planted", Bytes: planted})
	found := func(fs []sim.Find) bool { return len(fs) > 0 }
	if slices.ContainsFunc([]string{"log", "audit", "metrics", "wire"}, func(p string) bool { return found(eyes.Scan(p, places()[p])) }) {
		t.Error("the planted secret is there before it was planted")
	}
	n := c.Nodes[0]
	fmt.Fprintf(c.Log, "level=ERROR msg=oops share=%v\n", planted)
	if err := n.Node.AuditLog().Append(t.Context(),
		audit.Event{Name: "oops", Facts: map[string]string{"share": hex.EncodeToString(planted)}}); err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "oops",
		ConstLabels: prometheus.Labels{"share": fmt.Sprintf("%X", planted)}}))
	conn, leave := c.Nodes[2].Join() // halted by abort
	defer leave()
	// The tap is where the nodes receive; what is sent before the routes stand is lost.
	sim.Wait(t, "the planted secret on the wire", func() bool {
		return conn.Send(t.Context(), transport.Envelope{Kind: ceremony.KindHeartbeat, Body: planted}) == nil &&
			found(eyes.Scan("wire", c.Wire.Bytes()))
	})
	for place, b := range places() {
		if !found(eyes.Scan(place, b)) {
			t.Errorf("%s: the planted secret is not found", place)
		}
	}
	if !found(dirs(eyes)) {
		t.Error("data directories: the planted secret is not found in the audit log")
	}
	// Badger encrypts: what is stored through it is in no file in the clear.
	other := make([]byte, 32)
	_, _ = rand.Read(other)
	if err := n.Node.Store().Batch(t.Context(), []vault.Pair{{Key: []byte("node/label/x"), Value: other}}, nil); err != nil {
		t.Fatal(err)
	}
	plantStored(t, n, memory[0].Bytes, scanner, forgotten, kept)
	n.Halt()
	if f := dirs(sim.NewScanner(sim.Secret{Name: "stored", Bytes: other})); found(f) {
		t.Errorf("the store does not encrypt: %v", f)
	}
	for _, f := range dirs(scanner) {
		t.Errorf("leak, after the nodes halted: %s", f)
	}
	t.Logf("%d secrets in %d forms, proven %s", len(secrets), scanner.Len(), proven)
}

// proofs counts secrets that the test knows for sure, because their public halves are public.
type proofs struct{ nonces, ecdsa, dealt, presignatures, choices int }

func (p proofs) String() string {
	return fmt.Sprintf("%d FROST nonces, %d ECDSA nonces, %d dealt scalars, %d presignatures, %d choices of base transfers",
		p.nonces, p.ecdsa, p.dealt, p.presignatures, p.choices)
}

// drawn lists what a node drew for nonces, oblivious transfers and key generation, and the Ed25519 and secp256k1 scalars it made of
// them. It proves a nonce by its commitment, a dealt scalar by its commitment or encryption key, choices by the delta in the vault.
func drawn(n *sim.Node, shares [][]byte, deltas map[string]bool, wire []byte, proven *proofs) (out []sim.Secret) {
	add := func(what string, b []byte) {
		out = append(out, sim.Secret{Name: fmt.Sprintf("%s of %s", what, n.ID), Bytes: b})
	}
	onWire := func(b []byte) bool { return bytes.Contains(wire, b) }
	secp := func(wide []byte) (scalar, public []byte) {
		x := new(big.Int).Mod(new(big.Int).SetBytes(wide), secp256k1.Params().N)
		scalar = x.FillBytes(make([]byte, 32))
		return scalar, secp256k1.PrivKeyFromBytes(scalar).PubKey().SerializeCompressed()
	}
	for _, d := range n.Rand.Draws() {
		switch {
		case d.Nonce:
			add("randomness of a nonce", d.Bytes)
			for _, share := range shares {
				// nonce_generate of RFC 9591 §4.1 with H3 of §6.1.
				h := sha512.Sum512(slices.Concat([]byte("FROST-ED25519-SHA512-v1nonce"), d.Bytes, share))
				s, _ := edwards25519.NewScalar().SetUniformBytes(h[:])
				if onWire(edwards25519.NewIdentityPoint().ScalarBaseMult(s).Bytes()) {
					add("nonce", s.Bytes())
					proven.nonces++
				}
			}
		case d.ECDSA: // r_i, and φ_i, which has no public half
			add("randomness of a presignature", d.Bytes)
			scalar, public := secp(d.Bytes)
			add("ECDSA nonce or mask", scalar)
			if onWire(public) {
				proven.ecdsa++
			}
		case d.OT:
			add("randomness of oblivious transfers", d.Bytes)
			if deltas[string(deltaOf(d.Bytes))] {
				proven.choices++
			}
		case d.Deal:
			add("randomness of a deal", d.Bytes)
			s, _ := edwards25519.NewScalar().SetUniformBytes(d.Bytes)
			if onWire(edwards25519.NewIdentityPoint().ScalarBaseMult(s).Bytes()) {
				add("dealt Ed25519 scalar", s.Bytes())
				proven.dealt++
			}
			if scalar, public := secp(d.Bytes); onWire(public) {
				add("dealt secp256k1 scalar", scalar)
				proven.dealt++
			}
		}
	}
	return out
}

// exercise signs one by one and in batches on every node, and asks for what is refused.
func exercise(t *testing.T, c *sim.Cluster, wallets []*appliance.Wallet) {
	t.Helper()
	ed, ec := wallets[0], wallets[2]
	digest := bytes.Repeat([]byte{7}, 32)
	for _, n := range c.Nodes {
		for _, w := range wallets {
			if _, err := n.Node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest}); err != nil {
				t.Fatal(err)
			}
		}
		for _, bad := range []appliance.SignRequest{{WalletID: "w_none", Message: digest}, {WalletID: wallets[1].ID, Message: digest[:31]},
			{WalletID: ec.ID, Message: digest[:31]}, {WalletID: ed.ID}, {WalletID: ed.ID, Message: digest, Signers: []transport.NodeID{n.ID}}} {
			if _, err := n.Node.Sign(t.Context(), bad); err == nil {
				t.Fatalf("a wrong request is answered: %+v", bad)
			}
		}
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := c.Nodes[i%3].Node.Sign(t.Context(), appliance.SignRequest{WalletID: ed.ID, Message: []byte{1, byte(i)}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// abort makes ceremonies of signing and key generation fail after secrets were drawn: the third node answers with garbage. It
// leaves that node halted.
func abort(t *testing.T, c *sim.Cluster, wallets ...*appliance.Wallet) {
	t.Helper()
	c.Nodes[2].Halt()
	conn, leave := c.Nodes[2].Join()
	stop := speak(t, conn, func(e transport.Envelope) {
		if e.Kind == ceremony.KindProposal {
			_ = conn.Send(t.Context(), transport.Envelope{To: []transport.NodeID{"node1", "node2"}, Kind: ceremony.KindEngine, Topic: e.Topic,
				Body: []byte("garbage")})
		}
	})
	sim.Wait(t, "the rogue is seen", func() bool { return c.Nodes[0].Node.Nodes()[2].Live && c.Nodes[1].Node.Nodes()[2].Live })
	before := c.Nodes[0].Node.Counts().Aborts
	for _, w := range wallets {
		digest, names := bytes.Repeat([]byte{8}, 32), []transport.NodeID{"node1", "node3"}
		if _, err := c.Nodes[0].Node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: digest, Signers: names}); err == nil {
			t.Fatal("signed with garbage")
		}
	}
	if _, err := c.Nodes[1].Node.Keygen(t.Context(), appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3}); err == nil {
		t.Fatal("made a key with garbage")
	}
	if c.Nodes[0].Node.Counts().Aborts == before {
		t.Error("no ceremony was aborted")
	}
	stop()
	leave()
}

// Goal: the program leaks no more than its parts: the same for processes, their output and /metrics as it is served. Method: make,
// refresh and sign over HTTPS until presignatures are ready, end the processes, open their directories, scan; and find the PINs,
// and a wallet's name, which is everywhere. What processes draw is out of reach: of their presignatures the test knows the nonces of
// the signatures made of them, and that nothing is sealed but identity, shares and pair state.
func TestRealProcessLeakScan(t *testing.T) {
	c := sim.NewProcesses(t, 3, 2)
	c.Start()
	cl := c.Client(9)
	wallets, ec := []string{}, ""
	signed := map[string][]byte{} // by the ECDSA key, digest: signature
	for _, key := range [][2]string{{"ed25519", "frost"}, {"secp256k1", "frost"}, {"secp256k1", "dkls23"}} {
		w, err := cl.Keygen(t.Context(), &client.KeygenRequest{Curve: key[0], Protocol: key[1], Threshold: 2, Total: 3})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cl.Refresh(t.Context(), &client.RefreshRequest{WalletID: w.WalletID}); err != nil {
			t.Fatal(err)
		}
		for _, p := range c.Nodes {
			digest := digestOf(p.ID)
			sig, err := p.Client().Sign(t.Context(), &client.SignRequest{WalletID: w.WalletID, MessageHash: digest})
			if err != nil {
				t.Fatal(err)
			}
			if w.Protocol == "dkls23" {
				ec, signed[string(digest)] = w.WalletID, sig.Signature
			}
			if _, err := p.Client().Sign(t.Context(), &client.SignRequest{WalletID: w.WalletID, Signers: []string{p.ID},
				MessageHash: digest}); err == nil {
				t.Fatal("one node signed")
			}
		}
		wallets = append(wallets, w.WalletID)
	}
	signFromPool(t, c, ec, signed)
	places := map[string][]byte{}
	for _, p := range c.Nodes {
		for _, path := range []string{"/metrics", "/api/v1/audit?page_size=1000", "/api/v1/wallets", "/api/v1/nodes", "/readyz"} {
			b, err := p.Get(t.Context(), path)
			if err != nil || len(b) == 0 {
				t.Fatalf("%s: no %s: %v", p.ID, path, err)
			}
			places[p.ID+path] = b
		}
	}
	for _, p := range c.Nodes {
		p.Stop()
		places["log of "+p.ID] = p.Log.Bytes()
	}
	secrets, never := processSecrets(t, c, wallets, ec, signed)
	kept := sim.NewScanner(secrets...)
	scanner := sim.NewScanner(append(secrets, never...)...)
	for place, b := range places {
		for _, f := range scanner.Scan(place, b) {
			t.Errorf("leak: %s", f)
		}
	}
	for _, p := range c.Nodes {
		o := p.Open()
		wrong := scanStored(t, p.ID, o.Store, o.Vault, scanner, sim.NewScanner(never...), kept)
		o.Close()
		for _, w := range wrong {
			t.Error(w)
		}
	}
	pinFile := string(os.PathSeparator) + filepath.Join("hsm", "pin")
	finds, files, size, err := scanner.ScanDir(c.Dir, func(path string) bool { return strings.HasSuffix(path, pinFile) })
	if err != nil || files < 40 || size < 1<<16 {
		t.Fatalf("%d files, %d bytes: %v", files, size, err)
	}
	for _, f := range finds {
		t.Errorf("leak: %s", f)
	}
	if finds, _, _, err := scanner.ScanDir(c.Dir, nil); err != nil || len(finds) == 0 {
		t.Errorf("the scan does not find the PINs where they are: %v", err)
	}
	word := sim.NewScanner(sim.Secret{Name: "a wallet's name", Bytes: []byte(wallets[0])})
	for _, place := range []string{"node1/api/v1/wallets", "node1/api/v1/audit?page_size=1000"} {
		if len(word.Scan(place, places[place])) == 0 {
			t.Errorf("%s: the scan does not find what is there", place)
		}
	}
}
