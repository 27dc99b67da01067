package host_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: who verifies a log, or a proof, is told who has cosigned its checkpoint by ML-DSA-44, and may demand so many; a cosignature that
// does not hold counts for nobody. Method: a log of node1's that node2 has cosigned by both keys and node3 by Ed25519 alone, and its proof;
// then with a letter of node2's changed.
func TestMLDSAIsDemanded(t *testing.T) {
	r := attest.Roster{Version: attest.RosterVersion, Cluster: "c", Serial: 1}
	ids, keys := map[string]transport.Identity{}, map[string]*ecdsa.PrivateKey{}
	for i, id := range []string{"node1", "node2", "node3"} {
		identity, peer, err := transport.NewIdentity(transport.NodeID(id), rand.Reader)
		key, kerr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		der, derr := attest.MarshalPublicKey(&key.PublicKey)
		if err := errors.Join(err, kerr, derr); err != nil {
			t.Fatal(err)
		}
		ids[id], keys[id] = identity, key
		r.Nodes = append(r.Nodes, attest.RosterNode{ID: id, Party: threshold.PartyID(i + 1), Identity: attest.Hex(peer.Identity), Seal: peer.HPKE,
			CosignKey: der, AttestKey: der, WitnessKey: peer.WitnessKey})
	}
	_, root, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	roster, err := r.Sign(root)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	log, err := audit.Open(path, "node1", time.Now)
	if err == nil {
		err = log.Append(t.Context(), audit.Event{Name: "a"}, audit.Event{Name: "b"})
	}
	v, verr := audit.NewVerifier("c", "node1", &keys["node1"].PublicKey)
	if err := errors.Join(err, verr); err != nil {
		t.Fatal(err)
	}
	bare, err := audit.SignHead(log.Head(), v, func(m []byte) ([]byte, error) {
		sum := sha256.Sum256(m)
		r, s, err := ecdsa.Sign(rand.Reader, keys["node1"], sum[:])
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), err
	})
	if err == nil {
		err = log.KeepCheckpoint(bare)
	}
	for _, m := range r.Nodes[1:] {
		w, werr := audit.NewWitness("c", m.ID, ed25519.PublicKey(m.Identity), m.WitnessKey)
		if m.ID == "node3" {
			w.MLDSA = nil
		}
		b, cerr := audit.Cosign(bare, v, w, time.Unix(1, 0), ids[m.ID].Sign, ids[m.ID].SignWitness)
		err = errors.Join(err, werr, cerr, log.AddCosignatures(b, v, w))
	}
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	task := host.AuditTask{Roster: roster, Config: host.Config{Node: "node1"}, File: path, Out: &out, Entry: 1}
	if _, err := task.Prove(); err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(t.TempDir(), "proof")
	if err := os.WriteFile(proof, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	demand := func(file, proof string, n int, want string) {
		t.Helper()
		task.File, task.Proof, task.MLDSA = file, proof, n
		r, err := task.Verify()
		var f *fault.Error
		if (err == nil) != (want == "") ||
			err != nil && (!errors.As(err, &f) || f.Code != fault.CodeIntegrity || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s%s, %d: %v", file, proof, n, err)
		}
		if err == nil && proof == "" {
			if b, _ := json.Marshal(r.Value); !strings.Contains(string(b), `"witnessed_by_mldsa":["node2"]`) ||
				!strings.Contains(fmt.Sprint(r.Rows), "[by ML-DSA-44 node2]") {
				t.Errorf("%s, %v", b, r.Rows)
			}
		}
	}
	demand(path, "", 1, "")
	demand(path, "", 2, "the log holds, and 1 other nodes have cosigned its checkpoint by ML-DSA-44, wanted are 2")
	demand("", proof, 1, "")
	demand("", proof, 2, "the proof holds, and 1 other nodes have cosigned")

	checkpoint := filepath.Join(filepath.Dir(path), "audit.checkpoint")
	for _, file := range []string{checkpoint, proof} {
		b, err := os.ReadFile(file)
		at := strings.LastIndex(string(b), "node2/witness ") + 2000 // within the line of ML-DSA-44
		b[at] = map[bool]byte{true: 'B', false: 'A'}[b[at] == 'A']
		if err := errors.Join(err, os.WriteFile(file, b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	demand("", proof, 0, "a cosignature of the proof's checkpoint does not hold")
	demand(path, "", 1, "the log holds, and 0 other nodes have cosigned")
	task.MLDSA = 0
	if r, err := task.Verify(); err != nil || !strings.Contains(warned(t, r), "who has witnessed it is not known") {
		t.Errorf("%v, %v", r, err)
	}
}
