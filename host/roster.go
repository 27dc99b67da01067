package host

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
)

// loadRoster reads the roster and holds it against what is pinned and configured.
func loadRoster(c Config) (*attest.SignedRoster, error) {
	s, err := pinnedRoster(c)
	if err == nil {
		err = c.fits(s)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// pinnedRoster reads the roster and holds it against what is pinned.
func pinnedRoster(c Config) (*attest.SignedRoster, error) {
	if c.Roster == "" {
		return nil, fault.Usage("set roster in mpcd.yaml to the file that `mpcd node roster sign` wrote", "no roster is configured")
	}
	s, err := ReadRoster(c.Roster)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Usage("bring the roster from the operator's, where `mpcd node roster sign` writes it, or correct roster in mpcd.yaml",
			"%w", err)
	}
	if err != nil {
		return nil, err
	}
	if err := CheckPin(s, c.RosterRoot); err != nil {
		return nil, err
	}
	return s, nil
}

// fits tells whether a roster is of this node's cluster, with the node in it, and as large as configured.
func (c Config) fits(s *attest.SignedRoster) error {
	if s.Roster.Cluster != c.Cluster {
		return fault.Usage("use the roster of this cluster, or correct cluster",
			"the roster is of cluster %q, this node is of %q", s.Roster.Cluster, c.Cluster)
	}
	if slices.ContainsFunc(s.Roster.Nodes, func(n attest.RosterNode) bool { return n.Removed && n.ID == string(c.Node) }) {
		return fault.Usage("a node in its place wants another name and another data_dir: `mpcd node enroll --new DIR`; keep what this one "+
			"has until no key needs it, or correct node_id", "node %q was removed from the cluster by the roster of serial %d: the others "+
			"neither hear nor choose it, and it does not come back: %w", c.Node, s.Roster.Serial, attest.ErrUnknownNode)
	}
	if _, err := s.Roster.Node(string(c.Node)); err != nil {
		return fault.Usage("enrol the node, or correct node_id", "%w", fmt.Errorf("node %q is not in the roster: %w", c.Node, err))
	}
	if c.Total > len(s.Roster.Nodes) { // nodes may have been added and removed since
		return fault.Usage("correct total_nodes, or use the right roster",
			"total_nodes is %d, the roster has %s", c.Total, countNodes(len(s.Roster.Nodes)))
	}
	return nil
}

// ReadRoster reads a signed roster, under its own root key. A file that cannot be read is another mistake than one that is no roster.
func ReadRoster(path string) (*attest.SignedRoster, error) {
	s, err := attest.LoadRoster(path)
	if err != nil && !errors.As(err, new(*fs.PathError)) {
		err = &fault.Error{Code: fault.CodeIntegrity, Err: marked(path, err), Do: "fetch the roster from the operator again"}
	}
	return s, fault.Doing("roster", err)
}

// checkCluster refuses what can never work in the roster's cluster. What fitted before nodes were removed it warns of: keys sign with those
// that are left, and who makes another may say by how many. do is what to do about it.
func (c Config) checkCluster(r attest.Roster) (warn, do string, err error) {
	nodes := len(r.Members())
	if c.Threshold > nodes {
		do = "set threshold to no more than are left, more than half of them"
		warn = fmt.Sprintf("threshold is %d, %d of the roster's %d nodes are left: keys are made only where the request has a threshold",
			c.Threshold, nodes, len(r.Nodes))
	}
	if nodes == 1 { // whatever threshold is: more nodes come by a newer roster
		warn, do = "the roster has this node alone, and one node never signs", appliance.EnrolAnother
	}
	switch {
	case nodes > 1 && c.Threshold > len(r.Nodes):
		return "", "", fault.Usage("correct threshold, or use the right roster",
			"threshold is %d, the roster has %d nodes", c.Threshold, len(r.Nodes))
	case nodes > 1 && c.NATS.Listen == "" && c.NATS.URL == "":
		return "", "", fault.Usage("set nats.listen and nats.routes, or nats.url",
			"the roster has %d nodes, and no way to the others is configured", nodes)
	case c.NATS.Listen != "" && (c.NATS.Cert == "" || c.NATS.Key == "" || c.NATS.CA == ""):
		return "", "", fault.Usage("set nats.tls.cert, nats.tls.key and nats.tls.ca",
			"nats.listen is set: routes need a certificate, its key and the CA")
	}
	return warn, do, nil
}

// CheckPin holds a roster against a pin: the operator's public key in hex, or the roster's fingerprint.
func CheckPin(s *attest.SignedRoster, pin string) error {
	switch {
	case pin == "":
		return fault.Usage("set roster_root to the operator's public key, which you got another way than the roster",
			"roster_root is not set: the roster would be its own witness")
	case strings.HasPrefix(pin, "r_"):
		if s.Fingerprint() != pin {
			return fmt.Errorf("%w: its fingerprint is %s, pinned is %s", attest.ErrRoster, s.Fingerprint(), pin)
		}
		return nil
	}
	root, err := ParseRoot(pin)
	if err != nil {
		return err
	}
	return s.Verify(root)
}

// Operator is the public key that roster_root pins; nil where it pins a fingerprint, or nothing.
func (c Config) Operator() (ed25519.PublicKey, error) {
	if c.RosterRoot == "" || strings.HasPrefix(c.RosterRoot, "r_") {
		return nil, nil
	}
	return ParseRoot(c.RosterRoot)
}

// ParseRoot reads an operator's public key: 0x and 64 hex digits.
func ParseRoot(pin string) (ed25519.PublicKey, error) {
	b, err := wire.ParseHex(pin)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fault.Usage("give the operator's public key as 0x and 64 hex digits, or the fingerprint r_…",
			"roster root %q is neither", pin)
	}
	return ed25519.PublicKey(b), nil
}

// Peers are the members of the roster for the transport.
func Peers(r attest.Roster) transport.Peers {
	out := transport.Peers{}
	for _, m := range r.Members() {
		id := transport.NodeID(m.ID)
		out[id] = transport.Peer{Node: id, Identity: ed25519.PublicKey(m.Identity), HPKE: m.Seal}
	}
	return out
}

// countNodes is a number of nodes in words.
func countNodes(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("%d nodes", n)
}
