package attest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// people are officers and initiators of tests, with their keys.
type people struct {
	*testToken
	root ed25519.PrivateKey
}

func newPeople(tb testing.TB, names ...string) people {
	tb.Helper()
	ids := map[string]hsm.KeyType{}
	for i, n := range names {
		ids[n] = []hsm.KeyType{hsm.KeyEd25519, hsm.KeyP256}[i%2]
	}
	_, root, err := ed25519.GenerateKey(rand.Reader)
	must(tb, err)
	return people{newTestToken(tb, ids), root}
}

func (p people) sign(name string) SignFunc {
	if name == RootSigner {
		return func(m []byte) ([]byte, error) { return ed25519.Sign(p.root, m), nil }
	}
	return func(m []byte) ([]byte, error) { return p.Sign(context.Background(), name, m) }
}

func (p people) der(tb testing.TB, name string) Hex {
	tb.Helper()
	pub, err := p.PublicKey(context.Background(), name)
	must(tb, err)
	der, err := MarshalPublicKey(pub)
	must(tb, err)
	return der
}

// permitAll is a policy that says nothing.
const permitAll = `@id("all") permit (principal, action, resource);`

// authority is the first of a cluster: two of three officers, an initiator for each of two vaults.
func (p people) authority(tb testing.TB) Authority {
	a := Authority{Version: AuthorityVersion, Cluster: "test", Serial: 1, Quorum: 2, Policy: permitAll}
	for _, n := range []string{"olga", "otto", "oyuki"} {
		a.Officers = append(a.Officers, Officer{n, p.der(tb, n)})
	}
	a.Initiators = []Initiator{
		{"hot", p.der(tb, "hot"), []Grant{{[]Operation{OpSign, OpSignRaw}, []string{"trading"}}}},
		{"payments", p.der(tb, "payments"), []Grant{{[]Operation{OpSign, OpSignRaw, OpKeygen, OpRefresh}, []string{AnyVault}}}},
	}
	return a
}

var everybody = []string{"hot", "olga", "otto", "oyuki", "payments"}

// signed is an authority with the words of some.
func (p people) signed(tb testing.TB, a Authority, by ...string) SignedAuthority {
	tb.Helper()
	out := SignedAuthority{Authority: a}
	for _, n := range by {
		s, err := a.Sign(n, p.sign(n))
		must(tb, err)
		out.Signatures = append(out.Signatures, s)
	}
	return out
}

// after is an authority that follows another, as a whole.
func (p people) after(a Authority) Authority {
	next := a
	next.Serial, next.Prior = a.Serial+1, a.Digest()
	next.Officers, next.Initiators = slices.Clone(a.Officers), slices.Clone(a.Initiators)
	return next
}

// Goal: no node, and no single officer, changes who may ask. Method: chains with one thing wrong, each signed as well as its maker can.
func TestAuthorityChain(t *testing.T) {
	p := newPeople(t, everybody...)
	root := p.root.Public().(ed25519.PublicKey)
	a := p.authority(t)
	first := p.signed(t, a, RootSigner)
	b := p.after(a)
	b.Officers = b.Officers[:2] // oyuki leaves
	good := AuthorityChain{first, p.signed(t, b, "olga", "oyuki")}
	if now, err := good.Verify(root); err != nil || now.Serial != 2 {
		t.Fatalf("%+v, %v", now, err)
	}
	if again, err := ParseAuthority(good.JSON(), root); err != nil || !bytes.Equal(again.JSON(), good.JSON()) {
		t.Fatalf("read again: %v", err)
	}
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	other := p.authority(t)
	other.Initiators = other.Initiators[:1]
	elsewhere := p.after(a)
	elsewhere.Cluster = "elsewhere"
	skips := p.after(a)
	skips.Serial = 3
	c := p.after(b)
	for name, x := range map[string]struct {
		chain AuthorityChain
		root  ed25519.PublicKey
		want  string
	}{
		"none":                   {nil, root, "0 authorities"},
		"another root":           {good, stranger.Public().(ed25519.PublicKey), "does not verify"},
		"no root":                {good, nil, "32 bytes"},
		"first by officers":      {AuthorityChain{p.signed(t, a, "olga", "otto")}, root, "no root key"},
		"one officer":            {AuthorityChain{first, p.signed(t, b, "olga")}, root, "1 of 3 officers signed, 2 must"},
		"one officer twice":      {AuthorityChain{first, p.signed(t, b, "olga", "olga")}, root, "signed already"},
		"root again":             {AuthorityChain{first, p.signed(t, b, RootSigner)}, root, "no officer"},
		"initiators":             {AuthorityChain{first, p.signed(t, b, "hot", "payments")}, root, "no officer"},
		"a former officer":       {append(slices.Clone(good), p.signed(t, c, "olga", "oyuki")), root, "no officer"},
		"not after this one":     {AuthorityChain{p.signed(t, other, RootSigner), good[1]}, root, "does not follow"},
		"of another cluster":     {AuthorityChain{first, p.signed(t, elsewhere, "olga", "otto")}, root, "another cluster"},
		"a serial left out":      {AuthorityChain{first, p.signed(t, skips, "olga", "otto")}, root, "does not follow"},
		"another one's words":    {AuthorityChain{first, {b, p.signed(t, c, "olga", "otto").Signatures}}, root, "does not verify"},
		"without the first":      {good[1:], root, "does not follow"},
		"longer than it may be":  {make(AuthorityChain, maxChain+1), root, "1025"},
		"invalid though it goes": {AuthorityChain{{Authority{Version: 9}, nil}}, root, "version 9"},
	} {
		if now, err := x.chain.Verify(x.root); !errors.Is(err, ErrAuthority) || !strings.Contains(err.Error(), x.want) || now != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	fork := AuthorityChain{first, p.signed(t, p.after(a), "olga", "otto")}
	if !good.Extends(good[:1]) || !good.Extends(nil) || !good.Extends(good) || good[:1].Extends(good) || fork.Extends(good) {
		t.Error("which chain may take another's place")
	}
}

// Goal: an authority that no cluster may have is refused for its reason. Method: one fault at a time.
func TestAuthorityValidate(t *testing.T) {
	p := newPeople(t, agreeing...)
	for name, x := range map[string]struct {
		want string
		f    func(*Authority)
	}{
		"version":            {"version", func(a *Authority) { a.Version = 2 }},
		"cluster":            {"cluster", func(a *Authority) { a.Cluster = "A" }},
		"serial":             {"serials", func(a *Authority) { a.Serial = 0 }},
		"first with a prior": {"serials", func(a *Authority) { a.Prior[0] = 1 }},
		"second without":     {"serials", func(a *Authority) { a.Serial = 2 }},
		"quorum 0":           {"quorum", func(a *Authority) { a.Quorum = 0 }},
		"quorum too large":   {"quorum", func(a *Authority) { a.Quorum = 4 }},
		"no officers":        {"quorum", func(a *Authority) { a.Officers = nil }},
		"too many officers":  {"officers", func(a *Authority) { a.Officers = make([]Officer, maxOfficers+1) }},
		"no initiators":      {"no list", func(a *Authority) { a.Initiators = nil }},
		"too many":           {"1025 initiators", func(a *Authority) { a.Initiators = make([]Initiator, maxInitiators+1) }},
		"officer's name":     {"names are", func(a *Authority) { a.Officers[0].Name = "Olga" }},
		"named root":         {"names are", func(a *Authority) { a.Officers[2].Name = RootSigner }},
		"order":              {"ascend", func(a *Authority) { a.Officers[0], a.Officers[1] = a.Officers[1], a.Officers[0] }},
		"twice":              {"ascend", func(a *Authority) { a.Initiators[1].Name = "hot" }},
		"key twice":          {"one of its own", func(a *Authority) { a.Officers[1].Key = a.Officers[0].Key }},
		"officer initiates":  {"one of its own", func(a *Authority) { a.Initiators[0].Key = a.Officers[0].Key }},
		"no key":             {"public key", func(a *Authority) { a.Initiators[0].Key = nil }},
		"no grants":          {"0 grants", func(a *Authority) { a.Initiators[0].May = nil }},
		"too many grants":    {"65 grants", func(a *Authority) { a.Initiators[0].May = make([]Grant, maxGrants+1) }},
		"no operations":      {"without", func(a *Authority) { a.Initiators[0].May[0].Operations = nil }},
		"no vaults":          {"without", func(a *Authority) { a.Initiators[0].May[0].Vaults = nil }},
		"presign":            {"presign", func(a *Authority) { a.Initiators[0].May[0].Operations = []Operation{OpPresign} }},
		"policy too long":    {"a policy of", func(a *Authority) { a.Policy = strings.Repeat(" ", policy.MaxText+1) }},
		"too many assets":    {"1025 assets", func(a *Authority) { a.Assets = make([]policy.Asset, maxAssets+1) }},
		"hidden in a policy": {"the policy has", func(a *Authority) { a.Policy = "// \x1b[2J" }},
		"negative decimals":  {"decimals", func(a *Authority) { a.Assets = []policy.Asset{{Network: "base", ID: "x", Decimals: -1}} }},
		"many decimals":      {"decimals", func(a *Authority) { a.Assets = []policy.Asset{{Network: "base", ID: "x", Decimals: 78}} }},
		"long asset":         {"decimals", func(a *Authority) { a.Assets = []policy.Asset{{ID: strings.Repeat("x", maxText+1)}} }},
		"hidden in an asset": {"can be seen", func(a *Authority) { a.Assets = []policy.Asset{{Network: "a\u202eb"}} }},
		"asset twice":        {"twice", func(a *Authority) { a.Assets = []policy.Asset{{ID: "x", Decimals: 6}, {ID: "x", Decimals: 18}} }},
		"hidden characters":  {"cannot be seen", func(a *Authority) { a.Initiators[0].May[0].Vaults = []string{"a\u202eb"} }},
		"too many people":    {"1025 approvers", func(a *Authority) { a.Approvers = make([]Approver, maxApprovers+1) }},
		"approver's name":    {"names are", func(a *Authority) { a.Approvers[0].Name = "Ann" }},
		"an officer's key":   {"one of its own", func(a *Authority) { a.Approvers[0].Key = a.Officers[0].Key }},
		"asks and approves":  {"nobody does both", func(a *Authority) { a.Approvers[2].Name = "hot" }},
		"no group":           {"0 groups", func(a *Authority) { a.Approvers[1].Groups = nil }},
		"group twice":        {"ascend", func(a *Authority) { a.Approvers[1].Groups = []string{"risk", "risk"} }},
		"group's name":       {"ascend", func(a *Authority) { a.Approvers[1].Groups = []string{"Risk"} }},
		"too many groups": {"18 groups", func(a *Authority) {
			a.Approvers[1].Groups = nil
			for i := range maxGroups {
				a.Approvers[1].Groups = append(a.Approvers[1].Groups, "g"+string(rune('a'+i)))
			}
		}},
		"of one too many": {"17 groups", func(a *Authority) { a.Approvers[1].Groups = make([]string, maxGroups+1) }},
	} {
		a := p.treasury(t)
		x.f(&a)
		if err := a.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	lines := p.authority(t)
	lines.Policy = "// a\n\t" + permitAll
	must(t, lines.Validate())
	lines.Policy = "permit"
	if _, err := lines.Sign(RootSigner, p.sign(RootSigner)); err == nil || !strings.Contains(err.Error(), "policy") {
		t.Errorf("a policy that nobody can read is signed: %v", err)
	}
	must(t, p.authority(t).Validate())
	nobody := p.authority(t)
	nobody.Initiators = []Initiator{}
	must(t, nobody.Validate())
}

// asked is an intent of the cluster of newPeople's.
func asked(a Authority) Intent {
	digest := a.Digest()
	return Intent{Authority: digest[:], Vault: "trading", Version: IntentVersion, Cluster: "test", Operation: OpSign, RequestID: "pay-1",
		KeyID: "w_1", Scheme: "frost-ed25519", Epoch: 3, Message: Hex("a payment"), Chain: "solana", Signers: []threshold.PartyID{1, 2},
		Node: "node1", Created: 1_000_000}
}

// Goal: what is signed is what an initiator asked for who may, within its time, and no field of it can be another. Method: an intent that
// passes, then each field of it changed after it was signed; fields that nodes choose may differ.
func TestInitiation(t *testing.T) {
	p := newPeople(t, "hot", "payments", "olga", "otto", "oyuki")
	a := p.authority(t)
	now := time.UnixMilli(1_000_000)
	for _, who := range []string{"hot", "payments"} { // one key of either kind
		in := asked(a)
		x, err := in.Initiate(who, now.Add(time.Minute), p.sign(who))
		must(t, err)
		in.Initiation = x
		must(t, in.Validate())
		must(t, a.CheckInitiation(in, now))
		in.Epoch, in.Scheme, in.Signers, in.Node, in.Requester = 4, "other", []threshold.PartyID{2, 3}, "node2", "bob"
		must(t, a.CheckInitiation(in, now.Add(time.Minute)))
	}
	for name, x := range map[string]struct {
		want, next string
		f          func(in *Intent, at *time.Time)
	}{
		"nobody":      {"no initiator has signed", "--initiator NAME@CLUSTER", func(in *Intent, _ *time.Time) { in.Initiation = nil }},
		"a stranger":  {"has no initiator", "as one that it has", func(in *Intent, _ *time.Time) { in.Initiation.By = "mallory" }},
		"another":     {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.Initiation.By = "payments" }},
		"its vault":   {"may not ask for sign-raw in vault", "officers grant it", func(in *Intent, _ *time.Time) { in.Vault = "cold" }},
		"no vault":    {"may not ask", "officers grant it", func(in *Intent, _ *time.Time) { in.Vault = "" }},
		"operation":   {"may not ask for refresh", "officers grant it", func(in *Intent, _ *time.Time) { in.Operation = OpRefresh }},
		"cluster":     {"another cluster", "of its own cluster", func(in *Intent, _ *time.Time) { in.Cluster = "test2" }},
		"late":        {"expired", "sign the request again", func(_ *Intent, at *time.Time) { *at = at.Add(time.Minute + time.Millisecond) }},
		"longer":      {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.Initiation.Expires++ }},
		"session":     {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.RequestID = "pay-2" }},
		"key":         {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.KeyID = "w_2" }},
		"message":     {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.Message = Hex("more") }},
		"path":        {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.Path = []uint32{1} }},
		"chain":       {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.Chain = "sui" }},
		"a signature": {"does not verify", "that the authority has for", func(in *Intent, _ *time.Time) { in.Initiation.Signature[3] ^= 1 }},
		"a slip in its cluster": {"does not verify", "as hot@test, ", func(in *Intent, _ *time.Time) {
			other := *in
			other.Cluster = "tset"
			in.Initiation, _ = other.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
		}},
	} {
		in, at := asked(a), now
		var err error
		in.Initiation, err = in.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
		must(t, err)
		x.f(&in, &at)
		var why *InitiationError
		if err := a.CheckInitiation(in, at); !errors.Is(err, ErrNotInitiated) || !errors.As(err, &why) ||
			!strings.Contains(err.Error(), x.want) || !strings.Contains(why.Next, x.next) {
			t.Errorf("%s: %v", name, why)
		}
	}
	readable := a
	readable.Initiators = slices.Clone(a.Initiators)
	readable.Initiators[0].May = []Grant{{[]Operation{OpSign}, []string{AnyVault}}}
	for what, payload := range map[string]*Payload{"a payload": {Format: "transaction", Bytes: Hex("x")}, "sign-raw": nil} {
		in := asked(readable)
		in.Payload = payload
		in.Initiation, _ = in.Initiate("hot", now.Add(time.Minute), p.sign("hot"))
		err := readable.CheckInitiation(in, now)
		if payload == nil && (err == nil || !strings.Contains(err.Error(), "may not ask for sign-raw")) || payload != nil && err != nil {
			t.Errorf("%s: %v", what, err)
		}
		in.Payload = &Payload{Format: "transaction", Bytes: Hex("y")}
		if readable.CheckInitiation(in, now) == nil {
			t.Errorf("%s: another payload", what)
		}
	}
	far := asked(a)
	far.Initiation, _ = far.Initiate("hot", now.Add(MaxInitiation+time.Millisecond), p.sign("hot"))
	if err := a.CheckInitiation(far, now); !errors.Is(err, ErrNotInitiated) || !strings.Contains(err.Error(), "more than") ||
		!strings.Contains(err.(*InitiationError).Next, "at most a week ahead") {
		t.Errorf("a year ahead: %v", err)
	}
}

// Goal: of a key to make the initiator's word covers what it is, in which vault, and among how many; who they are the nodes choose.
func TestInitiationOfKeygen(t *testing.T) {
	p := newPeople(t, everybody...)
	a, now := p.authority(t), time.UnixMilli(1_000_000)
	digest := a.Digest()
	key := Intent{Authority: digest[:], Version: IntentVersion, Cluster: "test", Operation: OpKeygen, RequestID: "new",
		Scheme: "frost-ed25519", Signers: []threshold.PartyID{1, 2, 3}, Node: "node1", Created: 1_000_000,
		Keygen: &KeygenParams{Threshold: 2, Kind: "ed25519", Label: "ops", Group: "trading"}}
	key.Initiation, _ = key.Initiate("payments", now.Add(time.Minute), p.sign("payments"))
	must(t, key.Validate())
	must(t, a.CheckInitiation(key, now))
	for name, f := range map[string]func(*Intent){
		"threshold": func(in *Intent) { in.Keygen.Threshold = 3 },
		"kind":      func(in *Intent) { in.Keygen.Kind = "bip340" },
		"label":     func(in *Intent) { in.Keygen.Label = "cold" },
		"vault":     func(in *Intent) { in.Keygen.Group = "cold" },
		"parties":   func(in *Intent) { in.Signers = in.Signers[:2] },
	} {
		in := key
		params := *key.Keygen
		in.Keygen = &params
		f(&in)
		if err := a.CheckInitiation(in, now); !errors.Is(err, ErrNotInitiated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Goal: an initiation has one form, and stands where one is wanted only.
func TestInitiationForm(t *testing.T) {
	a := newPeople(t, everybody...).authority(t)
	for name, f := range map[string]func(*Intent){
		"no authority": func(in *Intent) { in.Authority = nil },
		"short digest": func(in *Intent) { in.Authority = in.Authority[:31] },
		"alone":        func(in *Intent) { in.Initiation = nil },
		"no name":      func(in *Intent) { in.Initiation.By = "" },
		"no expiry":    func(in *Intent) { in.Initiation.Expires = 0 },
		"short":        func(in *Intent) { in.Initiation.Signature = make(Hex, 63) },
		"unseen":       func(in *Intent) { in.Initiation.Parameters = "\u200b" },
		"too long":     func(in *Intent) { in.Initiation.Parameters = strings.Repeat("a", maxParameters+1) },
		"of a presign": func(in *Intent) { in.Operation, in.Message, in.Chain = OpPresign, nil, "" },
	} {
		in := asked(a)
		in.Initiation = &Initiation{By: "hot", Expires: 1, Signature: make(Hex, InitiationBytes)}
		must(t, in.Validate())
		f(&in)
		if in.Validate() == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// Goal: keys that were read are the ones that were written, each time, and what is kept of them is bounded. Method: more keys than are
// kept, each read twice; one that is none is none again.
func TestParsedKeysAreBounded(t *testing.T) {
	for range parsedMost + 10 {
		pub, _, err := ed25519.GenerateKey(nil)
		must(t, err)
		der, err := MarshalPublicKey(pub)
		must(t, err)
		for range 2 {
			if got, err := ParsePublicKey(der); err != nil || !pub.Equal(got) {
				t.Fatalf("%x is read as %x, %v", pub, got, err)
			}
		}
	}
	if n := len(parsed.m); n == 0 || n > parsedMost {
		t.Errorf("%d keys are kept", n)
	}
	for range 2 {
		if got, err := ParsePublicKey([]byte("none")); err == nil || got != nil {
			t.Errorf("no key is read as %x", got)
		}
	}
}
