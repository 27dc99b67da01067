package enrol

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ed25519"
	_ "embed" // the starter
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/keyfile"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/policy"
)

// The files of who may ask, in the operator's directory where `mpcd init` makes them: for a pilot, one officer and one initiator.
const (
	AuthorityFile = "authority.json" // a node has a copy
	InitiatorFile = "initiator.key"
	officerFile   = "officer.key"
)

// The names of whom Pilot makes, and of the initiator whose key mpcium's settings name; and the grant of all there is.
const (
	pilotOfficer   = "officer"
	PilotInitiator = "initiator"
	EventInitiator = "event_initiator"
	all            = ":sign+sign-raw+keygen+refresh"
)

// FirstAuthority has the root key sign the first authority of the cluster, which must not have one here.
func (a *Operator) FirstAuthority(change Amendment) (attest.AuthorityChain, error) {
	path := filepath.Join(a.dir, AuthorityFile)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, fault.Usage("have its officers change it: `mpcd authority change`", "%s is there already", path)
	}
	first := attest.Authority{Version: attest.AuthorityVersion, Cluster: a.cluster, Serial: 1, Policy: starter}
	if err := change.Apply(&first); err != nil {
		return nil, err
	}
	s, err := first.Sign(attest.RootSigner, func(m []byte) ([]byte, error) { return ed25519.Sign(a.root, m), nil })
	if err != nil {
		return nil, fault.Usage("correct the officers and initiators", "%w", err)
	}
	c := attest.AuthorityChain{{Authority: first, Signatures: []attest.AuthoritySignature{s}}}
	return c, WriteChain(path, c)
}

// Successor is an authority that follows the last of a chain, as change makes it, with the first signature: of an officer, or an author.
func Successor(c attest.AuthorityChain, change Amendment, by string, sign attest.SignFunc) (attest.AuthorityChain, error) {
	last := c[len(c)-1].Authority
	next := last
	next.Serial, next.Prior = last.Serial+1, last.Digest()
	next.Officers, next.Initiators = slices.Clone(last.Officers), append([]attest.Initiator{}, last.Initiators...)
	next.Authors = slices.Clone(last.Authors)
	next.Assets, next.Approvers = slices.Clone(last.Assets), slices.Clone(last.Approvers)
	same := next.Digest()
	if err := change.Apply(&next); err != nil {
		return nil, err
	}
	if next.Digest() == same {
		return nil, fault.Usage("say what is to be another; to sign what somebody else wrote, `mpcd authority sign FILE`",
			"this changes nothing of the authority of serial %d", last.Serial)
	}
	return Endorse(append(slices.Clone(c), attest.SignedAuthority{Authority: next}), by, sign)
}

// alive refuses a chain that no node takes up, whoever signs it yet: people sign the last alone, so each link before it must have its
// signatures already, and none may be there that does not verify.
func alive(c attest.AuthorityChain) error {
	for n := 1; n < len(c); n++ {
		for _, w := range c[:n].Signed() {
			if w.Missing() > 0 {
				return fault.Usage("have them sign that first, `mpcd authority sign FILE`, and change what all have signed",
					"serial %d is not in force: %d of %d %ss have signed it, and of %s %d more must", n, len(w.By), w.Must, w.Role,
					strings.Join(w.Others, ", "), w.Missing())
			}
		}
	}
	if err := c.VerifyOfficers(true); err != nil {
		return &fault.Error{Code: fault.CodeIntegrity, Err: err, Do: "begin again from the authority in force"}
	}
	return nil
}

// Endorse adds an officer's or an author's signature to the last of a chain, in the place of one that is there by the same.
func Endorse(c attest.AuthorityChain, by string, sign attest.SignFunc) (attest.AuthorityChain, error) {
	out := slices.Clone(c)
	last := out[len(out)-1]
	s, err := last.Authority.Sign(by, sign)
	if err != nil {
		return nil, fault.Usage("correct the change", "%w", err)
	}
	if len(out) < 2 {
		return nil, fault.Usage("the first is signed by the root key, `mpcd authority init`",
			"there is no authority before this one, whose officers sign it")
	}
	if err := last.Authority.CheckSignature(s, out[len(out)-2].Authority); err != nil {
		return nil, fault.Usage("give the name of who changes this in the authority in force, as `mpcd authority show` says, and that "+
			"one's key", "%w", err)
	}
	last.Signatures = append(slices.DeleteFunc(slices.Clone(last.Signatures), func(x attest.AuthoritySignature) bool { return x.By == by }), s)
	out[len(out)-1] = last
	return out, alive(out)
}

// UseKey lends the key in a file, for whose passphrase is asked where it has one. The flags that name both begin with role.
func UseKey(role, path string, passphrase func() (*secret.Bytes, error), f func(attest.SignFunc) error) error {
	key, err := keyfile.Read(path, passphrase)
	if err != nil {
		return fault.Usage("correct --"+role+"key and --"+role+"passphrase", "%w", err)
	}
	defer key.Wipe()
	return f(key.Sign)
}

// MakeKeyFile makes a person's key in a file that is not there yet, under a passphrase if there is one, and returns its public half.
func MakeKeyFile(path string, kind hsm.KeyType, passphrase *secret.Bytes) (crypto.PublicKey, error) {
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, fault.Usage("name another file, or remove that one if nobody needs its key", "%s is there already", path)
	}
	k, err := keyfile.Generate(kind)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	b, err := k.File(passphrase)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(b)
	return k.Public(), durable.WriteFile(path, b, 0o600)
}

// ParseOfficer reads NAME=KEY of an officer or an author: the key is in hex, PKIX DER.
func ParseOfficer(spec string) (o attest.Officer, err error) {
	o.Name, o.Key, err = nameAndKey(spec)
	return o, err
}

// ParseInitiator reads NAME=KEY[:OPERATIONS[:VAULTS]], lists joined by +. Without operations all are meant
// but sign-raw, without vaults all, and none.
func ParseInitiator(spec string) (i attest.Initiator, err error) {
	parts := strings.Split(spec, ":")
	if len(parts) > 3 {
		return i, fault.Usage("give NAME=KEY:OPERATIONS:VAULTS, as payments=0x30…:sign+keygen:trading", "%q has too many parts", spec)
	}
	grant := attest.Grant{Operations: []attest.Operation{attest.OpSign, attest.OpKeygen, attest.OpRefresh}, Vaults: []string{attest.AnyVault}}
	if len(parts) > 1 {
		grant.Operations = nil
		for _, op := range strings.Split(parts[1], "+") {
			grant.Operations = append(grant.Operations, attest.Operation(op))
		}
	}
	if len(parts) > 2 {
		grant.Vaults = strings.Split(parts[2], "+")
	}
	i.May = []attest.Grant{grant}
	i.Name, i.Key, err = nameAndKey(parts[0])
	return i, err
}

// ParseApprover reads NAME=KEY:GROUPS, groups joined by +, and after them of a program @WEBHOOK, of a passkey @passkey, @passkey:RP-ID or
// @passkey:RP-ID+ORIGIN+….
func ParseApprover(spec string) (x attest.Approver, err error) {
	person, groups, ok := strings.Cut(spec, ":")
	if !ok {
		return x, fault.Usage("give NAME=KEY:GROUPS, as ann=0x30…:treasury+risk", "%q names no group of the approver", spec)
	}
	groups, asked, _ := strings.Cut(groups, "@")
	if x.Passkey = parsePasskey(asked); x.Passkey == nil {
		x.Webhook = asked
	}
	x.Groups = slices.Compact(slices.Sorted(slices.Values(strings.Split(groups, "+"))))
	x.Name, x.Key, err = nameAndKey(person)
	return x, err
}

// ParseAssets reads NETWORK/ID=DECIMALS, as the flag --asset has them.
func ParseAssets(specs []string) (out []policy.Asset, err error) {
	for _, spec := range specs {
		a, err := parseAsset(spec)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func parseAsset(spec string) (a policy.Asset, err error) {
	left, decimals, ok := strings.Cut(spec, "=")
	network, id, also := strings.Cut(left, "/")
	n, err := strconv.ParseUint(decimals, 10, 8)
	if !ok || !also || network == "" || id == "" || err != nil || n > policy.MaxDecimals {
		return a, fault.Usage("give NETWORK/ID=DECIMALS, as ethereum/0xA0b8…=6", "%q names no asset", spec)
	}
	return policy.Asset{Network: network, ID: id, Decimals: int(n)}, nil
}

func nameAndKey(spec string) (string, attest.Hex, error) {
	name, key, ok := strings.Cut(spec, "=")
	var b attest.Hex
	err := b.UnmarshalText([]byte("0x" + strings.TrimPrefix(key, "0x")))
	if !ok || err != nil || len(b) == 0 {
		return "", nil, fault.Usage("give NAME=KEY, the key as `mpcd authority key` prints it", "%q names no key in hex", spec)
	}
	return name, b, nil
}

// AuthorityRows show the last of a chain, for people.
func AuthorityRows(c attest.AuthorityChain) (rows [][]any) {
	a := c[len(c)-1].Authority
	row := func(cells ...any) { rows = append(rows, cells) }
	row("cluster", a.Cluster)
	row("serial", a.Serial)
	row("digest", a.Digest())
	for _, w := range c.Signed() {
		signed := fmt.Sprintf("%s: %d of %d %ss have signed", cmp.Or(strings.Join(w.By, ", "), "nobody"), len(w.By), w.Must, w.Role)
		if w.Missing() > 0 {
			signed += fmt.Sprintf("; not in force: of %s %d more must, by `mpcd authority sign`", strings.Join(w.Others, ", "), w.Missing())
		}
		row("signed by", signed)
	}
	what := ""
	if len(a.Authors) > 0 {
		what = ": all but its rules, and who the authors are"
		row("rules by", fmt.Sprintf("%d of %d authors: policy and assets, and nothing else", a.AuthorQuorum, len(a.Authors)))
	}
	row("next by", fmt.Sprintf("%d of %d officers%s", a.Quorum, len(a.Officers), what))
	for _, x := range a.Officers {
		row("officer", x.Name, x.Key)
	}
	for _, x := range a.Authors {
		row("author", x.Name, x.Key)
	}
	for _, x := range a.Initiators {
		for _, g := range x.May {
			row("initiator", x.Name, fmt.Sprintf("%s in %s", quoted(g.Operations), quoted(g.Vaults)), x.Key)
		}
	}
	for _, x := range a.Approvers {
		row("approver", x.Name, "of "+quoted(x.Groups), x.Key, x.Webhook, x.Passkey)
	}
	for _, x := range a.Assets {
		row("asset", x.Network, x.ID, fmt.Sprintf("%d decimals", x.Decimals))
	}
	for _, line := range strings.Split(strings.TrimRight(a.Policy, "\n"), "\n") {
		row("policy", line)
	}
	switch rules, err := a.Rules(); {
	case err != nil:
		row("WARN", err)
	case len(rules.Names()) == 0:
		row("WARN", "it has no rules, and permits nothing: "+host.NoRules)
	case a.Unmanned(rules) != "":
		row("WARN", a.Unmanned(rules)+": "+attest.Manned)
	}
	return rows
}

// quoted are names, for people.
func quoted[T ~string](of []T) string {
	out := make([]string, len(of))
	for i, x := range of {
		out[i] = fmt.Sprintf("%q", string(x))
		if x == attest.AnyVault {
			out[i] = "any vault"
		}
	}
	return strings.Join(out, ", ")
}

// Amendment is what becomes of an authority.
type Amendment struct {
	Quorum       int // 0 leaves it
	Officers     []string
	Authors      []string // as officers
	AuthorQuorum int      // 0 leaves it
	Initiators   []string // as ParseInitiator reads them; in the place of those of the same name
	// InitiatorConfig is a configuration of mpcium, or an mpcd.yaml, whose event_initiator_pubkey becomes the initiator EventInitiator; "" for
	// none.
	InitiatorConfig string
	Approvers       []string // as ParseApprover reads them
	Remove          []string // names, of officers, authors, initiators or approvers
	Policy          string   // a file of rules in Cedar; "" leaves them
	Assets          []string // NETWORK/ID=DECIMALS, whose amounts the rules name; in the place of the same
}

// starter is the policy of an authority that was given none.
//
//go:embed starter.cedar
var starter string

// Apply makes the change.
func (c Amendment) Apply(a *attest.Authority) error {
	if err := c.remove(a); err != nil {
		return err
	}
	if err := people(&a.Officers, c.Officers); err != nil {
		return err
	}
	if err := people(&a.Authors, c.Authors); err != nil {
		return err
	}
	initiators := slices.Clone(c.Initiators)
	if c.InitiatorConfig != "" {
		key, err := host.EventInitiator(c.InitiatorConfig)
		if err != nil {
			return err
		}
		initiators = append([]string{EventInitiator + "=" + key.String()}, initiators...)
	}
	for _, spec := range initiators {
		i, err := ParseInitiator(spec)
		if err != nil {
			return err
		}
		a.Initiators = append(slices.DeleteFunc(a.Initiators, func(x attest.Initiator) bool { return x.Name == i.Name }), i)
	}
	if a.Initiators == nil {
		a.Initiators = []attest.Initiator{}
	}
	if err := c.approvers(a); err != nil {
		return err
	}
	if c.Policy != "" {
		b, err := durable.ReadFile(c.Policy, policy.MaxText)
		if err != nil {
			return err
		}
		a.Policy = string(b)
	}
	if _, err := a.Rules(); err != nil {
		return fault.Doing(cmp.Or(c.Policy, "the policy"), fault.Usage("correct it, and try `mpcd policy check`", "%w", err))
	}
	if err := c.assets(a); err != nil {
		return err
	}
	slices.SortFunc(a.Initiators, func(x, y attest.Initiator) int { return strings.Compare(x.Name, y.Name) })
	a.Quorum, a.AuthorQuorum = cmp.Or(c.Quorum, a.Quorum), cmp.Or(c.AuthorQuorum, a.AuthorQuorum)
	if len(a.Authors) == 0 && c.AuthorQuorum == 0 {
		a.AuthorQuorum = 0
	}
	return nil
}

// remove takes out whom the change names.
func (c Amendment) remove(a *attest.Authority) error {
	for _, name := range c.Remove {
		count := func() int { return len(a.Officers) + len(a.Authors) + len(a.Initiators) + len(a.Approvers) }
		n, named := count(), func(o attest.Officer) bool { return o.Name == name }
		a.Officers, a.Authors = slices.DeleteFunc(a.Officers, named), slices.DeleteFunc(a.Authors, named)
		a.Initiators = slices.DeleteFunc(a.Initiators, func(i attest.Initiator) bool { return i.Name == name })
		a.Approvers = slices.DeleteFunc(a.Approvers, func(x attest.Approver) bool { return x.Name == name })
		if count() == n {
			return fault.Usage("`mpcd authority show` lists them", "there is no officer, author, initiator or approver %q to remove", name)
		}
	}
	return nil
}

// people puts officers, or authors, in the place of those of the same name.
func people(of *[]attest.Officer, specs []string) error {
	for _, spec := range specs {
		o, err := ParseOfficer(spec)
		if err != nil {
			return err
		}
		*of = append(slices.DeleteFunc(*of, func(x attest.Officer) bool { return x.Name == o.Name }), o)
	}
	slices.SortFunc(*of, func(x, y attest.Officer) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

// assets puts assets in the place of the same.
func (c Amendment) assets(a *attest.Authority) error {
	assets, err := ParseAssets(c.Assets)
	if err != nil {
		return err
	}
	for _, x := range assets {
		same := func(y policy.Asset) bool { return y.Network == x.Network && y.ID == x.ID }
		a.Assets = append(slices.DeleteFunc(a.Assets, same), x)
	}
	return nil
}

// approvers puts people in the place of those of the same name.
func (c Amendment) approvers(a *attest.Authority) error {
	for _, spec := range c.Approvers {
		x, err := ParseApprover(spec)
		if err != nil {
			return err
		}
		a.Approvers = append(slices.DeleteFunc(a.Approvers, func(y attest.Approver) bool { return y.Name == x.Name }), x)
	}
	slices.SortFunc(a.Approvers, func(x, y attest.Approver) int { return strings.Compare(x.Name, y.Name) })
	return nil
}

// ReadChain reads authority.json without judging it: one that officers are at work on has signatures to come.
func ReadChain(path string) (c attest.AuthorityChain, err error) {
	b, err := durable.ReadFile(path, attest.MaxJSON)
	if err != nil {
		return nil, err
	}
	err = canon.UnmarshalJSON(b, &c)
	if err == nil && len(c) == 0 {
		err = errors.New("an empty list")
	}
	if err != nil {
		return nil, fault.Doing(path, fault.Usage("give the file that `mpcd authority init` or `change` wrote",
			"no chain of authorities: %w", err))
	}
	return c, nil
}

// WriteNewChain writes a chain into a file that is not there yet, or has the very same.
func WriteNewChain(path string, c attest.AuthorityChain) error {
	b, err := durable.ReadFile(path, attest.MaxJSON)
	if err == nil && bytes.Equal(b, c.JSON()) {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fault.Usage("name a file that is not there yet, or remove that one", "%s is there already, and has something else", path)
	}
	return WriteChain(path, c)
}

// WriteChain writes authority.json, unless it is longer than nodes read.
func WriteChain(path string, c attest.AuthorityChain) error {
	b := c.JSON()
	if len(b) > attest.MaxJSON {
		return fault.Usage("give a shorter policy, or fewer initiators: every authority of before stays in the file",
			"the chain of %d authorities would have %d bytes, nodes read at most %d", len(c), len(b), attest.MaxJSON)
	}
	return durable.WriteFile(path, b, 0o644)
}

// Pilot makes an officer, an initiator who may ask for everything, and the authority that says so.
func (a *Operator) Pilot() (attest.AuthorityChain, error) {
	keys := map[string]string{}
	for _, file := range []string{officerFile, InitiatorFile} {
		pub, err := MakeKeyFile(filepath.Join(a.dir, file), hsm.KeyEd25519, nil)
		if err != nil {
			return nil, err
		}
		der, err := attest.MarshalPublicKey(pub)
		if err != nil {
			return nil, err
		}
		keys[file] = attest.Hex(der).String()
	}
	return a.FirstAuthority(Amendment{Quorum: 1, Officers: []string{pilotOfficer + "=" + keys[officerFile]},
		Initiators: []string{PilotInitiator + "=" + keys[InitiatorFile] + all}})
}

// bringAuthority gives a node of a plan the authority, and in dev the initiator's key.
func (p *Plan) bringAuthority(a *Operator, c attest.AuthorityChain, n Made) error {
	if err := durable.WriteFile(filepath.Join(n.Dir, AuthorityFile), c.JSON(), 0o644); err != nil || !p.Dev {
		return err
	}
	key, err := durable.ReadFile(filepath.Join(a.dir, InitiatorFile), keyfile.Max)
	if err != nil {
		return err
	}
	defer secret.Wipe(key)
	return durable.WriteFile(filepath.Join(n.Dir, InitiatorFile), key, 0o600)
}

// PilotAdds has the officer of Pilot add the initiator EventInitiator to the authority of a cluster in dir, who may ask for everything by a
// key, and brings it to the nodes there, none of which runs. It tells whether it did: not where an initiator has that key.
func PilotAdds(dir string, nodes int, key attest.Hex) (bool, error) {
	paths := []string{filepath.Join(dir, "cluster", AuthorityFile)}
	for k := range nodes {
		paths = append(paths, filepath.Join(dir, string((&Plan{}).name(k)), AuthorityFile))
	}
	var c attest.AuthorityChain
	for _, path := range paths { // the newest: who tries things out may have brought a node another
		one, err := ReadChain(path)
		if err != nil {
			return false, err
		}
		if len(one) > len(c) {
			c = one
		}
	}
	if _, has := c[len(c)-1].Authority.InitiatorOf(key); has {
		return false, nil
	}
	err := UseKey("", filepath.Join(dir, "cluster", officerFile), nil, func(sign attest.SignFunc) (err error) {
		c, err = Successor(c, Amendment{Initiators: []string{EventInitiator + "=" + key.String() + all}}, pilotOfficer, sign)
		return err
	})
	if err == nil {
		err = c.VerifyOfficers(false) // a cluster that was kept may have other officers now
	}
	for _, path := range paths {
		if err == nil {
			err = WriteChain(path, c)
		}
	}
	return err == nil, fault.Doing("add "+EventInitiator+" to the authority of dev", err)
}
