package policy

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/intent"
)

// before is what was signed before a request: so much of every asset in the last hour, day and week, times one of the wallet, ten of its
// vault and a hundred of its initiator.
func before(hour, day, week *big.Int) Spent {
	return func(of Scope, _ string, in time.Duration) *big.Int {
		sum := map[time.Duration]*big.Int{time.Hour: hour, 24 * time.Hour: day, 7 * 24 * time.Hour: week}[in]
		return new(big.Int).Mul(sum, big.NewInt(map[Scope]int64{SpentWallet: 1, SpentVault: 10, SpentInitiator: 100}[of]))
	}
}

// Goal: a rule bounds what was signed over a time together with all that the request would sign of the asset, never less than that, and
// each word is its own sum. Method: a limit by each of the nine words, and requests just at it and above; parts of one asset and of two.
func TestSpent(t *testing.T) {
	for _, of := range Scopes {
		for i, w := range Windows {
			rules := mustParse(t, `permit(principal, action, resource) when
				{ context.spent.`+string(of)+`.`+w.Word+`.lessThanOrEqual(decimal("50.0")) };`)
			had := []*big.Int{wei(1e4), wei(1e4), wei(1e4)}
			had[i] = new(big.Int).Div(wei(49), before(big.NewInt(1), big.NewInt(1), big.NewInt(1))(of, "", time.Hour))
			q := transfers(send(alice, "", wei(1)))
			q.Spent = before(had[0], had[1], had[2])
			if v := rules.Judge(q); !v.Allow {
				t.Errorf("%s.%s at the limit: %+v", of, w.Word, v)
			}
			q.Decoded.Transfers[0].Amount = new(big.Int).Add(wei(1), big.NewInt(1))
			if v := rules.Judge(q); v.Allow {
				t.Errorf("%s.%s above it: %+v", of, w.Word, v)
			}
		}
	}
	limit := mustParse(t, `permit(principal, action, resource) when { context.spent.wallet.day.lessThanOrEqual(decimal("2.0")) };`)
	allowance := intent.Transfer{What: intent.Allowance, To: alice, Asset: "", Amount: wei(1)}
	call := transfers(send(alice, "", wei(1)))
	call.Decoded.Calls = []intent.Call{{To: alice, Method: "0x12345678"}}
	for name, row := range map[string]struct {
		q     Request
		allow bool
	}{
		"nothing before":           {transfers(send(alice, "", wei(2))), true},
		"two parts":                {transfers(send(alice, "", wei(1)), send("0xBBBB", "", wei(1))), true},
		"two parts, together more": {transfers(send(alice, "", wei(1)), send("0xBBBB", "", wei(1.5))), false},
		"an allowance counts":      {transfers(send(alice, "", wei(1.5)), allowance), false},
		"change does not": {transfers(send(alice, "", wei(2)), intent.Transfer{What: intent.Change, To: "0xBBBB", Amount: wei(9)}),
			true},
		"assets are apart":      {transfers(send(alice, "", wei(2)), send(alice, usdc, big.NewInt(2_000_000))), true},
		"decimals not known":    {transfers(send(alice, "0xDDDD", big.NewInt(1))), false},
		"a part without amount": {transfers(send(alice, "", wei(1)), send(alice, "", nil)), false},
		"above all decimals":    {transfers(send(alice, "", new(big.Int).Lsh(big.NewInt(1), 255))), false},
		"what has no amount":    {call, false},
	} {
		if v := limit.Judge(row.q); v.Allow != row.allow {
			t.Errorf("%s: %+v", name, v)
		}
	}
	unsaid := mustParse(t, `permit(principal, action, resource) when { context.spent.wallet.day.lessThanOrEqual(decimal("2.0")) };
		permit(principal, action, resource) unless { context has amount };`)
	if v := unsaid.Judge(transfers(send(alice, "", wei(1)), send(alice, "", nil))); v.Allow {
		t.Errorf("a part whose amount nobody knows beside one that is bounded: %+v", v)
	}
}

// Goal: whoever is denied is told how much was spent. Method: a denial by a rule that forbids, and by none that permits.
func TestSpentIsSaid(t *testing.T) {
	q := transfers(send(alice, "", wei(1)))
	q.Spent = before(wei(1), wei(2), wei(3))
	for _, rules := range []string{
		`permit(principal, action, resource) when { context.spent.wallet.day.lessThanOrEqual(decimal("2.0")) };`,
		`permit(principal, action, resource);
			forbid(principal, action, resource) when { context.spent.wallet.day.greaterThan(decimal("2.0")) };`,
	} {
		v := mustParse(t, rules).Judge(q)
		said := "(with it, in an hour, a day and a week: wallet 2.0, 3.0, 4.0; vault 11.0, 21.0, 31.0; initiator 101.0, 201.0, 301.0)"
		if v.Allow || !strings.Contains(v.Why, said) {
			t.Errorf("%+v", v)
		}
	}
	v := mustParse(t, `permit(principal, action, resource) when { context.to == "" };`).Judge(q)
	if v.Allow || strings.Contains(v.Why, "with it") {
		t.Errorf("rules that count nothing: %+v", v)
	}
}

// Goal: it is told of rules whether they count, however they spell it: those that do not cost nobody anything, and none that does is
// overlooked. Method: spellings, one of them escaped, and rules that do not.
func TestCounts(t *testing.T) {
	for text, counts := range map[string]bool{
		`permit(principal, action, resource) when { context.amount.lessThan(decimal("1.0")) };`:                        false,
		`permit(principal, action, resource) when { context.spent.wallet.day.lessThan(decimal("1.0")) };`:              true,
		`permit(principal, action, resource) when { context["spent"]["wallet"]["day"].lessThan(decimal("1.0")) };`:     true,
		`permit(principal, action, resource) when { context["\u{73}pent"].wallet.day.lessThan(decimal("1.0")) };`:      true,
		`permit(principal, action, resource); forbid(principal, action, resource) unless { context has spent };`:       true,
		`permit(principal, action, resource); forbid(principal, action, resource) when { context has spent.vault };`:   true,
		`permit(principal, action, resource) when { context has unspent || context.facts has spentence };`:             false,
		`permit(principal, action, resource) when { if context has spent then context.weekday < 6 else true };`:        true,
		`permit(principal, action, resource) when { context.spent.wallet.hour == context.spent.initiator["hour"] };`:   true,
		`permit(principal, action, resource) when { [1, 2].contains(3) || {"a": context.spent}.a.wallet has "hour" };`: true,
	} {
		r := mustParse(t, text)
		if got := r.Counts(); got != counts || (r.Caveat() != "") != counts {
			t.Errorf("%v, %q: %s", got, r.Caveat(), text)
		}
	}
}

// Goal: what a request adds is what its rules see of it. Method: parts of two assets, change, and parts without an amount.
func TestCounted(t *testing.T) {
	if got := Counted(nil); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	d := transfers(send(alice, "", wei(1)), send(alice, usdc, big.NewInt(5)), send("0xBBBB", "", wei(2)), send(alice, "", nil),
		send(alice, "", big.NewInt(-1)), intent.Transfer{What: intent.Change, To: "0xBBBB", Amount: wei(9)},
		intent.Transfer{What: intent.Allowance, To: alice, Asset: usdc, Amount: big.NewInt(6)}).Decoded
	if got := Counted(d); len(got) != 2 || got[""].Cmp(wei(3)) != 0 || got[usdc].Int64() != 11 {
		t.Errorf("%v", got)
	}
}

// Goal: acts are added up by asset, network, scope and window, as the words for them say. Method: one act that counts, and others that
// differ from the one that follows in one thing each.
func TestBefore(t *testing.T) {
	at := transfers().At
	act := func(ago time.Duration, change func(*Act)) Act {
		a := Act{at.Add(-ago), "ethereum", "w_1", "trading", "payments", map[string]*big.Int{"": big.NewInt(1), usdc: big.NewInt(10)}}
		change(&a)
		return a
	}
	same := func(*Act) {}
	of := Before([]Act{act(time.Hour, same), act(time.Hour+1, same), act(24*time.Hour, same), act(7*24*time.Hour, same),
		act(7*24*time.Hour+1, same), act(0, func(a *Act) { a.Network = "base" }), act(0, func(a *Act) { a.Wallet = "w_2" }),
		act(0, func(a *Act) { a.Vault = "hot" }), act(0, func(a *Act) { a.Initiator = "hot" })}, act(0, same))
	for i, want := range []int64{3, 5, 6} { // of all three scopes two acts differ in another
		for _, scope := range Scopes {
			if n := of(scope, "", Windows[i].For); n.Int64() != want {
				t.Errorf("%s.%s: %s, want %d", scope, Windows[i].Word, n, want)
			}
			if n := of(scope, usdc, Windows[i].For); n.Int64() != 10*want {
				t.Errorf("%s.%s of a token: %s, want %d", scope, Windows[i].Word, n, 10*want)
			}
			if n := of(scope, "0xDDDD", Windows[i].For); n.Sign() != 0 {
				t.Errorf("%s.%s of what was never sent: %s", scope, Windows[i].Word, n)
			}
		}
	}
}

// FuzzSpent: with more signed before, a rule that bounds it from above never permits what it denied with less.
func FuzzSpent(f *testing.F) {
	f.Add(int64(1), int64(2), int64(3), uint8(60))
	f.Add(int64(1_999_950), int64(0), int64(50), uint8(0))
	f.Fuzz(func(t *testing.T, own, had, more int64, shift uint8) {
		if own < 0 || had < 0 || more < 0 {
			return
		}
		rules := mustParse(t, `permit(principal, action, resource) when { context.spent.wallet.day.lessThanOrEqual(decimal("2.0")) };`)
		q := transfers(send(alice, usdc, big.NewInt(own)))
		judge := func(n *big.Int) Verdict {
			q.Spent = before(n, n, n)
			return rules.Judge(q)
		}
		less := new(big.Int).Lsh(big.NewInt(had), uint(shift))
		sum := new(big.Int).Add(less, big.NewInt(own))
		v := judge(less)
		if v.Allow != (sum.Cmp(big.NewInt(2_000_000)) <= 0) {
			t.Fatalf("%s: %+v", sum, v)
		}
		if !v.Allow && judge(new(big.Int).Add(less, big.NewInt(more))).Allow {
			t.Fatalf("%s denied, more permitted", sum)
		}
	})
}
