package policy

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/intent"
)

const (
	alice = "0xAAAA"
	usdc  = "0xA0b8"
)

// transfers is a request to sign what moves something.
func transfers(of ...intent.Transfer) Request {
	return Request{Initiator: "payments", Operation: "sign", Network: "ethereum",
		Wallet:  Wallet{ID: "w_1", Vault: "trading", Kind: "ecdsa-secp256k1", Threshold: 2, Parties: 3},
		At:      time.Date(2026, 11, 30, 14, 30, 0, 0, time.UTC), // a Monday
		Assets:  []Asset{{"ethereum", usdc, 6}},
		Decoded: &intent.Decoded{Kind: "eip-1559", Transfers: of, Fee: big.NewInt(1e15), Facts: []intent.Fact{{Name: "chainId", Value: "1"}}}}
}

func wei(eth float64) *big.Int {
	n, _ := new(big.Float).Mul(big.NewFloat(eth), big.NewFloat(1e18)).Int(nil)
	return n
}

func send(to, asset string, n *big.Int) intent.Transfer {
	return intent.Transfer{What: intent.Send, To: to, Asset: asset, Amount: n}
}

// Goal: what no rule permits is denied, and every part of a request is asked for: one that is permitted carries none that is not. Method:
// rules of one kind each, and requests beside them.
func TestJudge(t *testing.T) {
	one, zero := big.NewInt(1), new(big.Int)
	message, call, unread := transfers(), transfers(), transfers(send(alice, "", one))
	call.Decoded.Calls = []intent.Call{{To: usdc, Method: "0x12345678"}}
	unread.Decoded.Unknown = []string{"something"}
	raw := Request{Operation: "sign-raw", Initiator: "payments"}
	keygen := Request{Operation: "keygen", Wallet: Wallet{Vault: "trading", Threshold: 2, Parties: 3}}
	twice, unsaid := transfers(send(alice, "", one)), Request{Operation: "sign", Initiator: "payments"}
	twice.Decoded.Facts = []intent.Fact{{Name: "memo", Value: "a"}, {Name: "memo", Value: "b"}}
	many := transfers()
	for range maxParts + 1 {
		many.Decoded.Transfers = append(many.Decoded.Transfers, send(alice, "", one))
	}
	toAlice := `permit(principal, action, resource) when { context.to == "` + alice + `" };`
	for _, row := range []struct {
		name, rules string
		q           Request
		rule        string // that permits; "" where it is denied
	}{
		{"nothing", ``, transfers(send(alice, "", one)), ""},
		{"everything", `permit(principal, action, resource);`, raw, "r0"},
		{"to her", toAlice, transfers(send(alice, "", one)), "r0"},
		{"to another", toAlice, transfers(send("0xBBBB", "", one)), ""},
		{"to both", toAlice, transfers(send(alice, "", one), send("0xBBBB", "", one)), ""},
		{"change", toAlice, transfers(send(alice, "", one), intent.Transfer{What: intent.Change, To: "0xBBBB", Amount: one}), "r0"},
		{"what cannot be read", toAlice, unread, ""},
		{"too many parts", `permit(principal, action, resource);`, many, ""},
		{"an allowance", `permit(principal, action, resource) when { context.what == "send" };`,
			transfers(intent.Transfer{What: intent.Allowance, To: alice, Asset: usdc, Amount: one}), ""},
		{"a call", `permit(principal, action, resource) when { context.what == "call" && context.method == "0x12345678" };`, call, "r0"},
		{"a message", `permit(principal, action, resource) when { context.what == "message" };`, message, "r0"},
		{"a digest", `permit(principal, action == Action::"sign", resource);`, raw, ""},
		{"who", `permit(principal == Initiator::"payments", action, resource);`, raw, "r0"},
		{"another", `permit(principal == Initiator::"hot", action, resource);`, raw, ""},
		{"vault", `permit(principal, action, resource in Vault::"trading");`, keygen, "r0"},
		{"another vault", `permit(principal, action, resource in Vault::"cold");`, keygen, ""},
		{"threshold", `permit(principal, action, resource) when { resource.threshold * 2 > resource.parties };`, keygen, "r0"},
		{"hours", `permit(principal, action, resource) when { context.weekday <= 5 && context.hour >= 9 && context.hour < 17 };`,
			transfers(send(alice, "", one)), "r0"},
		{"another day", `permit(principal, action, resource) when { context.weekday == 7 };`, transfers(send(alice, "", one)), ""},
		{"a fact", `permit(principal, action, resource) when { context.facts.chainId == "1" };`, transfers(send(alice, "", one)), "r0"},
		{"a fact that stands twice", `permit(principal, action, resource) when { context.facts.memo == "b" };`, twice, ""},
		{"what was not read", `permit(principal, action, resource) when { context.what == "raw" };`, unsaid, "r0"},
		{"both permit", `permit(principal, action, resource); permit(principal, action, resource);`, raw, "r0, r1"},
		{"forbidden", `permit(principal, action, resource); forbid(principal, action, resource) when { context.network == "ethereum" };`,
			transfers(send(alice, "", zero)), ""},
	} {
		v := mustParse(t, row.rules).Judge(row.q)
		if v.Allow != (row.rule != "") || v.Allow && v.Rule != row.rule || !v.Allow && (v.Rule == "" || v.Why == "") {
			t.Errorf("%s: %+v", row.name, v)
		}
	}
}

// Goal: a request that is denied whoever approves it waits for nobody, and one that waits is told the fewest whom it takes. Method: rules
// that count two groups, with a rule that forbids, and without approvers.
func TestNeeds(t *testing.T) {
	rules := mustParse(t, `permit(principal, action, resource) when { context.approvals.a >= 3 || context.approvals["b-2"] >= 1 };
		forbid(principal, action, resource) when { context.network == "base" };`)
	q := transfers(send(alice, "", big.NewInt(1)))
	if v := rules.Judge(q); v.Allow || v.Needs != nil {
		t.Errorf("without approvers: %+v", v)
	}
	q.Approvals, q.Approvers = map[string]int{"a": 1, "b-2": 0}, map[string]int{"a": 5, "b-2": 2}
	if v := rules.Judge(q); v.Allow || !reflect.DeepEqual(v.Needs, map[string]int{"b-2": 1}) || q.Approvals["a"] != 1 ||
		q.Approvers["a"] != 5 {
		t.Errorf("%+v", v)
	}
	q.Network = "base"
	if v := rules.Judge(q); v.Allow || v.Needs != nil {
		t.Errorf("forbidden whoever approves: %+v", v)
	}
}

// Goal: the groups whose approvals a rule counts are known, so that officers hear of one in which nobody is. Method: each way in which a
// rule of Cedar can name one, and words that look like one.
func TestGroups(t *testing.T) {
	got := mustParse(t, `permit(principal, action, resource) when { context.approvals.treasury >= 2 && context.approvals["risk desk"] >= 1 };
		permit(principal, action, resource) when { context.approvals has legal && [context["approvals"]["board"]].contains(3) };
		forbid(principal, action, resource) unless { if context.approvals.treasury > 1 then true else context.facts.approvals == "x" };
		permit(principal, action, resource) when { resource.approvals.nobody == 1 || {approvals: 1}.approvals == 1 };`).Groups()
	if want := []string{"board", "legal", "risk desk", "treasury"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := mustParse(t, `permit(principal, action, resource);`).Groups(); len(got) != 0 {
		t.Errorf("%q of rules that count nobody", got)
	}
}

// Goal: how many of a group rules ask for at most is known where a rule compares with a number, whichever way it is written, and nothing is
// said where it does not. Method: each comparison of Cedar, both ways round, in rules that permit and that forbid; sums, other groups and
// things that look like a count.
func TestWants(t *testing.T) {
	for text, want := range map[string]map[string]int{
		"context.approvals.a >= 2":                                        {"a": 2},
		"2 <= context.approvals.a":                                        {"a": 2},
		"context.approvals.a > 2":                                         {"a": 3},
		"2 < context.approvals.a":                                         {"a": 3},
		"context.approvals.a == 2":                                        {"a": 2},
		"2 != context.approvals.a":                                        {"a": 2},
		"context.approvals.a != 0":                                        {"a": 1},
		"0 == context.approvals.a":                                        {"a": 1},
		"!(context.approvals.a < 2)":                                      {"a": 2},
		"!(2 > context.approvals.a)":                                      {"a": 2},
		"!(context.approvals.a <= 2)":                                     {"a": 3},
		"!(2 >= context.approvals.a)":                                     {"a": 3},
		`context["approvals"]["risk eu"] >= 1`:                            {"risk eu": 1},
		"context.approvals.a >= 1 || context.approvals.a >= 4":            {"a": 4},
		"context.approvals.a >= 4 && context.approvals.a >= 1":            {"a": 4},
		"if context.approvals.a >= 2 then true else context.hour > 20":    {"a": 2},
		"context.approvals.a >= 2 && context.approvals.b > 0":             {"a": 2, "b": 1},
		"context.approvals.a + context.approvals.b >= 3":                  {"a": 0, "b": 0},
		"context.approvals.a > context.approvals.b":                       {"a": 0, "b": 0},
		"context.approvals has a":                                         {"a": 0},
		"[1, 2].contains(context.approvals.a)":                            {"a": 0},
		"context.approvals.a >= -1":                                       {"a": 0},
		"context.approvals.a >= 9223372036854775807":                      {"a": 1<<31 - 1},
		"resource.approvals.a >= 2 || context.hour >= 8":                  {},
		"context.approvals.a == 1 && resource.threshold >= 3":             {"a": 1},
		"context.approvals.a >= 1 && context.spent.wallet.day >= 7":       {"a": 1},
		"{approvals: {a: 5}}.approvals.a >= 5 && context.approvals.b > 1": {"b": 2},
	} {
		for _, effect := range []string{"permit(principal, action, resource) when { ", "forbid(principal, action, resource) unless { "} {
			if got := mustParse(t, effect+text+" };").Wants(); !maps.Equal(got, want) {
				t.Errorf("%s%s: %v, want %v", effect, text, got, want)
			}
		}
	}
}

// mustParse names the rules r0, r1 and so on.
func mustParse(t *testing.T, text string) *Rules {
	t.Helper()
	n := -1
	r, err := Parse(rule.ReplaceAllStringFunc(text, func(begin string) string {
		n++
		return fmt.Sprintf("@id(\"r%d\") %s", n, begin)
	}))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var rule = regexp.MustCompile(`(permit|forbid)\(`)

// Goal: amounts are what the asset's decimals say, never less; one that cannot be said permits nothing, and a rule that forbids by it
// denies. Method: amounts about the limit of a rule, of the network's own asset and of tokens, one of them without decimals.
func TestAmounts(t *testing.T) {
	limit := `permit(principal, action, resource) when { context.amount.lessThanOrEqual(decimal("1.5")) };`
	forbid := `permit(principal, action, resource); forbid(principal, action, resource) when { context.amount.greaterThan(decimal("1.5")) };`
	has := `permit(principal, action, resource);
		forbid(principal, action, resource) when { context has amount && context.amount.greaterThan(decimal("1.5")) };`
	if v := mustParse(t, has).Judge(transfers(send(alice, usdc, new(big.Int).Lsh(big.NewInt(1), 255)))); v.Allow {
		t.Errorf("without end: %+v", v)
	}
	huge := new(big.Int).Lsh(big.NewInt(1), 64) // and 5, in the last places: what would be left of it in 64 bits
	huge.Mul(huge.Add(huge, big.NewInt(5)), big.NewInt(1e14))
	for name, row := range map[string]struct {
		t     intent.Transfer
		allow bool
	}{
		"the limit":           {send(alice, "", wei(1.5)), true},
		"a wei more":          {send(alice, "", new(big.Int).Add(wei(1.5), big.NewInt(1))), false},
		"a token":             {send(alice, usdc, big.NewInt(1_500_000)), true},
		"a token, more":       {send(alice, usdc, big.NewInt(1_500_001)), false},
		"decimals not known":  {send(alice, "0xDDDD", big.NewInt(1)), false},
		"more than can be":    {send(alice, "", huge), false},
		"a negative":          {send(alice, "", big.NewInt(-1)), false},
		"nothing":             {send(alice, "", new(big.Int)), true},
		"no amount":           {send(alice, "", nil), false},
		"another's decimals":  {send(alice, "0xa0b8", big.NewInt(1)), false},
		"just above, rounded": {send(alice, usdc, big.NewInt(1_499_950)), true},
	} {
		for _, rules := range []string{limit, forbid} {
			if v := mustParse(t, rules).Judge(transfers(row.t)); v.Allow != row.allow {
				t.Errorf("%s: %+v by %s", name, v, rules)
			}
		}
	}
	solana := transfers(send(alice, usdc, big.NewInt(1)))
	solana.Network = "solana"
	if v := mustParse(t, limit).Judge(solana); v.Allow {
		t.Errorf("decimals of another network's asset: %+v", v)
	}
	fee := `permit(principal, action, resource) when { context.fee.lessThan(decimal("0.0011")) };`
	q := transfers(send(alice, "", wei(1)))
	if v := mustParse(t, fee).Judge(q); !v.Allow {
		t.Errorf("%+v", v)
	}
	q.Decoded.Fee = nil
	if v := mustParse(t, fee).Judge(q); v.Allow {
		t.Errorf("a fee that is not known: %+v", v)
	}
}

// Goal: rules that nobody can read, or name, are no policy; each error says where. Method: texts with one mistake each.
func TestParse(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"no Cedar":  {`@id("a") permit(principal)`, "policy"},
		"no name":   {"\n\npermit(principal, action, resource);", "line 3"},
		"long name": {`@id("` + strings.Repeat("a", 65) + `") permit(principal, action, resource);`, "64"},
		"twice":     {`@id("a") permit(principal, action, resource); @id("a") forbid(principal, action, resource);`, `two rules are named "a"`},
		"too long":  {strings.Repeat(" ", MaxText+1), "at most"},
		"too many":  {strings.Repeat(`@id("a") permit(principal, action, resource);`, maxRules+1), "257 rules"},
		"reserved":  {`@id("default-deny") permit(principal, action, resource);`, "default-deny"},
	} {
		if _, err := Parse(row.text); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := Parse(`@id("b") permit(principal, action, resource); @id("a") forbid(principal, action, resource);`)
	if err != nil || fmt.Sprint(r.Names()) != "[a b]" {
		t.Errorf("%v, %v", r, err)
	}
}

// FuzzParse: a text is refused or judges without a panic, the same twice, and permits nothing without a rule that does.
func FuzzParse(f *testing.F) {
	f.Add(`@id("a") permit(principal, action, resource) when { context.amount.lessThan(decimal("1.0")) };`)
	f.Add(`@id("a") forbid(principal is Initiator, action in [Action::"sign"], resource) unless { resource.vault like "tr*" };`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		q := transfers(send(alice, "", big.NewInt(1)))
		v := r.Judge(q)
		if !reflect.DeepEqual(v, r.Judge(q)) || v.Allow && !strings.Contains(text, "permit") {
			t.Fatalf("%+v", v)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	r, err := Parse(`@id("friends") permit(principal == Initiator::"payments", action == Action::"sign", resource in Vault::"trading")
		when { context.what == "send" && ["0xAAAA", "0xBBBB"].contains(context.to) };
		@id("large") forbid(principal, action, resource) when { context has amount && context.amount.greaterThan(decimal("10.0")) };
		@id("night") forbid(principal, action, resource) when { context.hour < 6 };`)
	if err != nil {
		b.Fatal(err)
	}
	q := transfers(send(alice, "", wei(1)))
	for b.Loop() {
		if !r.Judge(q).Allow {
			b.Fatal("denied")
		}
	}
}

// self is the account of the key that cosmos signs with.
const self = "cosmos1w508d6qejxtdg4y5r3zarvary0c5xw7k6ah60c"

// cosmos is a request to send to_address an amount, to delegate it to validator_address, or to withdraw rewards, read from what is signed.
func cosmos(t *testing.T, field, to string, n int) Request {
	coin := fmt.Sprintf(`{"amount":"%d","denom":"uatom"}`, n)
	message := fmt.Sprintf(`"MsgWithdrawDelegationReward","value":{"delegator_address":%q,"validator_address":%q}`, self, to)
	switch field {
	case "to_address":
		message = fmt.Sprintf(`"MsgSend","value":{"amount":[%s],"from_address":%q,"to_address":%q}`, coin, self, to)
	case "validator_address":
		message = fmt.Sprintf(`"MsgDelegate","value":{"amount":%s,"delegator_address":%q,"validator_address":%q}`, coin, self, to)
	}
	doc := `{"account_number":"9","chain_id":"cosmoshub-4","fee":{"amount":[{"amount":"2500","denom":"uatom"}],"gas":"200000"},"memo":"",` +
		`"msgs":[{"type":"cosmos-sdk/` + message[1:] + `}],"sequence":"3"}`
	key, err := hex.DecodeString("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	if err != nil {
		t.Fatal(err)
	}
	d, err := intent.Decode(intent.Payload{Network: "cosmos", Format: "amino", Bytes: []byte(doc), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	q := transfers()
	q.Network, q.Decoded = "cosmos", d
	return q
}

// Goal: every policy of the documentation does what is said there. Method: its blocks, in order, and a request for each sentence.
func TestPoliciesOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../docs/POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```cedar\n")[1:]
	supplier := send("0x3535353535353535353535353535353535353535", "", wei(1.5))
	night, more, hot := transfers(supplier), transfers(supplier), transfers(supplier)
	night.At = night.At.Add(9 * time.Hour)
	more.Decoded.Transfers[0].Amount = wei(1.6)
	hot.Initiator = "hot"
	bridge, call, dear := transfers(), transfers(), transfers(supplier)
	bridge.Decoded.Calls = []intent.Call{{To: "0x2222222222222222222222222222222222222222", Method: "0x12345678"}}
	call.Decoded.Calls = []intent.Call{{To: alice, Method: "0x12345678"}}
	dear.Decoded.Fee = wei(0.06)
	key := func(vault, kind string, threshold, parties int) Request {
		return Request{Operation: "keygen", Wallet: Wallet{Vault: vault, Kind: kind, Threshold: threshold, Parties: parties}}
	}
	const validator, friend = "cosmosvaloper1zg69v7yszg69v7yszg69v7yszg69v7yss04lv8", "cosmos1zg69v7yszg69v7yszg69v7yszg69v7ys4mp2q5"
	atom := func(field, to string, n int) Request { return cosmos(t, field, to, n) }
	agreed := func(eth float64, treasury, risk int) Request {
		q := transfers(send(alice, "", wei(eth)))
		q.Approvals = map[string]int{"treasury": treasury, "risk": risk}
		return q
	}
	screened := func(n int) Request {
		q := transfers(send(alice, "", wei(1)))
		q.Approvals = map[string]int{"screening": n}
		return q
	}
	spent := func(vault string, eth, hour, day float64) Request {
		q := transfers(send(alice, "", wei(eth)))
		q.Wallet.Vault, q.Spent = vault, before(wei(hour), wei(day), wei(day))
		return q
	}
	type row struct {
		q     Request
		allow bool
	}
	rows := [][]row{
		{{transfers(supplier), true}, {more, false}, {night, false}, {hot, false}, {transfers(send(alice, "", wei(1))), false}},
		{{transfers(supplier), true}, {bridge, true}, {call, false}, {dear, false},
			{transfers(intent.Transfer{What: intent.Allowance, To: alice, Asset: usdc, Amount: big.NewInt(1)}), false}},
		{{atom("to_address", friend, 100_000_000), true}, {atom("to_address", friend, 100_000_001), false},
			{atom("to_address", "cosmos17xpfvakm2amg962yls6f84z3kell8c5lserqta", 1), false},
			{atom("validator_address", validator, 100_000_000), true}, {atom("validator_address", validator, 100_100_000), false},
			{atom("", validator, 0), true}},
		{{key("", "bip340", 2, 3), true}, {key("", "bip340", 2, 4), false}, {key("solana", "ed25519", 2, 3), true},
			{key("solana", "bip340", 2, 3), false}},
		{{agreed(0.5, 0, 0), true}, {agreed(0.6, 1, 1), false}, {agreed(0.6, 2, 0), true}, {agreed(10, 2, 0), true},
			{agreed(11, 2, 0), false}, {agreed(11, 2, 1), true}, {agreed(11, 1, 1), false}},
		{{screened(0), false}, {screened(1), true}, {agreed(1, 2, 2), false}, {call, false}},
		{{spent("trading", 1, 0, 9), true}, {spent("trading", 1.1, 0, 9), false}, {spent("trading", 3, 3, 3), true},
			{spent("hot", 1, 0.1, 1), true}, {spent("hot", 1, 0.2, 1), false}, {call, false}},
	}
	if len(blocks) != len(rows) {
		t.Fatalf("%d policies on the page, %d here", len(blocks), len(rows))
	}
	for i, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		rules, err := Parse(text)
		if err != nil {
			t.Errorf("policy %d: %v", i+1, err)
			continue
		}
		for j, r := range rows[i] {
			if v := rules.Judge(r.q); v.Allow != r.allow {
				t.Errorf("policy %d, request %d: %+v", i+1, j+1, v)
			}
		}
	}
}
