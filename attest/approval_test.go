package attest

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// treasury is an authority whose rule wants two people of one group and one of another.
func (p people) treasury(tb testing.TB) Authority {
	a := p.authority(tb)
	a.Policy = `@id("agreed") permit (principal, action, resource) when { context.approvals.treasury >= 2 && context.approvals.risk >= 1 };`
	for _, x := range []Approver{{Name: "ann", Groups: []string{"treasury"}}, {Name: "ben", Groups: []string{"risk", "treasury"}},
		{Name: "cleo", Groups: []string{"risk"}}} {
		x.Key = p.der(tb, x.Name)
		a.Approvers = append(a.Approvers, x)
	}
	return a
}

var agreeing = append([]string{"ann", "ben", "cleo"}, everybody...)

// Goal: an approval is of one approver, for exactly what was asked for and as it was read, under one authority, for a time, and never of
// who asks. Method: an intent with two approvals that pass, then one thing changed after they were signed.
func TestApprovals(t *testing.T) {
	p := newPeople(t, agreeing...)
	a, now := p.treasury(t), time.UnixMilli(1_000_000)
	must(t, a.Validate())
	d := &intent.Decoded{Kind: "eip-1559", Transfers: []intent.Transfer{{What: intent.Send, To: "0xA", Amount: big.NewInt(5)}}}
	make2 := func() Intent {
		in := asked(a)
		var err error
		in.Initiation, err = in.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
		must(t, err)
		for _, n := range []string{"ann", "ben"} { // one key of either kind
			x, err := in.Approve(d, n, now.Add(time.Minute), false, p.sign(n))
			must(t, err)
			in.Approvals = append(in.Approvals, *x)
		}
		must(t, in.Validate())
		return in
	}
	in := make2()
	must(t, a.CheckApprovals(in, d, now))
	in.Epoch, in.Scheme, in.Signers, in.Node, in.Requester = 4, "other", []threshold.PartyID{2, 3}, "node2", "bob" // what nodes choose
	must(t, a.CheckApprovals(in, d, now.Add(time.Minute)))
	for name, x := range map[string]struct {
		want string
		f    func(in *Intent, d *intent.Decoded, at *time.Time)
	}{
		"a stranger":        {"no such approver", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Approvals[0].By = "mallory" }},
		"of another":        {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Approvals[1].By = "cleo" }},
		"an initiator":      {"no such approver", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Approvals[0].By = "hot" }},
		"who asks":          {"who asks does not", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Requester = "ann" }},
		"late":              {"expired", func(_ *Intent, _ *intent.Decoded, at *time.Time) { *at = at.Add(61 * time.Second) }},
		"longer":            {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Approvals[0].Expires++ }},
		"another session":   {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.RequestID = "pay-2" }},
		"another wallet":    {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.KeyID = "w_2" }},
		"another message":   {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Message = Hex("more") }},
		"another vault":     {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Vault = "petty" }},
		"another initiator": {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Initiation.By = "payments" }},
		"another amount":    {"does not verify", func(_ *Intent, d *intent.Decoded, _ *time.Time) { d.Transfers[0].Amount = big.NewInt(6) }},
		"what was not read": {"does not verify", func(_ *Intent, d *intent.Decoded, _ *time.Time) { d.Unknown = []string{"x"} }},
		"another authority": {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Authority = make(Hex, 32) }},
		"rejected":          {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Approvals[0].Rejects = true }},
		"a signature":       {"does not verify", func(in *Intent, _ *intent.Decoded, _ *time.Time) { in.Approvals[0].Signature[9] ^= 1 }},
	} {
		in, saw, at := make2(), *d, now
		saw.Transfers = slices.Clone(d.Transfers)
		x.f(&in, &saw, &at)
		if err := a.CheckApprovals(in, &saw, at); !errors.Is(err, ErrNotApproved) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if in := make2(); a.CheckApprovals(in, nil, now) == nil {
		t.Error("what was read is not what was approved")
	}
	far := asked(a)
	far.Initiation, _ = far.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
	if _, err := asked(a).Approve(d, "ann", now, false, p.sign("ann")); !errors.Is(err, ErrNotInitiated) {
		t.Errorf("approved before it was asked for: %v", err)
	}
	x, err := far.Approve(d, "ann", now.Add(MaxInitiation+time.Millisecond), false, p.sign("ann"))
	must(t, err)
	far.Approvals = []Approval{*x}
	if err := a.CheckApprovals(far, d, now); !errors.Is(err, ErrNotApproved) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a year ahead: %v", err)
	}
}

// Goal: rules count people by group, each once, and say how many more of whom they want. Method: all sets of the three approvers.
func TestApprovalsCounted(t *testing.T) {
	p := newPeople(t, agreeing...)
	a := p.treasury(t)
	rules, err := a.Rules()
	must(t, err)
	for _, x := range []struct {
		by    []string
		needs map[string]int // nil: allowed
	}{
		{nil, map[string]int{"risk": 1, "treasury": 2}},
		{[]string{"ann"}, map[string]int{"risk": 1, "treasury": 2}},
		{[]string{"ben"}, map[string]int{"treasury": 2}},
		{[]string{"cleo"}, map[string]int{"treasury": 2}},
		{[]string{"ann", "cleo"}, map[string]int{"treasury": 2}},
		{[]string{"ann", "ben"}, nil},
		{[]string{"ann", "ben", "cleo"}, nil},
	} {
		in := asked(a)
		in.Initiation = &Initiation{By: "hot"}
		for _, n := range x.by {
			in.Approvals = append(in.Approvals, Approval{By: n})
		}
		v := a.Judge(rules, in, nil, threshold.KeyInfo{}, nil)
		if v.Allow != (x.needs == nil) || len(v.Needs) != len(x.needs) {
			t.Errorf("%v: %+v", x.by, v)
		}
		for g, n := range x.needs {
			if v.Needs[g] != n {
				t.Errorf("%v: %+v", x.by, v)
			}
		}
	}
}

// Goal: approvals have one form, and stand where an initiation does only.
func TestApprovalForm(t *testing.T) {
	a := newPeople(t, everybody...).authority(t)
	good := func(by string) Approval { return Approval{By: by, Expires: 1, Signature: make(Hex, InitiationBytes)} }
	for name, f := range map[string]func(*Intent){
		"alone":     func(in *Intent) { in.Initiation, in.Authority = nil, nil },
		"no name":   func(in *Intent) { in.Approvals[0].By = "" },
		"no expiry": func(in *Intent) { in.Approvals[1].Expires = 0 },
		"short":     func(in *Intent) { in.Approvals[1].Signature = make(Hex, 63) },
		"twice":     func(in *Intent) { in.Approvals[1].By = "ann" },
		"rejects":   func(in *Intent) { in.Approvals[1].Rejects = true },
		"order":     func(in *Intent) { in.Approvals[1].By = "al" },
		"too many": func(in *Intent) {
			for i := range MaxApprovals {
				in.Approvals = append(in.Approvals, good("z"+strings.Repeat("z", i)))
			}
		},
	} {
		in := asked(a)
		in.Initiation = &Initiation{By: "hot", Expires: 1, Signature: make(Hex, InitiationBytes)}
		in.Approvals = []Approval{good("ann"), good("ben")}
		must(t, in.Validate())
		f(&in)
		if in.Validate() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// Goal: what a program is asked at is an address that officers read as it is, over which nobody else reads what is asked; of an authority
// without any the bytes are as they were. Method: addresses that pass, and with one thing wrong.
func TestWebhookAddress(t *testing.T) {
	p := newPeople(t, agreeing...)
	a := p.treasury(t)
	for _, good := range []string{"https://risk.example.com/screen", "https://10.0.0.7:8443/v1/screen", "http://127.0.0.1:9000",
		"http://[::1]:9000/s"} {
		a.Approvers[2].Webhook = good
		if err := a.Validate(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"http://risk.example.com/", "http://10.0.0.7/", "http://localhost:9000/", "ftp://127.0.0.1/", "//host/path",
		"https:///path", "https://user:word@host/", "https://host/?to=x", "https://host/?", "https://host/#x", "https://host/ path",
		"https://h\u043est.example/\u200d", "https://host/" + strings.Repeat("a", maxText), "risk", "https://host:port/", "HTTPS://host/"} {
		a.Approvers[2].Webhook = bad
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), `approver "cleo": webhook`) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	a.Approvers[2].Webhook = ""
	without := a.Digest()
	if a.Approvers[2].Webhook = "https://host/"; a.Digest() == without {
		t.Error("officers do not sign the address")
	}
	type before struct {
		Name   string   `cbor:"1,keyasint"`
		Key    Hex      `cbor:"2,keyasint"`
		Groups []string `cbor:"3,keyasint"`
	}
	x := a.Approvers[0]
	if !bytes.Equal(canon.MustMarshal(x), canon.MustMarshal(before{x.Name, x.Key, x.Groups})) {
		t.Error("a person is written otherwise than before")
	}
}

// Goal: officers hear of rules that want more people of a group than there are, or than can count, and of none that can be satisfied.
// Method: rules that ask for one more and one fewer of groups of none, one and two; for more than a request can have; and counts of which
// nothing can be told.
func TestUnmanned(t *testing.T) {
	p := newPeople(t, agreeing...)
	a := p.treasury(t)
	for text, want := range map[string]string{
		"context.approvals.treasury >= 2 && context.approvals.risk > 1": "",
		"context.approvals.treasury >= 3":                               `rules count approvals of 3 of "treasury", of which 2 can count`,
		"context.approvals.tresury >= 1":                                `rules count approvals of "tresury", in which nobody is`,
		"context.approvals.treasury > 2 && context.approvals.x > 0": `rules count approvals of 3 of "treasury", of which 2 can count, ` +
			`and "x", in which nobody is`,
		"context.approvals.treasury + context.approvals.risk >= 9": "",
		"context.hour > 8": "",
	} {
		a.Policy = `@id("a") permit (principal, action, resource) when { ` + text + ` };`
		rules, err := a.Rules()
		must(t, err)
		if got := a.Unmanned(rules); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
	for i := range MaxApprovals + 9 {
		a.Approvers = append(a.Approvers, Approver{Name: fmt.Sprint("z", i), Groups: []string{"many"}})
	}
	a.Policy = `@id("a") permit (principal, action, resource) when { context.approvals.many > 32 };`
	rules, err := a.Rules()
	must(t, err)
	if got := a.Unmanned(rules); !strings.Contains(got, `33 of "many", of which 32 can count`) {
		t.Error(got)
	}
}
