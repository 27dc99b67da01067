package appliance

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/policy"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/canon/canontest"
	"github.com/luxfi/mpcd/threshold"
)

// Goal: no bytes make a decoder panic, and what it accepts it accepts in one encoding only: every form that a stranger's envelope, or
// a damaged store, can hand to this package. Method: fuzz every form.
func FuzzDecoders(f *testing.F) {
	canontest.Fuzz(f,
		proposal{Version: 1, Operation: opSign, Signers: []threshold.PartyID{1, 2}, Intents: [][]byte{{1}}, Cosign: []byte{2}},
		refusal{Code: problem.Denied, Message: "no", Epoch: 1}, proofOf{To: []transport.NodeID{"a"}, Proof: []byte{1}},
		sharesBody{Batch: []byte{1}}, certificate{Party: 1, Cose: []byte{1}}, []certificate{{Party: 1, Cose: []byte{1}}},
		proofs{KeyID: "w_", Epoch: 1, Each: []proof{{Signers: []threshold.PartyID{1}, Signature: []byte{1}}}}, ask{KeyID: "w_", Epoch: 1},
		answer{KeyID: "w_", Epoch: 1, Certs: []certificate{{Party: 1}}, Proofs: &proofs{}}, heartbeat{"1", true, bootID{1}},
		walletRecord{Version: 1, State: StateActive}, keyAnswer{ID: "w_"},
	)
}

// Goal: no sequence of envelopes makes the router panic or hold more than its limits. Method: fuzz kinds, topics and senders.
func FuzzRouter(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 1, 0, 2, 1, 0, 3, 2, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		now := time.Unix(0, 0)
		r := newRouter(func() time.Time { return now }, func(transport.Envelope) {})
		for len(script) >= 3 {
			op, topic, from := script[0], [32]byte{script[1]}, transport.NodeID(string('a'+rune(script[2]%4)))
			script = script[3:]
			switch op % 4 {
			case 0:
				r.join(topic, 3)
			case 1:
				r.leave(topic, nil)
			default:
				r.deliver(transport.Envelope{From: from, Kind: op, Topic: topic})
			}
			now = now.Add(time.Duration(op) * time.Millisecond)
		}
		held := 0
		for _, e := range r.early {
			held += len(e.envelopes)
		}
		if held != r.nEarly || held > earlyMax {
			t.Errorf("%d early envelopes, counted %d", held, r.nEarly)
		}
	})
}

// Goal: a damaged wallet record is refused with its code. Method: flip every byte of one.
func TestDamagedWallet(t *testing.T) {
	r := walletRecord{Version: walletRecordVersion, State: StateActive}
	r.Info.Scheme, r.Info.GroupKey = threshold.FrostEd25519, make([]byte, 32)
	_, _ = rand.Read(r.Info.GroupKey)
	b := canon.MustMarshal(r)
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if got, err := decodeWallet("w_another", bad); err == nil {
			t.Errorf("byte %d: %+v", i, got)
		} else if problem.As(err).Code != problem.Integrity {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

// Goal: a policy that fails denies. Method: one that always fails.
func TestPolicyFailsClosed(t *testing.T) {
	n := &Node{Config: Config{Policy: failingPolicy{}}}
	if _, err := n.allow(context.Background(), nil, threshold.Committee{}); problem.As(err).Code != problem.Denied {
		t.Errorf("a failing policy gave %v", err)
	}
}

type failingPolicy struct{}

func (failingPolicy) Judge(context.Context, *attest.Intent, threshold.Committee) (policy.Verdict, error) {
	return policy.Verdict{Allow: true}, errors.New("the policy is broken")
}
