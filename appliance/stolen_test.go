package appliance_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"filippo.io/edwards25519"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: Must show 6. Who has one node's data directory, its token and its PIN has one share, and one share signs nothing: not by
// the engine, not by hand, not with t-1 of them, and no other node helps without the hardware's word. Method: steal a node of a
// 3-of-4 cluster and try; each attempt has a control that shows it would work with what it lacks.
func TestRealStolenNode(t *testing.T) {
	c := sim.New(t, sim.Config{Nodes: 4})
	ed, tap := c.Keygen("ed25519", 3, 4), c.Keygen("secp256k1", 3, 4)
	var shares [4]*threshold.KeyShare
	for i, n := range c.Nodes {
		shares[i] = n.Share(ed.ID)
	}
	thief := c.Nodes[1]
	thief.Halt()
	// The thief opens a copy of the directory with the token: he has the share.
	loot := &sim.Node{}
	*loot = *thief
	loot.Dir = sim.CopyDir(t, thief.Dir)
	v := loot.Open()
	defer loot.Shut()
	stolen, err := sim.OpenShare(v, ed.ID)
	if err != nil {
		t.Fatal(err)
	}
	stolenTap, err := sim.OpenShare(v, tap.ID)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("all to the thief")

	t.Run("engine", func(t *testing.T) {
		for _, share := range []*threshold.KeyShare{stolen, stolenTap} {
			scheme, err := schemes.For(threshold.KindOf(share.Kind).Curve, "frost")
			if err != nil {
				t.Fatal(err)
			}
			presign := func(signers []threshold.PartyID, threshold1 int) error {
				info := share.KeyInfo
				info.Committee.Threshold = threshold1
				_, err := scheme.Presign(threshold.Setup{Committee: info.Committee, Signers: signers, Self: 2},
					[]threshold.PresignKey{{Info: info, Share: share}}, rand.Reader)
				return err
			}
			if err := presign([]threshold.PartyID{1, 2, 3}, 3); err != nil {
				t.Errorf("control: %v", err)
			}
			for _, signers := range [][]threshold.PartyID{{2}, {1, 2}, {2, 2, 2}} {
				if presign(signers, 3) == nil {
					t.Errorf("%s presigns for %v", share.Kind, signers)
				}
				if presign(signers, len(signers)) == nil {
					t.Errorf("%s presigns for %v with the threshold rewritten", share.Kind, signers)
				}
			}
		}
	})

	t.Run("by hand", func(t *testing.T) {
		// Ed25519 with the share as if it were the key, λ = 1.
		forged := schnorrByHand(t, stolen.Secret(), ed.PublicKey, message)
		if ed25519.Verify(ed.PublicKey, message, forged) {
			t.Fatal("one share signs")
		}
		own := stolen.PublicShare(2)
		if !ed25519.Verify(own, message, schnorrByHand(t, stolen.Secret(), own, message)) {
			t.Error("control: the share does not sign for its own public share")
		}
		// λ of the stolen party in every quorum it could claim.
		for _, q := range [][]threshold.PartyID{{1, 2, 3}, {1, 2, 4}, {2, 3, 4}, {2}, {1, 2}} {
			x := scale(t, stolen.Secret(), lambda(2, q))
			if ed25519.Verify(ed.PublicKey, message, schnorrByHand(t, x, ed.PublicKey, message)) {
				t.Errorf("one share signs as the whole of %v", q)
			}
		}
		digest := sha512.Sum512_256(message)
		key, pub := btcec.PrivKeyFromBytes(stolenTap.Secret())
		sig, err := schnorr.Sign(key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		group, err := schnorr.ParsePubKey(tap.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if sig.Verify(digest[:], group) {
			t.Fatal("one Taproot share signs")
		}
		if !sig.Verify(digest[:], pub) {
			t.Error("control: the share does not sign for its own public share")
		}
	})

	t.Run("t-1 shares", func(t *testing.T) {
		key := func(parties ...threshold.PartyID) []byte {
			sum := edwards25519.NewScalar()
			for _, p := range parties {
				s, err := edwards25519.NewScalar().SetCanonicalBytes(scale(t, shares[p-1].Secret(), lambda(p, parties)))
				if err != nil {
					t.Fatal(err)
				}
				sum.Add(sum, s)
			}
			return edwards25519.NewIdentityPoint().ScalarBaseMult(sum).Bytes()
		}
		if !bytes.Equal(key(1, 2, 3), ed.PublicKey) || !bytes.Equal(key(2, 3, 4), ed.PublicKey) {
			t.Error("control: three shares are not the key")
		}
		for _, two := range [][]threshold.PartyID{{1, 2}, {1, 3}, {1, 4}, {2, 3}, {2, 4}, {3, 4}} {
			if bytes.Equal(key(two...), ed.PublicKey) {
				t.Errorf("the shares of %v are the key", two)
			}
		}
	})

	t.Run("without the hardware's word", func(t *testing.T) {
		conn, leave := thief.Join()
		defer leave()
		answers := make(chan transport.Envelope, 4096)
		var runs sync.Map // of the others, by name: from their heartbeats
		stop := speak(t, conn, func(e transport.Envelope) {
			var h heartbeat
			if e.Kind != ceremony.KindHeartbeat {
				answers <- e
			} else if canon.Unmarshal(e.Body, &h) == nil {
				runs.Store(e.From, h.Boot)
			}
		})
		defer stop()
		run := func(id transport.NodeID) (boot [16]byte) {
			if b, ok := runs.Load(id); ok {
				boot = b.([16]byte)
			}
			return boot
		}
		sim.Wait(t, "the thief hears and is seen", func() bool {
			return c.Nodes[0].Node.Nodes()[1].Live && c.Nodes[2].Node.Nodes()[1].Live && run("node1") != [16]byte{} && run("node3") != [16]byte{}
		})
		software, unasked := softToken(t, sim.CosignKey), "the hardware's word, on what nobody asked for"
		for _, row := range []struct {
			name   string
			token  hsm.Token
			key    string
			kind   attest.Kind
			leaf   func([32]byte) []byte
			age    time.Duration
			answer uint8
		}{
			{"a key in software", software, sim.CosignKey, attest.KindCosign, nil, 0, ceremony.KindRefusal},
			{"the attestation key", thief.Token, sim.AttestKey, attest.KindCosign, nil, 0, ceremony.KindRefusal},
			{"an attestation of another kind", thief.Token, sim.CosignKey, attest.KindShare, nil, 0, ceremony.KindRefusal},
			{"a cosignature of another intent", thief.Token, sim.CosignKey, attest.KindCosign, func([32]byte) []byte { return make([]byte, 32) }, 0,
				ceremony.KindRefusal},
			{"an old cosignature", thief.Token, sim.CosignKey, attest.KindCosign, nil, 3 * time.Minute, ceremony.KindRefusal},
			{unasked, thief.Token, sim.CosignKey, attest.KindCosign, nil, 0, ceremony.KindRefusal},
			{"control: the hardware's word, and an initiator's", thief.Token, sim.CosignKey, attest.KindCosign, nil, 0, ceremony.KindEngine},
		} {
			t.Run(row.name, func(t *testing.T) {
				created := time.Now()
				in := attest.Intent{Version: attest.IntentVersion, Cluster: sim.ClusterName, Operation: attest.OpSign, RequestID: row.name,
					KeyID: ed.ID, Scheme: threshold.FrostEd25519, Epoch: 1, Message: message, Signers: []threshold.PartyID{1, 2, 3},
					Requester: "thief", Node: "node2", Created: created.UnixMilli()}
				if row.name != unasked {
					c.Initiate(&in)
				}
				h := in.Hash()
				leaf := h[:]
				if row.leaf != nil {
					leaf = row.leaf(h)
				}
				b, err := attest.Attest(t.Context(), row.token, attest.Key{ID: row.key, Public: publicKey(t, row.token, row.key)},
					attest.Header{Kind: row.kind, Cluster: sim.ClusterName, Node: "node2", Time: created.Add(-row.age).UnixMilli()}, [][]byte{leaf})
				if err != nil {
					t.Fatal(err)
				}
				body := canon.MustMarshal(proposal{Version: 1, Operation: "sign", Signers: in.Signers, Intents: [][]byte{in.Bytes()}, Cosign: b.Cose,
					Boots: [][16]byte{run("node1"), {1}, run("node3")}})
				topic := canon.Hash("mpcd/v1/proposal", body)
				if err := conn.Send(t.Context(), transport.Envelope{To: []transport.NodeID{"node1", "node3"}, Kind: ceremony.KindProposal, Topic: topic,
					Body: body}); err != nil {
					t.Fatal(err)
				}
				for got := map[transport.NodeID]bool{}; len(got) < 2; {
					select {
					case e := <-answers:
						if e.Topic != topic {
							continue
						}
						if e.Kind != row.answer {
							t.Fatalf("%s answers with kind %d, want %d", e.From, e.Kind, row.answer)
						}
						got[e.From] = true
					case <-t.Context().Done():
						t.Fatal("no answer")
					case <-time.After(20 * time.Second):
						t.Fatal("no answer in time")
					}
				}
			})
		}
	})
}

// Goal: Must show 6, the other half: without its token the directory opens nothing. Method: the directory with another token that
// has keys of the same names, with a token in which the key is gone, and with the key of the store but not the token; then look
// for the share in every file.
func TestRealStolenDirectory(t *testing.T) {
	c := sim.New(t, sim.Config{Nodes: 2})
	w := c.Keygen("ed25519", 2, 2)
	n, other := c.Nodes[0], c.Nodes[1]
	share := n.Share(w.ID)
	known := bytes.Clone(share.Secret())
	share.Destroy()
	n.Halt()
	dir := sim.CopyDir(t, n.Dir)
	open := func(token vault.Config, key []byte) error {
		k := secret.From(bytes.Clone(key))
		defer k.Wipe()
		store, err := badgerstore.Open(badgerstore.Config{Dir: sim.CopyDir(t, dir) + "/store", Key: k})
		if err != nil {
			return err
		}
		defer store.Close()
		token.Store, token.KEK, token.Node, token.Existing = store, sim.VaultKey, string(n.ID), true
		v, err := vault.Open(t.Context(), token)
		if err != nil {
			return err
		}
		defer v.Close()
		_, _, err = v.Load(t.Context(), w.ID)
		return err
	}
	if err := open(vault.Config{Wrapper: n.Token.(hsm.KeyWrapper)}, n.Key); err != nil {
		t.Fatalf("control: %v", err)
	}
	if err := open(vault.Config{Wrapper: other.Token.(hsm.KeyWrapper)}, n.Key); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("another token with the same keys: %v, want ErrWrongKEK", err)
	}
	if err := open(vault.Config{Wrapper: vaulttest.NewWrapper("elsewhere")}, n.Key); err == nil {
		t.Error("opened without the key")
	}
	if err := open(vault.Config{Wrapper: n.Token.(hsm.KeyWrapper)}, other.Key); !errors.Is(err, badgerstore.ErrWrongKey) {
		t.Errorf("another store key: %v, want ErrWrongKey", err)
	}
	scanner := sim.NewScanner(sim.Secret{Name: "share", Bytes: known})
	if finds, files, _, err := scanner.ScanDir(dir, nil); err != nil || files < 6 || len(finds) > 0 {
		t.Errorf("%d files, %v, %v", files, finds, err)
	}
}

// schnorrByHand is RFC 8032 with a scalar for the key: R = k·B, S = k + H(R, A, M)·x.
func schnorrByHand(t *testing.T, x, pub, message []byte) []byte {
	t.Helper()
	s, err := edwards25519.NewScalar().SetCanonicalBytes(x)
	if err != nil {
		t.Fatal(err)
	}
	var wide [64]byte
	_, _ = rand.Read(wide[:])
	k, _ := edwards25519.NewScalar().SetUniformBytes(wide[:])
	r := edwards25519.NewIdentityPoint().ScalarBaseMult(k).Bytes()
	h := sha512.Sum512(slices.Concat(r, pub, message))
	c, _ := edwards25519.NewScalar().SetUniformBytes(h[:])
	return append(r, edwards25519.NewScalar().MultiplyAdd(c, s, k).Bytes()...)
}

// lambda is the Lagrange coefficient of p in the quorum q at 0, mod the order of Ed25519's group.
func lambda(p threshold.PartyID, q []threshold.PartyID) *edwards25519.Scalar {
	num, den := number(1), number(1)
	for _, j := range q {
		if j != p {
			num.Multiply(num, number(j))
			den.Multiply(den, edwards25519.NewScalar().Subtract(number(j), number(p)))
		}
	}
	return num.Multiply(num, den.Invert(den))
}

func number(p threshold.PartyID) *edwards25519.Scalar {
	var b [32]byte
	b[0], b[1] = byte(p), byte(p>>8)
	s, _ := edwards25519.NewScalar().SetCanonicalBytes(b[:])
	return s
}

func scale(t *testing.T, x []byte, by *edwards25519.Scalar) []byte {
	t.Helper()
	s, err := edwards25519.NewScalar().SetCanonicalBytes(x)
	if err != nil {
		t.Fatal(err)
	}
	return s.Multiply(s, by).Bytes()
}

// publicKey is what a token tells of one of its keys.
func publicKey(t *testing.T, token hsm.Token, id string) crypto.PublicKey {
	t.Helper()
	pub, err := token.(hsm.PublicKeyer).PublicKey(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// softToken is a token without hardware, with a P-256 key.
func softToken(t *testing.T, key string) hsm.Token {
	t.Helper()
	u, err := hsm.ParseURI("local:" + filepath.Join(t.TempDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	token, err := local.Open(t.Context(), u, hsm.Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	if err := token.(hsm.KeyGenerator).GenerateKey(t.Context(), key, hsm.KeyP256); err != nil {
		t.Fatal(err)
	}
	return token
}
