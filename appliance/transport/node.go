package transport

import "fmt"

// NodeID names a node of the cluster: 1 to 63 characters of a-z, 0-9, '-' and '_'.
type NodeID string

// nameLenMax is the longest node, cluster or channel name in bytes: it must fit one token of a NATS subject and a DNS label.
const nameLenMax = 63

// ParseNodeID checks s and returns it as a NodeID.
func ParseNodeID(s string) (NodeID, error) {
	if err := CheckName("node", s); err != nil {
		return "", err
	}
	return NodeID(s), nil
}

// CheckName returns an error unless name has 1 to 63 characters of a-z, 0-9, '-' and '_'. What tells the reader of the error
// what was named: "node", "cluster" or "channel".
func CheckName(what, name string) error {
	if len(name) == 0 || len(name) > nameLenMax {
		return fmt.Errorf("transport: %s name of %d characters, want 1 to %d", what, len(name), nameLenMax)
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return fmt.Errorf("transport: %s name %q: only a-z, 0-9, '-' and '_' are allowed", what, name)
		}
	}
	return nil
}
