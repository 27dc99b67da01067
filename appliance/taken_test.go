package appliance_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/vault"
)

// stands returns what a node has on record of a session.
func (m *member) stands(t *testing.T, op attest.Operation, session string) bool {
	t.Helper()
	_, err := m.state.Get(t.Context(), []byte(operation.Prefix+string(op)+"/"+session))
	if err != nil && !errors.Is(err, vault.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// plant has a node keep a request without an answer.
func (m *member) plant(t *testing.T, op attest.Operation, session, body string) {
	t.Helper()
	put := operation.New(m.state, time.Now).Pending(string(op), session, sha256.Sum256([]byte(body)))
	if err := m.state.Batch(t.Context(), []vault.Pair{put}, nil); err != nil {
		t.Fatal(err)
	}
}

// wantTaken wants the refusal of a session_id that stands for another request, which a node is said to have answered.
func wantTaken(t *testing.T, what string, at transport.NodeID, err error) {
	t.Helper()
	p := problem.As(err)
	if err == nil || p.Code != problem.Conflict || p.Field != "session_id" || p.Next != problem.Taken ||
		at != "" && !strings.Contains(p.Message, "which node "+string(at)+" has answered") {
		t.Errorf("%s: %v; %s", what, err, problem.As(err).Next)
	}
}

// Goal: a request that is refused because its session_id stands for another takes it away from nobody: at the node that refused it the
// other is answered as anywhere, or done where nobody has the answer, and nothing of what was refused is kept, but where this node may have
// made a share of the same act. Method: a payment by node1 and node2; another one, and the same in another body, at node3; then the first
// at node3, also after node1 is gone; and by node2 and node3, of which node3 had another body on record.
func TestRefusedTakesNothing(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, three := c.nodes[0], c.nodes[2]
	pay := func(m *member, session, message, body string, signers ...transport.NodeID) (any, error) {
		return m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte(message),
			Signers: signers, BodyHash: sha256.Sum256([]byte(body))})
	}
	others := map[string]string{"another": "pay mallory", "spelt": "a payment", "gone": "pay mallory", "spelt-gone": "a payment"}
	paid := map[string]any{}
	for session, message := range others {
		var err error
		if paid[session], err = pay(one, session, "a payment", "a", "node1", "node2"); err != nil {
			t.Fatal(err)
		}
		_, err = pay(three, session, message, "b")
		wantTaken(t, session, "node1", err)
		if three.stands(t, attest.OpSign, session) {
			t.Errorf("%s: node3 keeps what it refused", session)
		}
	}
	for _, session := range []string{"another", "spelt"} {
		same(t, session, paid[session], func() (any, error) { return pay(three, session, "a payment", "a") })
	}
	if _, err := pay(one, "kept", "a payment", "a", "node2", "node3"); err != nil {
		t.Fatal(err)
	}
	three.plant(t, attest.OpSign, "kept", "b")
	_, err := pay(three, "kept", "a payment", "b")
	wantTaken(t, "kept", "node1", err)
	if !three.stands(t, attest.OpSign, "kept") {
		t.Error("node3 has made a share, and keeps no request that it may be of")
	}
	one.halt()
	c.missing(t, one)
	for _, session := range []string{"gone", "spelt-gone"} {
		if _, err := pay(three, session, "a payment", "a"); err != nil {
			t.Errorf("%s, node1 is gone: %v", session, err)
		}
	}
}

// Goal: where a node has another request on record that was left without an answer, as by a crash, it gives the answer that another node
// has given all the same, and does nothing itself. Method: a payment, a key and a refresh at node1; node3 has another body of each on
// record, also under session_ids that nobody has answered; the same at node3.
func TestAnsweredOverUnanswered(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	one, three := c.nodes[0], c.nodes[2]
	body := sha256.Sum256([]byte("a"))
	for op, do := range map[attest.Operation]func(m *member, session string) (any, error){
		attest.OpSign: func(m *member, session string) (any, error) {
			return m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte("m"), BodyHash: body})
		},
		attest.OpKeygen: func(m *member, session string) (any, error) {
			return m.node.Keygen(t.Context(), appliance.KeygenRequest{SessionID: session, Curve: "ed25519", Threshold: 2, BodyHash: body})
		},
		attest.OpRefresh: func(m *member, session string) (any, error) {
			return m.node.Refresh(t.Context(), appliance.RefreshRequest{SessionID: session, WalletID: w.ID, BodyHash: body})
		},
	} {
		answered, left := string(op)+"-answered", string(op)+"-left"
		for _, session := range []string{answered, left} {
			three.plant(t, op, session, "b")
		}
		want, err := do(one, answered)
		if err != nil {
			t.Fatal(err)
		}
		before := begun(t, c)
		for range 2 { // from node1, then from its own store
			same(t, answered, want, func() (any, error) { return do(three, answered) })
		}
		_, err = do(three, left)
		wantTaken(t, left, "", err)
		if now := begun(t, c); now != before || !three.stands(t, op, left) {
			t.Errorf("%s: %d acts began", left, now-before)
		}
	}
}

// Goal: of requests that take one session_id from each other one is done at most; where none is, the session_id is left to none of them,
// and the first that is asked alone is done, at whichever node. Method: three payments under one session_id at three nodes at once, four
// times; then the one that was done at every node, or one of them at another node.
func TestCrossedTakeNothing(t *testing.T) {
	c := newCluster(t, 3)
	w := c.keygen("ed25519", 2, 3)
	pay := func(m *member, session, message string) ([]byte, error) {
		s, err := m.node.Sign(t.Context(), appliance.SignRequest{SessionID: session, WalletID: w.ID, Message: []byte(message),
			BodyHash: sha256.Sum256([]byte(message))})
		if err != nil {
			return nil, err
		}
		return s.Bytes, nil
	}
	for i := range 4 {
		session := fmt.Sprintf("crossed-%d", i)
		signed := make([][]byte, len(c.nodes))
		var all sync.WaitGroup
		for k, m := range c.nodes {
			all.Go(func() { signed[k], _ = pay(m, session, string(m.id)) })
		}
		all.Wait()
		done := slices.IndexFunc(signed, func(s []byte) bool { return s != nil })
		if done < 0 {
			done = 1
			var err error
			if signed[done], err = pay(c.nodes[0], session, "node2"); err != nil {
				t.Fatalf("%s, which none was done under: %v", session, err)
			}
		}
		for k, m := range c.nodes {
			if k != done && signed[k] != nil {
				t.Fatalf("%s: two acts under one session_id", session)
			}
			if again, err := pay(m, session, string(c.nodes[done].id)); err != nil || !bytes.Equal(again, signed[done]) {
				t.Errorf("%s, done, at %s: %v", session, m.id, err)
			}
		}
	}
}
