package appliance_test

import (
	"context"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
)

// Goal: a caller who begins keys and drops them is refused by the node that it asks, before the others refuse that node, and other callers
// are served. Method: eve drops each keygen once node2 has begun it, more often than the others would let pass; then bob makes a key.
func TestDroppedKeygens(t *testing.T) {
	c := newCluster(t, 3)
	one, two := c.nodes[0], c.nodes[1]
	refused := 0
	for range 25 {
		ctx, drop := context.WithCancel(t.Context())
		began, done := len(two.entries(t, "keygen.begin")), make(chan error, 1)
		go func() {
			_, err := one.node.Keygen(ctx, appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3, Requester: "eve"})
			done <- err
		}()
		waitFor(t, "node2 to begin, or a refusal", func() bool { return len(done) > 0 || len(two.entries(t, "keygen.begin")) > began })
		drop()
		if err := <-done; problem.As(err).Code == problem.Overload {
			refused++
		}
	}
	if refused < 10 {
		t.Errorf("%d of 25 were refused", refused)
	}
	for _, s := range two.node.Nodes() {
		if s.Limited {
			t.Errorf("node2 refuses %s", s.ID)
		}
	}
	bob := appliance.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3, Requester: "bob"}
	if _, err := one.node.Keygen(t.Context(), bob); err != nil {
		t.Errorf("another caller: %v", err)
	}
}
