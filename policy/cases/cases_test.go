package cases

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/policy"
)

// rules permit small sends, larger ones with two of the treasury, and no more than ten a day.
const rules = `@id("small") permit (principal == Initiator::"payments", action == Action::"sign", resource in Vault::"trading")
	when { context.what == "send" && context.amount.lessThanOrEqual(decimal("0.5")) };
@id("agreed") permit (principal, action == Action::"sign", resource) when { context.what == "send" && context.approvals.treasury >= 2 };
@id("daily") forbid (principal, action == Action::"sign", resource)
	when { context has spent && context.spent.wallet.day.greaterThan(decimal("10.0")) };
@id("risk") forbid (principal, action == Action::"sign", resource) when { context.asset == "0xA0b8" && context.approvals.risk < 1 };
@id("night") forbid (principal, action, resource) when { context.hour < 6 };
@id("dear") forbid (principal, action, resource) when { context has fee && context.fee.greaterThan(decimal("0.1")) };
@id("none") permit (principal, action == Action::"sign", resource) when { context.method == "0x99" && context.approvals.risk == 0 };
@id("memo") permit (principal, action == Action::"sign", resource) when { context.facts.memo == "rent" };`

// payment is a transaction of 1.5 ether to 0x35…35, and its key.
const (
	payment = "0x02f00107843b9aca008506fc23ac008252089435353535353535353535353535353535353535358814d1120d7b16000080c0"
	key     = "0x0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
)

func parse(t testing.TB, text string) *policy.Rules {
	t.Helper()
	r, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asks is a file with one case of a request, of which nothing is expected but a verdict.
func asks(request, verdict string) string {
	return fmt.Sprintf("assets: [{network: ethereum, id: '0xA0b8', decimals: 6}]\n"+
		"cases: [{name: a, request: {initiator: payments, vault: trading, chain: ethereum, at: 2026-11-30T14:30:00Z, %s}, "+
		"expect: {verdict: %s}}]", request, verdict)
}

// Goal: what a request declares is what rules are asked: parts, amounts, fee, facts, approvals, time, what was spent, and a transaction
// that is read. Method: a request for each on either side of a rule that asks for it.
func TestRequests(t *testing.T) {
	half := "parts: [{what: send, to: '0x35', amount: 0.5}]"
	for request, want := range map[string]struct {
		allow bool
		rule  string
	}{
		half: {true, "small"},
		"parts: [{what: send, to: '0x35', amount: 0.500000000000000001}]":                    {false, "default-deny"},
		"parts: [{what: send, amount: 0.5}, {what: send, amount: 0.6}]":                      {false, "default-deny"},
		"parts: [{what: send, amount: 0.5}, {what: call, to: '0x35', method: '0x12345678'}]": {false, "default-deny"},
		"parts: [{what: send, amount: 0.5}, {what: unknown}]":                                {false, "default-deny"},
		"parts: [{what: send}]":                                                                                         {false, "default-deny"},
		"parts: [{what: allowance, amount: 0.5}]":                                                                       {false, "default-deny"},
		"parts: [{what: message}]":                                                                                      {false, "default-deny"},
		"parts: [{what: send, amount: 5}], approvals: {treasury: 2}":                                                    {true, "agreed"},
		"parts: [{what: send, amount: 5}], approvals: {treasury: 1}":                                                    {false, "default-deny"},
		"parts: [{what: send, asset: '0xA0b8', amount: 0.000001}]":                                                      {false, "risk"},
		"parts: [{what: send, asset: '0xA0b8', amount: 0.000001}], approvals: {risk: 1}":                                {true, "small"},
		half + ", spent: {wallet.day: 9.5}":                                                                             {true, "small"},
		half + ", spent: {wallet.day: 9.6}":                                                                             {false, "daily"},
		half + ", spent: {wallet.hour: 9.6}":                                                                            {false, "daily"},
		half + ", spent: {wallet.week: 9.6, vault.day: 99, wallet.day/0xA0b8: 99}":                                      {true, "small"},
		"parts: [{what: send, asset: '0xA0b8', amount: 0.1}], approvals: {risk: 1}, spent: {wallet.day/0xA0b8: 9.9001}": {false, "daily"},
		half + ", fee: 0.1":                     {true, "small"},
		half + ", fee: 0.2":                     {false, "dear"},
		"parts: [{what: call, method: '0x99'}]": {true, "none"},
		"parts: [{what: call, method: '0x99'}], approvals: {treasury: 1}":                 {true, "none"},
		"parts: [{what: call}], facts: {memo: rent}":                                      {true, "memo"},
		"parts: [{what: call}], facts: {memo: rant}":                                      {false, "default-deny"},
		"transaction: '" + payment + "', public_key: '" + key + "'":                       {false, "default-deny"},
		"transaction: " + payment + ", public_key: " + key + ", approvals: {treasury: 2}": {true, "agreed"},
		"operation: sign-raw": {false, "default-deny"},
	} {
		f, err := Parse([]byte(asks(request, map[bool]string{true: allow, false: deny}[want.allow])))
		if err != nil {
			t.Errorf("%s: %v", request, err)
			continue
		}
		if o, err := f.Try(parse(t, rules)); err != nil || o.Failed > 0 || o.Results[0].Said.Rule != want.rule {
			t.Errorf("%s: %+v, %v", request, o, err)
		}
	}
}

// Goal: no request is tried that cannot be, and none is taken for another than it says. Method: one mistake each.
func TestRequestsRefused(t *testing.T) {
	for request, want := range map[string]string{
		"operation: burn, parts: [{what: send}]":                            `operation "burn" is none of`,
		"wallet: w_1":                                                       "sign-raw",
		"operation: keygen, parts: [{what: send}]":                          "keygen has no transaction",
		"operation: keygen, fee: 1":                                         "keygen has no transaction",
		"operation: sign-raw, transaction: '0x00'":                          "sign-raw has no transaction",
		"transaction: '" + payment + "', fee: 1":                            "beside it",
		"transaction: '" + payment + "'":                                    "public_key",
		"transaction: '0x00', public_key: '" + key + "'":                    "not a payload",
		"parts: [{what: change}]":                                           `part 1: "change" is none of`,
		"parts: [{what: message}, {what: send}]":                            "message alone",
		"parts: [{what: call, amount: 1}]":                                  `"call" has no amount`,
		"parts: [{what: send, amount: 1, asset: '0xDDDD'}]":                 "decimals of asset",
		"parts: [{what: send, amount: 0.0000000000000000001}]":              "no amount in whole units",
		"parts: [{what: send, amount: -1}]":                                 "no amount in whole units",
		"parts: [{what: send, amount: 1e3}]":                                "no amount in whole units",
		"parts: [{what: send, amount: .5}]":                                 "no amount in whole units",
		"parts: [{what: send, amount: '" + strings.Repeat("9", 200) + "'}]": "no amount in whole units",
		"parts: [{what: send}], fee: much":                                  "fee",
		"parts: [{what: send}], at: yesterday":                              "could not",
		"parts: [{what: send}], approvals: {treasury: 33}":                  `33 of "treasury", of which there are 32`,
		"parts: [{what: send}], approvals: {treasury: -1}":                  "-1 of",
		"parts: [{what: send}], spent: {wallet.month: 1}":                   "SCOPE.WINDOW",
		"parts: [{what: send}], spent: {chain.day: 1}":                      "SCOPE.WINDOW",
		"parts: [{what: send}], spent: {wallet.day: ''}":                    "no amount",
		"parts: [{what: send}], spent: {wallet.day/0xDDDD: 1}":              "decimals of asset",
	} {
		text := asks(request, deny)
		if strings.Contains(request, "at: yesterday") {
			text, want = strings.Replace(text, "at: 2026-11-30T14:30:00Z, ", "", 1), "at: give a time"
		}
		f, err := Parse([]byte(text))
		if err == nil {
			_, err = f.Try(parse(t, rules))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", request, err)
		}
	}
}

// Goal: a file is read as it is meant or not at all. Method: a file, as YAML and as JSON, and one mistake each.
func TestParse(t *testing.T) {
	good := `{"cases": [{"name": "a", "request": {"operation": "keygen"}, "expect": {"verdict": "deny"}}]}`
	if f, err := Parse([]byte(good)); err != nil || f.Cases[0].Request.Operation != "keygen" {
		t.Errorf("JSON: %+v, %v", f, err)
	}
	one := "cases: [{name: a, request: {operation: keygen}, expect: {verdict: deny}}]\n"
	if _, err := Parse([]byte(one)); err != nil {
		t.Error(err)
	}
	for name, row := range map[string]struct{ text, want string }{
		"no YAML":               {"cases: [", "cases"},
		"nothing":               {"", "0 cases"},
		"no cases":              {"cases: []", "0 cases"},
		"too many":              {"cases: [" + strings.Repeat("{name: a},", maxCases+1) + "]", "4097 cases"},
		"too long":              {strings.Repeat(" ", MaxFile+1), "at most"},
		"another document":      {one + "---\n" + one, "behind the first document"},
		"a field too many":      {strings.Replace(one, "operation", "operatoin", 1), "operatoin"},
		"one of the file":       {one + "rules: a", "rules"},
		"one of what is wanted": {strings.Replace(one, "verdict: deny", "verdict: deny, need: {a: 1}", 1), "need"},
		"a field twice":         {strings.Replace(one, "name: a", "name: a, name: b", 1), "already defined"},
		"an approval twice":     {strings.Replace(one, "operation: keygen", "approvals: {a: 1, a: 2}", 1), "already defined"},
		"no name":               {strings.Replace(one, "name: a", "name: ''", 1), "case 1 has no name"},
		"a name twice":          {strings.Replace(one, "[", "[{name: a, expect: {verdict: deny}}, ", 1), `two cases are named "a"`},
		"no verdict":            {strings.Replace(one, "verdict: deny", "rule: a", 1), "expect.verdict"},
		"a verdict of none":     {strings.Replace(one, "verdict: deny", "verdict: denied", 1), "expect.verdict"},
		"needs of what may be":  {strings.Replace(one, "verdict: deny", "verdict: allow, needs: {a: 1}", 1), "needs nothing"},
		"decimals":              {"assets: [{network: ethereum, id: a, decimals: 78}]\n" + one, "decimals"},
	} {
		if _, err := Parse([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: a case fails where the verdict, the rule or what is needed is another than expected, and passes where it is not; what no case
// tries is named. Method: what may be expected of one denied and one permitted request.
func TestTry(t *testing.T) {
	large := "request: {initiator: payments, vault: trading, chain: ethereum, at: 2026-11-30T14:30:00Z, parts: [{what: send, amount: 5}]"
	for expect, why := range map[string]string{
		"}, expect: {verdict: deny}": "",
		"}, expect: {verdict: deny, rule: default-deny, needs: {treasury: 2}}":        "",
		"}, expect: {verdict: allow}":                                                 "want allow, and it is deny",
		"}, expect: {verdict: deny, rule: night}":                                     `want rule "night"`,
		"}, expect: {verdict: deny, needs: {treasury: 1}}":                            `and it needs 2 of "treasury"`,
		"}, expect: {verdict: deny, needs: {}}":                                       "want needs of nobody",
		", approvals: {treasury: 2}}, expect: {verdict: deny}":                        "want deny, and it is allow",
		", approvals: {treasury: 2}}, expect: {verdict: allow, rule: agreed}":         "",
		", approvals: {treasury: 2}}, expect: {verdict: allow, rule: 'agreed, memo'}": "want rule",
	} {
		f, err := Parse([]byte("cases: [{name: a, " + large + expect + "}]"))
		if err != nil {
			t.Fatal(err)
		}
		o, err := f.Try(parse(t, rules))
		if err != nil || (o.Failed == 0) != (why == "") || o.Results[0].Passed != (why == "") || !strings.Contains(o.Results[0].Why, why) {
			t.Errorf("%s: %+v, %v", expect, o, err)
		}
		if said := fmt.Sprint(o.Rows()); strings.Contains(said, "FAILED") != (why != "") || !strings.Contains(said, "decided by no case") {
			t.Errorf("%s: %s", expect, said)
		}
		if why != "" {
			continue
		}
		if tried := !strings.Contains(strings.Join(o.Untried, " "), "agreed"); tried != strings.Contains(expect, "agreed") {
			t.Errorf("%s: not tried %v", expect, o.Untried)
		}
	}
	few, err := Parse([]byte("approvers: {treasury: 1}\ncases: [{name: a, " + large + "}, expect: {verdict: deny, needs: {}}}]"))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := few.Try(parse(t, rules)); err != nil || o.Failed > 0 {
		t.Errorf("more than there are: %+v, %v", o, err)
	}
	few.Cases[0].Request.Approvals = map[string]int{"treasury": 2}
	if _, err := few.Try(parse(t, rules)); err == nil || !strings.Contains(err.Error(), `case "a": approvals: 2 of "treasury"`) {
		t.Errorf("more than there are have approved: %v", err)
	}
	for n := range maxGroups + 1 {
		few.Cases[0].Request.Approvals[fmt.Sprint(n)] = 0
	}
	if _, err := few.Try(parse(t, rules)); err == nil || !strings.Contains(err.Error(), "at most 16") {
		t.Errorf("too many groups: %v", err)
	}
	few.Cases[0].Request.Approvals = nil
	few.Approvers["treasury"] = policy.MaxApprovals + 1
	if _, err := few.Try(parse(t, rules)); err == nil || !strings.Contains(err.Error(), "approvers: 33") {
		t.Errorf("more approvers than can count: %v", err)
	}
}

// Goal: whoever tries rules is told what they ask for and the request does not say. Method: requests that say nothing, and all.
func TestNotGiven(t *testing.T) {
	r := parse(t, rules)
	if got := (Request{}).NotGiven(r); fmt.Sprint(got) !=
		`[initiator vault fee facts time (now) approvals of "risk" (0) approvals of "treasury" (0) what was spent of the wallet (nothing)]` {
		t.Errorf("%q", got)
	}
	all := Request{Initiator: "a", Vault: "b", Fee: "1", Facts: map[string]string{"memo": ""}, At: "2026-11-30T14:30:00Z",
		Approvals: map[string]int{"risk": 0, "treasury": 0}, Spent: map[string]string{"wallet.day": "0"}}
	if got := all.NotGiven(r); len(got) > 0 {
		t.Errorf("%q", got)
	}
	keys := parse(t, `@id("keys") permit (principal, action == Action::"keygen", resource == Wallet::"w_1") when
		{ resource.threshold * 2 > resource.parties && resource.kind == "ed25519" && context.network == "" && !(context has fee) };`)
	if got := (Request{Operation: "keygen"}).NotGiven(keys); fmt.Sprint(got) != "[wallet kind of the key threshold (2) parties (3) chain]" {
		t.Errorf("%q", got)
	}
}

// Goal: the cases of docs/POLICY.md pass by the rules that they are said to be of. Method: the block in YAML, and the one in Cedar.
func TestCasesOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(page), "```yaml\n")
	_, cedar, also := strings.Cut(string(page), "```cedar\n@id(\"small\")")
	if !ok || !also {
		t.Fatal("no cases on the page, or no rules")
	}
	cedar, _, _ = strings.Cut("@id(\"small\")"+cedar, "```")
	text, _, _ := strings.Cut(after, "```")
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if o, err := f.Try(parse(t, cedar)); err != nil || o.Failed > 0 || len(o.Untried) > 0 {
		t.Errorf("%+v, %v", o, err)
	}
}

// FuzzParse: a file is refused or tried without a panic, and no case passes that expects another verdict than the rules have said.
func FuzzParse(f *testing.F) {
	f.Add(asks("parts: [{what: send, amount: 0.5}], approvals: {treasury: 1}, spent: {wallet.day: 1}", allow))
	f.Add(asks("transaction: '"+payment+"', public_key: '"+key+"'", deny))
	f.Add("a: &a [1]\ncases: [{name: x, expect: {verdict: deny, needs: {}}}]")
	r := parse(f, rules)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse([]byte(text))
		if err != nil {
			return
		}
		o, err := file.Try(r)
		if err != nil {
			return
		}
		for i, x := range o.Results {
			if x.Passed && x.Said.Allow != (file.Cases[i].Expect.Verdict == allow) {
				t.Fatalf("%+v", x)
			}
		}
		_ = o.Rows()
	})
}
