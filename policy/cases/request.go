package cases

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/policy"
)

// Request is a request as somebody declares it who tries rules. What is left out is not given: NotGiven names it where rules ask for it.
type Request struct {
	Initiator string `yaml:"initiator"`
	Operation string `yaml:"operation"` // sign, sign-raw, keygen, refresh; sign if empty
	Wallet    string `yaml:"wallet"`
	Vault     string `yaml:"vault"`
	Kind      string `yaml:"kind"`      // of the key
	Threshold int    `yaml:"threshold"` // 2 if it is not given
	Parties   int    `yaml:"parties"`   // 3 if it is not given
	Chain     string `yaml:"chain"`
	// A signature is of a transaction, as the chain writes it, in hex or base64 and for a key in hex;
	Transaction string        `yaml:"transaction"`
	Format      intent.Format `yaml:"format"` // transaction if empty
	Input       int           `yaml:"input"`
	PublicKey   string        `yaml:"public_key"`
	// or of parts that are declared, with what stands beside them.
	Parts           []Part            `yaml:"parts"`
	Fee             string            `yaml:"fee"` // in whole units
	Facts           map[string]string `yaml:"facts"`
	TransactionKind string            `yaml:"transaction_kind"`
	// Approvals are how many people, or programs, of each group have approved it.
	Approvals map[string]int `yaml:"approvals"`
	// At is when it is asked for, as RFC 3339 has it; now if empty.
	At string `yaml:"at"`
	// Spent is what was signed before, in whole units, by SCOPE.WINDOW, as wallet.day, or SCOPE.WINDOW/ASSET.
	Spent map[string]string `yaml:"spent"`

	// Decoded is a transaction that was read already, in the place of one that is declared.
	Decoded *intent.Decoded `yaml:"-"`
}

// Part is one thing that a signature would do: send or allowance, with an amount in whole units; call; unknown; message.
type Part struct {
	What   string `yaml:"what"`
	To     string `yaml:"to"`
	Asset  string `yaml:"asset"`
	Amount string `yaml:"amount"`
	Method string `yaml:"method"`
}

// maxGroups is how many groups there may be, as in an authority: what a denied request needs is looked for group by group.
const maxGroups = 16

// operations are those that rules are asked about.
var operations = []string{"sign", "sign-raw", "keygen", "refresh"}

// Policy is the request as rules judge it. Of a cluster it takes the assets whose amounts they name, and how many approvers each group has:
// nil is as many as can count.
func (q Request) Policy(rules *policy.Rules, assets []policy.Asset, approvers map[string]int) (out policy.Request, err error) {
	out = policy.Request{Initiator: q.Initiator, Operation: cmp.Or(q.Operation, "sign"), Network: q.Chain, Assets: assets, At: time.Now(),
		Wallet: policy.Wallet{ID: q.Wallet, Vault: q.Vault, Kind: q.Kind, Threshold: cmp.Or(q.Threshold, 2), Parties: cmp.Or(q.Parties, 3)}}
	if q.At != "" {
		if out.At, err = time.Parse(time.RFC3339, q.At); err != nil {
			return out, fmt.Errorf("at: give a time as 2026-11-30T14:30:00Z: %w", err)
		}
	}
	out.Decoded, err = q.decoded(out)
	if err == nil {
		out.Approvals, out.Approvers, err = q.people(rules, approvers)
	}
	if err == nil {
		out.Spent, err = q.spent(out)
	}
	return out, err
}

// decoded is what the request would sign; nil where that is nothing that can be read.
func (q Request) decoded(of policy.Request) (*intent.Decoded, error) {
	declared := len(q.Parts) > 0 || q.Fee != "" || len(q.Facts) > 0 || q.TransactionKind != ""
	read := q.Transaction != "" || q.Decoded != nil
	switch {
	case !slices.Contains(operations, of.Operation):
		return nil, fmt.Errorf("operation %q is none of %s", of.Operation, strings.Join(operations, ", "))
	case of.Operation != "sign" && (read || declared):
		return nil, fmt.Errorf("%s has no transaction, and no parts: sign has", of.Operation)
	case of.Operation != "sign":
		return nil, nil
	case read && declared:
		return nil, errors.New("a transaction, and parts, fee, facts or kind of one beside it: these are read from it")
	case q.Decoded != nil:
		return q.Decoded, nil
	case q.Transaction != "":
		return q.read()
	case len(q.Parts) == 0:
		return nil, errors.New("sign is of a transaction, or of parts; what nobody can read is of the operation sign-raw")
	}
	return q.declared(of)
}

// read reads the transaction.
func (q Request) read() (*intent.Decoded, error) {
	key := intent.Given([]byte(q.PublicKey))
	if len(key) == 0 {
		return nil, errors.New("public_key: give the key that is to sign, in hex")
	}
	return intent.Decode(intent.Payload{Network: q.Chain, Format: cmp.Or(q.Format, "transaction"), Bytes: intent.Given([]byte(q.Transaction)),
		Input: q.Input, Key: key})
}

// declared is a transaction of the parts that are declared.
func (q Request) declared(of policy.Request) (*intent.Decoded, error) {
	d := &intent.Decoded{Network: q.Chain, Kind: q.TransactionKind}
	for n, p := range q.Parts {
		amount, err := of.Smallest(p.Asset, p.Amount)
		moves := p.What == string(intent.Send) || p.What == string(intent.Allowance)
		switch {
		case err != nil:
		case !moves && p.Amount+p.Asset != "":
			err = fmt.Errorf("%q has no amount, and no asset", p.What)
		case moves:
			d.Transfers = append(d.Transfers, intent.Transfer{What: intent.What(p.What), To: p.To, Asset: p.Asset, Amount: amount})
		case p.What == "call":
			d.Calls = append(d.Calls, intent.Call{To: p.To, Method: p.Method})
		case p.What == "unknown":
			d.Unknown = append(d.Unknown, cmp.Or(p.Method, "something"))
		case p.What != "message" || len(q.Parts) > 1:
			err = fmt.Errorf("%q is none of send, allowance, call, unknown, or message alone", p.What)
		}
		if err != nil {
			return nil, fmt.Errorf("part %d: %w", n+1, err)
		}
	}
	for name, value := range q.Facts {
		d.Facts = append(d.Facts, intent.Fact{Name: name, Value: value})
	}
	var err error
	if d.Fee, err = of.Smallest("", q.Fee); err != nil {
		return nil, fmt.Errorf("fee: %w", err)
	}
	return d, nil
}

// people are how many have approved of each group, and how many there are: both have every group that the rules count.
func (q Request) people(rules *policy.Rules, approvers map[string]int) (approved, all map[string]int, err error) {
	approved, all = map[string]int{}, map[string]int{}
	if len(approvers) > maxGroups || len(q.Approvals) > maxGroups {
		return nil, nil, fmt.Errorf("%d groups of approvers and approvals of %d, at most %d", len(approvers), len(q.Approvals), maxGroups)
	}
	for _, g := range rules.Groups() {
		approved[g] = 0
	}
	for g, n := range approvers {
		if approved[g] = 0; n < 0 || n > policy.MaxApprovals {
			return nil, nil, fmt.Errorf("approvers: %d of %q, want 0 to %d", n, g, policy.MaxApprovals)
		}
	}
	for g, n := range q.Approvals {
		approved[g] = n
	}
	for g, n := range approved {
		if all[g] = approvers[g]; approvers == nil {
			all[g] = policy.MaxApprovals
		}
		if n < 0 || n > all[g] {
			return nil, nil, fmt.Errorf("approvals: %d of %q, of which there are %d", n, g, all[g])
		}
	}
	return approved, all, nil
}

// sum is of what amounts are added up.
type sum struct {
	of    policy.Scope
	asset string
	in    time.Duration
}

// spent is what was signed before. A longer time has at least what a shorter one has.
func (q Request) spent(of policy.Request) (policy.Spent, error) {
	sums := map[sum]*big.Int{}
	for key, amount := range q.Spent {
		word, asset, _ := strings.Cut(key, "/")
		scope, window, _ := strings.Cut(word, ".")
		w := slices.IndexFunc(policy.Windows, func(w policy.Window) bool { return w.Word == window })
		if w < 0 || !slices.Contains(policy.Scopes, policy.Scope(scope)) {
			return nil, fmt.Errorf("spent: %q is no SCOPE.WINDOW or SCOPE.WINDOW/ASSET: of wallet, vault, initiator, in hour, day, week", key)
		}
		n, err := of.Smallest(asset, amount)
		if err == nil && n == nil {
			err = errors.New("no amount")
		}
		if err != nil {
			return nil, fmt.Errorf("spent: %s: %w", key, err)
		}
		sums[sum{policy.Scope(scope), asset, policy.Windows[w].For}] = n
	}
	return func(of policy.Scope, asset string, in time.Duration) *big.Int {
		most := new(big.Int)
		for _, w := range policy.Windows {
			if n := sums[sum{of, asset, w.For}]; n != nil && w.For <= in && n.Cmp(most) > 0 {
				most = n
			}
		}
		return most
	}, nil
}

// NotGiven names what the rules ask of a request and what it does not say, and what is taken in its place.
func (q Request) NotGiven(rules *policy.Rules) (out []string) {
	signs := cmp.Or(q.Operation, "sign") == "sign"
	read := q.Transaction != "" || q.Decoded != nil
	for _, x := range []struct {
		given bool
		name  string
		words []string // by which rules ask for it
	}{
		{q.Initiator != "", "initiator", []string{"Initiator"}},
		{q.Wallet != "", "wallet", []string{"Wallet"}},
		{q.Vault != "", "vault", []string{"Vault", "vault"}},
		{q.Kind != "", "kind of the key", []string{"kind"}},
		{q.Threshold != 0, "threshold (2)", []string{"threshold"}},
		{q.Parties != 0, "parties (3)", []string{"parties"}},
		{q.Chain != "", "chain", []string{"network"}},
		{read || q.Fee != "" || !signs, "fee", []string{"fee"}},
		{read || len(q.Facts) > 0 || !signs, "facts", []string{"facts"}},
		{q.At != "", "time (now)", []string{"at", "hour", "weekday"}},
	} {
		if !x.given && rules.Asks(x.words...) {
			out = append(out, x.name)
		}
	}
	for _, g := range rules.Groups() {
		if _, given := q.Approvals[g]; !given {
			out = append(out, fmt.Sprintf("approvals of %q (0)", g))
		}
	}
	for _, of := range policy.Scopes {
		given := false
		for key := range q.Spent {
			given = given || strings.HasPrefix(key, string(of)+".")
		}
		if !given && rules.Counts() && rules.Asks(string(of)) {
			out = append(out, fmt.Sprintf("what was spent of the %s (nothing)", of))
		}
	}
	return out
}
