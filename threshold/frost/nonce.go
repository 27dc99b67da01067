package frost

import (
	"sync/atomic"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/group"
)

// noncePair is one party's secret nonces for one signature: hiding d and binding e. They are taken once, by whoever comes
// first, even if two goroutines should race for them.
type noncePair struct {
	d, e   group.Scalar
	public []byte // D ‖ E as we sent it
	burnt  atomic.Bool
}

// Burn wipes the nonces.
func (n *noncePair) Burn() {
	if n.burnt.CompareAndSwap(false, true) {
		n.wipe()
	}
}

func (n *noncePair) wipe() {
	n.d.Wipe()
	n.e.Wipe()
}

// take hands out the nonces, once. From here on the pair is burnt and the caller wipes what it got.
func (n *noncePair) take() (d, e group.Scalar, err error) {
	if !n.burnt.CompareAndSwap(false, true) {
		return nil, nil, threshold.ErrBurnt
	}
	d, e = n.d, n.e
	n.d, n.e = nil, nil
	return d, e, nil
}

// commitment is one party's public nonces, D and E.
type commitment struct{ d, e group.Point }

// decodeCommitment reads D ‖ E.
func decodeCommitment(g group.Group, b []byte) (commitment, error) {
	n := g.PointLen()
	if len(b) != 2*n {
		return commitment{}, group.ErrPoint
	}
	d, err := g.NewPoint().SetCanonical(b[:n])
	if err != nil {
		return commitment{}, err
	}
	e, err := g.NewPoint().SetCanonical(b[n:])
	if err != nil {
		return commitment{}, err
	}
	return commitment{d, e}, nil
}
