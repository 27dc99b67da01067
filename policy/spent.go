package policy

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/luxfi/mpcd/intent"
)

// Scope is of what amounts are added up: of one wallet, of the wallets of a vault, of what an initiator asked for.
type Scope string

// The scopes.
const (
	SpentWallet    Scope = "wallet"
	SpentVault     Scope = "vault"
	SpentInitiator Scope = "initiator"
)

// Scopes are all scopes.
var Scopes = []Scope{SpentWallet, SpentVault, SpentInitiator}

// Window is a time over which amounts are added up, and its word.
type Window struct {
	Word string
	For  time.Duration
}

// Windows are those that rules can name, the shortest first.
var Windows = []Window{{"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}}

// Spent tells how much of an asset of the request's network was signed before it, in the asset's smallest unit, of a scope that is the
// request's own, in the last so long. Where it is nil, nothing was.
type Spent func(of Scope, asset string, in time.Duration) *big.Int

// Act is what was signed, as amounts over a time have it.
type Act struct {
	At                                time.Time
	Network, Wallet, Vault, Initiator string
	Amounts                           map[string]*big.Int // by asset, as Counted has them
}

// Before adds up acts for one that comes after them.
func Before(acts []Act, x Act) Spent {
	type sum struct {
		of    Scope
		asset string
		in    time.Duration
	}
	sums := map[sum]*big.Int{}
	for _, a := range acts {
		age := x.At.Sub(a.At)
		if a.Network != x.Network || age > Windows[len(Windows)-1].For {
			continue
		}
		alike := map[Scope]bool{SpentWallet: a.Wallet == x.Wallet, SpentVault: a.Vault == x.Vault, SpentInitiator: a.Initiator == x.Initiator}
		for asset, n := range a.Amounts {
			for _, of := range Scopes {
				for _, w := range Windows {
					if alike[of] && age <= w.For {
						key := sum{of, asset, w.For}
						sums[key] = new(big.Int).Add(n, cmp.Or(sums[key], new(big.Int)))
					}
				}
			}
		}
	}
	return func(of Scope, asset string, in time.Duration) *big.Int {
		return cmp.Or(sums[sum{of, asset, in}], new(big.Int))
	}
}

// spentWord is what rules call amounts over a time.
const spentWord = "spent"

// Counts tells whether a rule names amounts over a time: where none does, nobody need add any up. Whatever is called so in a rule counts.
func (r *Rules) Counts() bool { return r.counts }

// Caveat is what is said to whoever judges by the rules and is no signer; "" where he judges as signers do.
func (r *Rules) Caveat() string {
	if !r.counts {
		return ""
	}
	return "amounts over a time are counted by the signers: here they are those of this request alone"
}

// names tells whether a rule has a word, as Cedar reads it: an attribute, a text, an annotation.
func names(p *cedar.Policy, word string) (bool, error) {
	b, err := p.MarshalJSON()
	return bytes.Contains(b, []byte(`"`+word+`"`)), err
}

// Counted are the amounts that a request adds to what was signed, by asset: of all its parts that send or allow, what comes back is none.
func Counted(d *intent.Decoded) map[string]*big.Int {
	out := map[string]*big.Int{}
	if d == nil {
		return out
	}
	for _, t := range d.Transfers {
		if !moves(t) || !amounts(t) {
			continue
		}
		if out[t.Asset] == nil {
			out[t.Asset] = new(big.Int)
		}
		out[t.Asset].Add(out[t.Asset], t.Amount)
	}
	return out
}

// spent are the words for amounts over a time of a part that has an amount, as rules find them, and in words for people. Where another part
// of the request has none in the same asset, nothing is added up: rules find no words, so that none permits by them.
func (q Request) spent(p part) (words cedar.RecordMap, say string) {
	words = cedar.RecordMap{}
	if slices.ContainsFunc(q.Decoded.Transfers, func(t intent.Transfer) bool { return t.Asset == p.asset && moves(t) && !amounts(t) }) {
		return words, ""
	}
	own, all := Counted(q.Decoded)[p.asset], []string{}
	for _, of := range Scopes {
		windows, sums := cedar.RecordMap{}, []string{}
		for _, w := range Windows {
			sum := new(big.Int).Set(own)
			if q.Spent != nil {
				sum.Add(sum, q.Spent(of, p.asset, w.For))
			}
			d, _ := q.amount(p.asset, sum) // the part's own has one
			windows[cedar.String(w.Word)] = d
			sums = append(sums, d.String())
		}
		words[cedar.String(of)] = cedar.NewRecord(windows)
		all = append(all, fmt.Sprintf("%s %s", of, strings.Join(sums, ", ")))
	}
	return words, " (with it, in an hour, a day and a week: " + strings.Join(all, "; ") + ")"
}

// moves is whether a transfer counts: what comes back does not.
func moves(t intent.Transfer) bool { return t.What != intent.Change }

// amounts is whether it has an amount that can be added up.
func amounts(t intent.Transfer) bool { return t.Amount != nil && t.Amount.Sign() >= 0 }
