package appliance

import (
	"context"
	"strings"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/vault"
)

// CheckRecords reads each record that a node keeps of its own in its store, all under "node/", and counts them by kind, the next part of
// their keys. The error, a *problem.Error, names one that is damaged, of another version, or of no kind that this program keeps.
func CheckRecords(ctx context.Context, s vault.Store) (map[string]int, error) {
	counts := map[string]int{}
	err := s.Iterate(ctx, []byte("node/"), func(key, value []byte) error {
		kind, name, _ := strings.Cut(strings.TrimPrefix(string(key), "node/"), "/")
		counts[kind]++
		return checkRecord(kind, name, value)
	})
	return counts, err
}

func checkRecord(kind, name string, value []byte) error {
	switch kind {
	case "boot":
		_, err := parseBoot(value)
		return err
	case "wallet", "public", "pending":
		return keys.Check(kind, name, value)
	case "session":
		op, answer, err := operation.Parse(name, value)
		if err == nil && answer != nil && op != string(attest.OpSign) { // whose answer is the ID of a receipt
			_, err = parseKeyAnswer(answer)
		}
		return err
	case "use":
		_, err := operation.ParseUse(name, value)
		return err
	case "receipt":
		_, err := parseReceipt(name, value)
		return err
	case "roster":
		_, err := parseRosterRecord(name, value)
		return err
	case "authority":
		_, err := parseAuthority(value)
		return err
	case "waiter":
		_, err := parseWaiter(name, value)
		return err
	case "freeze":
		_, err := parseFreeze(name, value)
		return err
	case "witness":
		_, err := parseWitnessed(name, value)
		return err
	case "spent":
		_, _, err := parseEntry(name, value)
		return err
	case "notice":
		_, err := parseReceipt(name, value)
		return err
	case "certificate":
		_, err := parseCertificates(name, value)
		return err
	case "follower":
		_, err := audit.ParseFollower(name, value)
		return err
	case "proofs":
		_, err := parseProofs(name, value)
		return err
	}
	return problem.New(problem.Integrity, problem.Restore, "this program keeps no record %q", "node/"+kind+"/"+name)
}
