package appliance_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/sync/errgroup"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: Must show 5. Any node may die at any moment: the cluster signs on, the node rejoins and signs, nothing that was
// acknowledged is lost or wrong, no session and no nonce is used twice, and every audit log holds. Method: processes under
// continuous load over HTTPS; SIGKILL by a seeded plan, some in the middle of key generation and refresh, coordinators among
// them; then everything that was acknowledged is fetched and checked with code of others.
func TestRealKill(t *testing.T) {
	killFor, err := time.ParseDuration(cmp.Or(os.Getenv("MPCD_KILL_FOR"), "0s")) // longer by `make faults`
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		nodes, threshold, kills int
		seed                    uint64
	}{{3, 2, 12, 1}, {5, 3, 3, 2}} {
		t.Run(fmt.Sprintf("%d-of-%d", row.threshold, row.nodes), func(t *testing.T) {
			k := &killing{t: t, c: sim.NewProcesses(t, row.nodes, row.threshold), threshold: row.threshold,
				rand: rand.New(rand.NewPCG(row.seed, 0)), atLeast: killFor}
			for _, p := range k.c.Nodes {
				p.Env = []string{"MPCD_LIMITS_SILENCE=600ms", "MPCD_LIMITS_REQUEST=8s"}
			}
			k.c.Start()
			k.run(row.kills)
		})
	}
}

// killing is one run of the test.
type killing struct {
	t         *testing.T
	c         *sim.Processes
	threshold int
	rand      *rand.Rand
	atLeast   time.Duration // how long nodes are killed

	mu      sync.Mutex
	wallets []*client.Wallet // acknowledged
	signed  []signedAnswer
	acks    atomic.Int64
	keys    atomic.Int64 // key ceremonies that were acknowledged
	failed  atomic.Int64 // key ceremonies that were not
}

type signedAnswer struct {
	wallet  *client.Wallet
	message []byte
	answer  *client.Signature
	by      int // the node that was asked first
}

func (k *killing) run(kills int) {
	t := k.t
	for _, kind := range kinds {
		if err := k.keygen(0, kind); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for i := range k.c.Nodes {
		load.Go(func() { k.load(ctx, i) })
	}
	end := time.Now().Add(k.atLeast)
	for i := 0; i < kills || time.Now().Before(end) || k.failed.Load() == 0 && i < 4*kills; i++ { // until a key ceremony was cut off, too
		k.kill(i)
	}
	sim.Wait(t, "50 signatures", func() bool { return k.acks.Load() >= 50 })
	stop()
	load.Wait()
	k.c.WaitReady()
	k.judge()
	t.Logf("%d planned kills, %d signatures, %d wallets, key ceremonies: %d acknowledged, %d cut off", kills, len(k.signed), len(k.wallets),
		k.keys.Load(), k.failed.Load())
}

// client asks the i-th node first and then the others.
func (k *killing) client(i int) *client.Client {
	nodes := append(append([]*sim.Process(nil), k.c.Nodes[i:]...), k.c.Nodes[:i]...)
	return k.c.Client(8*len(nodes), nodes...)
}

// kinds are the keys that sign and are refreshed, curve and protocol; the first two are also made while nodes die.
var kinds = [][2]string{{"ed25519", "frost"}, {"secp256k1", "frost"}, {"secp256k1", "dkls23"}}

func (k *killing) keygen(on int, kind [2]string) error {
	w, err := k.c.Nodes[on].Client().Keygen(k.t.Context(), &client.KeygenRequest{Curve: kind[0], Protocol: kind[1], Threshold: k.threshold,
		Total: len(k.c.Nodes)})
	if err != nil {
		k.failed.Add(1)
		return err
	}
	k.keys.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wallets = append(k.wallets, w)
	return nil
}

func (k *killing) refresh(on int, wallet string) error {
	_, err := k.c.Nodes[on].Client().Refresh(k.t.Context(), &client.RefreshRequest{WalletID: wallet})
	if err != nil {
		k.failed.Add(1)
		return err
	}
	k.keys.Add(1)
	return nil
}

// load signs with hardly a pause until ctx ends, by the i-th node first. A request is repeated, with its session_id, until it is
// answered: none may be refused for good.
func (k *killing) load(ctx context.Context, i int) {
	cl := k.client(i)
	for n := 0; ctx.Err() == nil; n++ {
		k.mu.Lock()
		w := k.wallets[n%len(k.wallets)]
		k.mu.Unlock()
		digest := sha256.Sum256(fmt.Appendf(nil, "pay %d of %d", n, i))
		s, err := cl.Sign(k.t.Context(), &client.SignRequest{SessionID: fmt.Sprintf("load-%d-%d", i, n), WalletID: w.WalletID,
			MessageHash: digest[:]})
		if err != nil {
			k.t.Errorf("a request was never answered: %v", err)
			return
		}
		k.acks.Add(1)
		time.Sleep(5 * time.Millisecond) // the other tests of this machine want to run too
		k.mu.Lock()
		k.signed = append(k.signed, signedAnswer{w, digest[:], s, i})
		k.mu.Unlock()
	}
}

// kill kills one node, at a moment of the plan, and brings it back.
func (k *killing) kill(i int) {
	victim := k.rand.IntN(len(k.c.Nodes))
	p := k.c.Nodes[victim]
	moment := time.Duration(k.rand.IntN(100)) * time.Millisecond
	var ceremony sync.WaitGroup
	k.mu.Lock()
	wallet := k.wallets[k.rand.IntN(len(k.wallets))].WalletID
	k.mu.Unlock()
	coordinator := victim // every other time the victim leads the ceremony in which it dies
	if i%2 == 0 {
		coordinator = (victim + 1) % len(k.c.Nodes)
	}
	switch i % 3 {
	case 0: // under load alone, after some signatures: every node leads some of it
		want := k.acks.Load() + int64(k.rand.IntN(8))
		sim.Wait(k.t, "signatures", func() bool { return k.acks.Load() >= want })
	case 1:
		ceremony.Go(func() { _ = k.keygen(coordinator, kinds[k.rand.IntN(2)]) })
		time.Sleep(moment)
	case 2:
		ceremony.Go(func() { _ = k.refresh(coordinator, wallet) })
		time.Sleep(moment)
	}
	before := k.acks.Load()
	p.Kill()
	sim.Wait(k.t, "a signature without "+p.ID, func() bool { return k.acks.Load() > before+1 })
	ceremony.Wait()
	p.Start()
	k.c.WaitReady()
	k.nobodyAccused()
	digest := sha256.Sum256(fmt.Appendf(nil, "back %d", i))
	if _, err := k.c.Client(5, p).Sign(k.t.Context(),
		&client.SignRequest{WalletID: k.wallets[0].WalletID, MessageHash: digest[:]}); err != nil {
		k.t.Errorf("%s is back and does not sign: %v", p.ID, err)
	}
}

// nobodyAccused checks that no node takes another's death for misbehaviour.
func (k *killing) nobodyAccused() {
	for _, p := range k.c.Nodes {
		nodes, err := p.Client().Nodes(k.t.Context())
		if err != nil {
			k.t.Errorf("%s: %v", p.ID, err)
		}
		for _, n := range nodes {
			if n.Accused {
				k.t.Errorf("%s accuses %s, which was only killed", p.ID, n.ID)
			}
		}
	}
}

// judge checks all that was acknowledged, and the records of all nodes.
func (k *killing) judge() {
	t := k.t
	if k.failed.Load() == 0 || k.keys.Load() < 2 {
		t.Errorf("too little happened: %d signatures, %d key ceremonies, %d cut off", len(k.signed), k.keys.Load(), k.failed.Load())
	}
	for _, w := range k.wallets {
		var epochs map[uint64]int
		sim.Wait(t, "the nodes agree on wallet "+w.WalletID, func() bool {
			epochs = map[uint64]int{}
			for _, p := range k.c.Nodes {
				got, err := p.Client().Wallet(t.Context(), w.WalletID)
				if err != nil {
					t.Fatalf("%s lost wallet %s: %v", p.ID, w.WalletID, err)
				}
				if string(got.PublicKey) != string(w.PublicKey) {
					t.Fatalf("%s: the key of wallet %s has changed", p.ID, w.WalletID)
				}
				if got.State != "active" {
					return false
				}
				epochs[got.Epoch]++
			}
			return len(epochs) == 1
		})
		for i := range k.c.Nodes { // the epoch all agree on signs, from everywhere
			digest := sha256.Sum256([]byte("after all"))
			s, err := k.client(i).Sign(t.Context(), &client.SignRequest{WalletID: w.WalletID, MessageHash: digest[:]})
			if err != nil {
				t.Errorf("wallet %s does not sign: %v", w.WalletID, err)
				continue
			}
			k.signed = append(k.signed, signedAnswer{w, digest[:], s, i})
		}
	}
	rs := map[string]string{}            // R → receipt
	presignatures := map[string]string{} // → receipt
	sessions := map[attest.Hash]string{} // → cosignature of the batch
	receipts := make([]*attest.Receipt, len(k.signed))
	var g errgroup.Group
	g.SetLimit(4)
	for i, s := range k.signed {
		g.Go(func() error {
			if err := verifyOutside(s.wallet, s.message, s.answer.Signature); err != nil {
				t.Errorf("an acknowledged signature: %v", err)
			}
			if receipts[i] = k.receipt(s.answer.ReceiptID, s.by); receipts[i] == nil {
				t.Errorf("receipt %s is lost", s.answer.ReceiptID)
				return nil
			}
			if string(receipts[i].Signature) != string(s.answer.Signature) {
				t.Errorf("receipt %s is of another signature", s.answer.ReceiptID)
			}
			if err := attest.VerifyReceipt(receipts[i], k.c.Roster, schemes.ByID, attest.ReceiptOptions{}); err != nil {
				t.Errorf("receipt %s: %v", s.answer.ReceiptID, err)
			}
			return nil
		})
	}
	_ = g.Wait()
	for _, r := range receipts {
		if r == nil {
			continue
		}
		for what, seen := range map[string]map[string]string{string(r.Signature[:32]): rs, string(r.Presignature[:]): presignatures} {
			if before, twice := seen[what]; twice && before != r.ID {
				t.Errorf("receipts %s and %s used one nonce, %x", before, r.ID, what)
			}
			seen[what] = r.ID
		}
		if r.Key.Kind == threshold.ECDSA.ID { // a session may have filled a pool; each presignature was looked at above
			continue
		}
		batch := string(r.Cosign.Attestation.Cose)
		if before, twice := sessions[r.PresignSession]; twice && before != batch {
			t.Errorf("session %s was used in two ceremonies", r.PresignSession)
		}
		sessions[r.PresignSession] = batch
	}
	for _, p := range k.c.Nodes {
		p.Stop()
		path := p.Dir + "/data/audit.log"
		x, err := audit.Verify(path, nil)
		if err != nil {
			t.Errorf("%s: %v", p.ID, err)
		}
		log, err := audit.Open(path, p.ID, time.Now)
		if err != nil {
			t.Error(err)
			continue
		}
		es, err := log.Entries(0, int(x.Size))
		_ = log.Close()
		if err != nil || len(es) != int(x.Size) {
			t.Errorf("%s: %d entries of %d: %v", p.ID, len(es), x.Size, err)
		}
		shares := map[string]uint64{}
		for _, e := range es {
			if e.Event != "share.sign" && e.Event != "share.prove" {
				continue
			}
			if before, twice := shares[e.Facts["intent"]]; twice {
				t.Errorf("%s signed one intent twice, entries %d and %d: %v", p.ID, before, e.Seq, e.Facts)
			}
			shares[e.Facts["intent"]] = e.Seq
		}
		if len(shares) == 0 {
			t.Errorf("%s: no share is on record", p.ID)
		}
	}
}

// receipt fetches a receipt from the node that has it.
func (k *killing) receipt(id string, first int) *attest.Receipt {
	for i := range k.c.Nodes {
		b, err := k.c.Nodes[(first+i)%len(k.c.Nodes)].Get(k.t.Context(), "/api/v1/receipts/"+id)
		if err != nil || b == nil {
			continue
		}
		r, err := attest.ParseReceipt(b)
		if err != nil {
			k.t.Errorf("receipt %s: %v", id, err)
		}
		return r
	}
	return nil
}

// verifyOutside checks a signature with crypto/ed25519, decred or btcd.
func verifyOutside(w *client.Wallet, message, signature []byte) error {
	if w.Curve == "ed25519" {
		if !ed25519.Verify(ed25519.PublicKey(w.PublicKey), message, signature) {
			return errors.New("crypto/ed25519 refuses it")
		}
		return nil
	}
	if w.Protocol == "dkls23" {
		key, err := secp256k1.ParsePubKey(w.PublicKey)
		if err != nil {
			return err
		}
		var r, s secp256k1.ModNScalar
		if len(signature) != 64 || r.SetByteSlice(signature[:32]) || s.SetByteSlice(signature[32:]) ||
			!ecdsa.NewSignature(&r, &s).Verify(message, key) {
			return errors.New("decred refuses it")
		}
		return nil
	}
	key, err := schnorr.ParsePubKey(w.PublicKey)
	if err != nil {
		return err
	}
	s, err := schnorr.ParseSignature(signature)
	if err != nil {
		return err
	}
	if !s.Verify(message, key) {
		return errors.New("btcd refuses it")
	}
	return nil
}
