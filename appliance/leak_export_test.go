package appliance

import "github.com/luxfi/mpcd/threshold"

// EachReady shows every presignature of the wallet that is in this node's memory, whoever leads with it.
func (n *Node) EachReady(wallet string, f func(*threshold.Presignature)) {
	n.pool.mu.Lock()
	defer n.pool.mu.Unlock()
	for id, g := range n.pool.groups {
		if id.key == wallet {
			for _, p := range g.pres {
				f(p)
			}
		}
	}
}
