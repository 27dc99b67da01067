package enrol

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Change is what a newer roster changes of a member's keys.
type Change struct {
	Node string
	New  bool     // it was no member before
	Keys []string // of identity, seal, cosign, attest and witness those that are others than before; all of a new member
}

func (c Change) String() string {
	if c.New {
		return fmt.Sprintf("node %q: a new member", c.Node)
	}
	return fmt.Sprintf("node %q: another key than before for %s", c.Node, strings.Join(c.Keys, ", "))
}

// keysOf are a member's keys by what they do, in the order of the roster.
func keysOf(n attest.RosterNode) []namedKey {
	return []namedKey{{"identity", n.Identity}, {"seal", n.Seal}, {"cosign", n.CosignKey}, {"attest", n.AttestKey},
		{"witness", n.WitnessKey}}
}

type namedKey struct {
	name string
	key  attest.Hex
}

// takenOutFile is where an operator's directory keeps which keys a roster took out; without it an enrolment of before, signed again, would
// put them back.
const takenOutFile = "keys-taken-out.json"

// takenOut is a key that a roster had and a later one has not.
type takenOut struct {
	Node       string `json:"node"`
	Key        string `json:"key"`    // what it did, as Change names it
	Thumbprint string `json:"sha256"` // of the key as rosters have it, in hex
	Serial     uint64 `json:"serial"` // of the roster that took it out
}

func thumbprint(k attest.Hex) string {
	h := sha256.Sum256(k)
	return hex.EncodeToString(h[:])
}

// readTakenOut reads the list; there is none before the first key is taken out.
func (a *Operator) readTakenOut() (list []takenOut, err error) {
	path := filepath.Join(a.dir, takenOutFile)
	b, err := durable.ReadFile(path, jsonMax)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("%s: %w", path, err),
			Do: "restore that file from a copy of the operator's directory: it says which keys must not come back"}
	}
	return list, nil
}

// changed compares two rosters, of which the first may be nil, and adds to the list what the second takes out. It refuses keys that are on
// the list, but for those of the nodes in back.
func changed(before *attest.SignedRoster, r attest.Roster, list []takenOut, back []string) (all []Change, longer []takenOut, err error) {
	longer = slices.Clone(list)
	for _, n := range r.Nodes {
		c, was := Change{Node: n.ID, New: true}, attest.RosterNode{}
		if before != nil {
			if i := slices.IndexFunc(before.Roster.Nodes, func(m attest.RosterNode) bool { return m.ID == n.ID }); i >= 0 {
				c.New, was = false, before.Roster.Nodes[i]
			}
		}
		old := keysOf(was)
		for i, k := range keysOf(n) {
			if k.key.String() == old[i].key.String() {
				continue
			}
			if c.Keys = append(c.Keys, k.name); !c.New && len(old[i].key) == 0 {
				c.Keys[len(c.Keys)-1] += " (it had none)"
			}
			if !slices.Contains(back, n.ID) {
				if err := refuseTakenOut(list, n.ID, k); err != nil {
					return nil, nil, err
				}
			}
			if !c.New && len(old[i].key) > 0 {
				longer = append(longer, takenOut{n.ID, k.name, thumbprint(old[i].key), r.Serial})
			}
		}
		if len(c.Keys) > 0 {
			all = append(all, c)
		}
	}
	return all, longer, nil
}

// refuseTakenOut refuses a key that a roster took out, of whichever node and for whatever it was there.
func refuseTakenOut(list []takenOut, node string, k namedKey) error {
	hash := thumbprint(k.key)
	i := slices.IndexFunc(list, func(t takenOut) bool { return t.Thumbprint == hash })
	if i < 0 {
		return nil
	}
	return &fault.Error{Code: fault.CodeDenied, Err: fmt.Errorf("the enrolment of %q has as its %s key one that the roster of serial %d took "+
		"out: it was the %s key of %q", node, k.name, list[i].Serial, list[i].Key, list[i].Node),
		Do: "give what `mpcd node enroll` prints on its host now; if that key is to count again, --put-keys-back " + node}
}

// keepTakenOut writes the list, if it has become longer.
func (a *Operator) keepTakenOut(before, list []takenOut) error {
	if len(list) == len(before) {
		return nil
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(a.dir, takenOutFile), append(b, '\n'), 0o644)
}
