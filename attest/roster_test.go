package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/threshold"
)

// Goal: a roster no cluster may have is refused for its reason. Method: one fault at a time.
func TestRosterValidate(t *testing.T) {
	good, _ := newRoster(t, 3)
	must(t, good.Validate())
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	p384DER, err := x509.MarshalPKIXPublicKey(p384.Public())
	must(t, err)
	smallOrder := make(Hex, 32)
	smallOrder[0] = 1 // the identity
	smallDER, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(smallOrder))
	must(t, err)
	notCanonical := bytes.Repeat([]byte{0xff}, 32) // y ≥ p
	for name, x := range map[string]struct {
		want string
		f    func(*Roster)
	}{
		"version":         {"version", func(r *Roster) { r.Version = 2 }},
		"cluster":         {"cluster", func(r *Roster) { r.Cluster = "" }},
		"serial":          {"serial", func(r *Roster) { r.Serial = 0 }},
		"no nodes":        {"0 nodes", func(r *Roster) { r.Nodes = nil }},
		"too many":        {"257 nodes", func(r *Roster) { r.Nodes = make([]RosterNode, MaxNodes+1) }},
		"id":              {"no name", func(r *Roster) { r.Nodes[0].ID = "../x" }},
		"id twice":        {"twice", func(r *Roster) { r.Nodes[1].ID = "node1" }},
		"party twice":     {"party 1 after 1", func(r *Roster) { r.Nodes[1].Party = 1 }},
		"party 0":         {"party 0", func(r *Roster) { r.Nodes[0].Party = 0 }},
		"order":           {"party 1 after 2", func(r *Roster) { r.Nodes[0], r.Nodes[1] = r.Nodes[1], r.Nodes[0] }},
		"identity":        {"32 bytes", func(r *Roster) { r.Nodes[0].Identity = nil }},
		"small identity":  {"small order", func(r *Roster) { r.Nodes[0].Identity = smallOrder }},
		"no point":        {"not the encoding", func(r *Roster) { r.Nodes[0].Identity = notCanonical }},
		"seal":            {"32 bytes", func(r *Roster) { r.Nodes[0].Seal = nil }},
		"small seal":      {"small order", func(r *Roster) { r.Nodes[0].Seal = make(Hex, 32) }},
		"cosign":          {"cosign key", func(r *Roster) { r.Nodes[0].CosignKey = nil }},
		"attest":          {"attest key", func(r *Roster) { r.Nodes[0].AttestKey = p384DER }},
		"small attest":    {"small order", func(r *Roster) { r.Nodes[0].AttestKey = smallDER }},
		"shared identity": {"already", func(r *Roster) { r.Nodes[1].Identity = r.Nodes[0].Identity }},
		"shared attest":   {"already", func(r *Roster) { r.Nodes[2].AttestKey = r.Nodes[0].AttestKey }},
		"another's use":   {"already", func(r *Roster) { r.Nodes[1].CosignKey = r.Nodes[0].AttestKey }},
		"one for two's": {"already", func(r *Roster) {
			r.Nodes[1].CosignKey, r.Nodes[1].AttestKey = r.Nodes[0].AttestKey, r.Nodes[0].AttestKey
		}},
		"shared witness": {"already", func(r *Roster) { r.Nodes[2].WitnessKey = r.Nodes[0].WitnessKey }},
		"short witness":  {"witness key of 1311 bytes", func(r *Roster) { r.Nodes[0].WitnessKey = r.Nodes[0].WitnessKey[1:] }},
		"long witness":   {"witness key of 1313 bytes", func(r *Roster) { r.Nodes[0].WitnessKey = make(Hex, witnessKeyLen+1) }},
		"endpoint":       {"256", func(r *Roster) { r.Nodes[0].Endpoint = strings.Repeat("x", maxText+1) }},
		"facility":       {"256", func(r *Roster) { r.Nodes[0].Facility = strings.Repeat("x", maxText+1) }},
	} {
		r := good
		r.Nodes = append([]RosterNode{}, good.Nodes...)
		x.f(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", name, err, x.want)
		}
	}
	one := good
	one.Nodes = append([]RosterNode{}, good.Nodes...)
	one.Nodes[0].CosignKey = one.Nodes[0].AttestKey
	must(t, one.Validate()) // a token with one key for both
}

// Goal: the file form is strict and signed. Method: round trip through a file; then any one change of its JSON is refused.
func TestRosterFile(t *testing.T) {
	r, _ := newRoster(t, 2)
	pub, root, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	s, err := r.Sign(root)
	must(t, err)
	path := filepath.Join(t.TempDir(), "roster.json")
	must(t, os.WriteFile(path, s.JSON(), 0o600))
	got, err := LoadRoster(path)
	must(t, err)
	must(t, got.Verify(pub))
	if got.Fingerprint() != s.Fingerprint() || !strings.HasPrefix(s.Fingerprint(), "r_") || len(s.Fingerprint()) != 34 {
		t.Errorf("fingerprints %s and %s", got.Fingerprint(), s.Fingerprint())
	}
	mutate(generic(s.JSON()), "", func(doc any, what string, _ bool) {
		b, err := json.Marshal(doc)
		must(t, err)
		if _, err := ParseRoster(b); err == nil {
			t.Errorf("accepted after: %s", what)
		}
	})
	if _, err := LoadRoster(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) && !strings.Contains(err.Error(), "none") {
		t.Errorf("missing file: %v", err)
	}
	must(t, os.WriteFile(path, bytes.Repeat([]byte(" "), MaxJSON+1), 0o600))
	if _, err := LoadRoster(path); err == nil {
		t.Error("oversized file accepted")
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	if _, err := r.Sign(ec); err == nil {
		t.Error("root key that is not Ed25519 accepted")
	}
	r.Serial = 0
	if _, err := r.Sign(root); err == nil {
		t.Error("invalid roster signed")
	}
	if err := (&SignedRoster{r, Hex(pub), ed25519.Sign(root, rosterMessage(r))}).Verify(pub); err == nil {
		t.Error("invalid roster accepted because it is signed")
	}
}

// Goal: members are found, strangers are not. Method: look-ups and committees.
func TestRosterLookups(t *testing.T) {
	r, _ := newRoster(t, 3)
	r.Nodes[2].Party = 9
	n, err := r.Node("node3")
	must(t, err)
	p, err := r.ByParty(9)
	must(t, err)
	if n.ID != p.ID {
		t.Errorf("%s and %s", n.ID, p.ID)
	}
	_, err = r.Node("node4")
	wantErr(t, "node4", err, ErrUnknownNode)
	_, err = r.ByParty(3)
	wantErr(t, "party 3", err, ErrUnknownNode)
	c, err := r.Committee([]string{"node3", "node1"}, 2)
	must(t, err)
	if c.Parties[0] != 1 || c.Parties[1] != 9 || !bytes.Equal(c.Identity(9), n.Identity) {
		t.Errorf("committee %v", c)
	}
	for name, ids := range map[string][]string{"stranger": {"node1", "node4"}, "twice": {"node1", "node1"}, "too few": {"node1"}} {
		if _, err := r.Committee(ids, 2); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// Goal: an intent has one encoding and a sound shape. Method: round trip, then one fault at a time.
func TestIntent(t *testing.T) {
	good := Intent{
		Version: IntentVersion, Cluster: "test", Operation: OpSign, RequestID: "r", KeyID: "w_x", Scheme: threshold.FrostTaproot, Epoch: 1,
		Message: make(Hex, 32), Tweaks: []threshold.Tweak{{T: threshold.Scalar{1}, XOnly: true}}, Signers: []threshold.PartyID{1, 2},
		Node: "node1", Created: 1,
	}
	got, err := ParseIntent(good.Bytes())
	must(t, err)
	if got.Hash() != good.Hash() || !got.SignRequest().Tweaks[0].XOnly {
		t.Error("intent changed on its way")
	}
	if _, err := ParseIntent(append(good.Bytes(), 0)); err == nil {
		t.Error("trailing byte accepted")
	}
	keygen := good
	keygen.Operation, keygen.KeyID, keygen.Epoch, keygen.Message, keygen.Tweaks = OpKeygen, "", 0, nil, nil
	keygen.Keygen = &KeygenParams{Threshold: 2, Kind: threshold.BIP340.ID, Label: "treasury"}
	must(t, keygen.Validate())
	refresh := good
	refresh.Operation, refresh.Message, refresh.Tweaks = OpRefresh, nil, nil
	must(t, refresh.Validate())
	for name, x := range map[string]struct {
		from Intent
		f    func(*Intent)
	}{
		"version":           {good, func(i *Intent) { i.Version = 1 }},
		"cluster":           {good, func(i *Intent) { i.Cluster = "" }},
		"node":              {good, func(i *Intent) { i.Node = "" }},
		"operation":         {good, func(i *Intent) { i.Operation = "export" }},
		"request":           {good, func(i *Intent) { i.RequestID = "" }},
		"long request":      {good, func(i *Intent) { i.RequestID = strings.Repeat("x", maxText+1) }},
		"key":               {good, func(i *Intent) { i.KeyID = "" }},
		"scheme":            {good, func(i *Intent) { i.Scheme = "" }},
		"epoch":             {good, func(i *Intent) { i.Epoch = 0 }},
		"message":           {good, func(i *Intent) { i.Message = make(Hex, MaxMessage+1) }},
		"tweaks":            {good, func(i *Intent) { i.Tweaks = make([]threshold.Tweak, maxTweaks+1) }},
		"long path":         {good, func(i *Intent) { i.Path = make([]uint32, MaxPath+1) }},
		"hardened path":     {good, func(i *Intent) { i.Path = []uint32{0, Hardened} }},
		"refresh of path":   {refresh, func(i *Intent) { i.Path = []uint32{0} }},
		"keygen of path":    {keygen, func(i *Intent) { i.Path = []uint32{0} }},
		"one signer":        {good, func(i *Intent) { i.Signers = i.Signers[:1] }},
		"signers twice":     {good, func(i *Intent) { i.Signers = []threshold.PartyID{1, 1} }},
		"signer 0":          {good, func(i *Intent) { i.Signers = []threshold.PartyID{0, 1} }},
		"time":              {good, func(i *Intent) { i.Created = 0 }},
		"sign with keygen":  {good, func(i *Intent) { i.Keygen = keygen.Keygen }},
		"refresh of bytes":  {refresh, func(i *Intent) { i.Message = Hex{1} }},
		"keygen of key":     {keygen, func(i *Intent) { i.KeyID = "w_x" }},
		"keygen of bytes":   {keygen, func(i *Intent) { i.Message = Hex{1} }},
		"keygen without":    {keygen, func(i *Intent) { i.Keygen = nil }},
		"keygen threshold":  {keygen, func(i *Intent) { i.Keygen = &KeygenParams{Threshold: 3} }},
		"keygen 1-of-n":     {keygen, func(i *Intent) { i.Keygen = &KeygenParams{Threshold: 1} }},
		"line in requester": {good, func(i *Intent) { i.Requester = "a\nb" }},
		"escape in request": {good, func(i *Intent) { i.RequestID = "\x1b[2J" }},
		"CSI in chain":      {good, func(i *Intent) { i.Chain = "\u009b31m" }},
		"kind":              {keygen, func(i *Intent) { i.Keygen = &KeygenParams{Threshold: 2, Kind: "\u2028"} }},
		"group":             {keygen, func(i *Intent) { i.Keygen = &KeygenParams{Threshold: 2, Group: "a\tb"} }},
		"label":             {keygen, func(i *Intent) { i.Keygen = &KeygenParams{Threshold: 2, Label: "a\u202eb"} }},
		"keygen long label": {keygen, func(i *Intent) { i.Keygen = &KeygenParams{Threshold: 2, Label: strings.Repeat("x", maxText+1)} }},
	} {
		i := x.from
		x.f(&i)
		if _, err := ParseIntent(i.Bytes()); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// Goal: a fingerprint, which is all that a verifier may pin, is of the whole roster and of its operator. Method: another operator's
// signature on the same roster; each part of it changed.
func TestFingerprint(t *testing.T) {
	r, _ := newRoster(t, 2)
	sign := func(r Roster) *SignedRoster {
		_, root, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		s, err := r.Sign(root)
		must(t, err)
		return s
	}
	s := sign(r)
	if other := sign(r); other.Fingerprint() == s.Fingerprint() {
		t.Error("another operator's roster has the same fingerprint")
	}
	for name, f := range map[string]func(*Roster){
		"serial":   func(r *Roster) { r.Serial++ },
		"cluster":  func(r *Roster) { r.Cluster = "other" },
		"endpoint": func(r *Roster) { r.Nodes[1].Endpoint = "elsewhere" },
		"member":   func(r *Roster) { r.Nodes = r.Nodes[:1] },
		"key":      func(r *Roster) { r.Nodes[0].AttestKey = r.Nodes[1].AttestKey },
		"witness":  func(r *Roster) { r.Nodes[0].WitnessKey = nil },
	} {
		other := *s
		other.Roster.Nodes = append([]RosterNode{}, s.Roster.Nodes...)
		f(&other.Roster)
		if other.Fingerprint() == s.Fingerprint() {
			t.Errorf("%s does not count", name)
		}
	}
}

// Goal: no new name looks like another by what is not seen, and a name from before is still read. Method: blanks, and signs that are drawn
// as nothing, in a new name and in what is stored.
func TestCheckName(t *testing.T) {
	for _, s := range []string{"", "treasury", "Kasse 7 – Zürich", "金庫", "a\u0301", "💰", "\U00013443", "𝅘𝅥"} {
		if err := CheckName(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for s, stored := range map[string]bool{" treasury": true, "treasury ": true, "cold  treasury": true, " ": true,
		"treasury\U0001d159": true,
		"treasury\U00016fe4": true, "\U00013440treasury": true, "trea\U00013441sury": true, "trea\U00013442sury": true,
		"treasury\U0001107f": true, "treasury\ufffc": true, "a\nb": false, "treasury\u3164": false} {
		if CheckName(s) == nil || Printable(s) != stored {
			t.Errorf("%q: a name of something new: %v; read: %v", s, CheckName(s), Printable(s))
		}
	}
}

// Goal: what may forge a row, a colour or an order of letters on a terminal, or is shown as nothing, so that two texts look alike, is not
// printable, and what people write is. Method: one of each class of characters.
func TestPrintable(t *testing.T) {
	for _, s := range []string{"", "treasury", "Kasse 7 – Zürich", "金庫", "خزينة", "client-42", "a\u0301", "💰", "⠁", "한국"} {
		if !Printable(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for name, s := range map[string]string{"line": "a\nb", "tab": "a\tb", "NUL": "\x00", "escape": "\x1b[2J", "DEL": "\x7f", "NEL": "\u0085",
		"CSI": "\u009b31m", "line separator": "\u2028", "paragraph separator": "\u2029", "right-to-left override": "\u202e",
		"isolate": "\u2066", "right-to-left mark": "\u200f", "Arabic letter mark": "\u061c", "zero width": "a\u200bb", "joiner": "\u200d",
		"BOM": "\ufeff", "no-break space": "\u00a0", "tag": "\U000e0041", "private": "\ue000", "not UTF-8": "\xff", "soft hyphen": "\u00ad",
		"Hangul filler": "treasury\u3164", "Hangul choseong filler": "\u115f", "Hangul jungseong filler": "\u1160", "halfwidth filler": "\uffa0",
		"variation selector 1": "a\ufe00b", "variation selector 16": "a\ufe0fb", "variation selector 17": "\U000e0100",
		"variation selector 256": "\U000e01ef", "Braille blank": "\u2800", "grapheme joiner": "\u034f", "Mongolian selector": "\u180b",
		"Mongolian selector 4": "\u180f", "Mongolian vowel separator": "\u180e", "Khmer inherent vowel": "\u17b4", "replaced": "\ufffd",
		"language tag": "\U000e0001", "tag's end": "\U000e007f", "ideographic space": "\u3000", "word joiner": "\u2060"} {
		if Printable(s) {
			t.Errorf("%s: %q passes", name, s)
		}
	}
}
