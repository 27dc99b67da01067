package enrol

import (
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/policy"
)

// ReadRules reads rules as every node would.
func ReadRules(path string) (*policy.Rules, error) {
	b, err := durable.ReadFile(path, policy.MaxText)
	if err != nil {
		return nil, err
	}
	rules, err := policy.Parse(string(b))
	if err != nil {
		return nil, fault.Doing(path, fault.Usage("correct the line that it names; docs/POLICY.md has examples", "%w", err))
	}
	return rules, nil
}

// ReadTransaction reads a transaction from a file. What is all hex, or base64, is taken as that.
func ReadTransaction(path string) ([]byte, error) {
	b, err := durable.ReadFile(path, 3*intent.MaxPayload)
	if err != nil {
		return nil, err
	}
	if b = intent.Given(b); len(b) == 0 || len(b) > intent.MaxPayload {
		return nil, fault.Usage("give the file of one transaction", "%s has %d bytes of a transaction, want 1 to %d", path, len(b),
			intent.MaxPayload)
	}
	return b, nil
}
