package host

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: the key that mpcium's settings name is read in each form that mpcium takes, as the one key it is, and one that is none, or of
// another algorithm than they say, is refused with what to do. Method: keys of both kinds in their forms, with each algorithm.
func TestEventInitiatorKey(t *testing.T) {
	pub, _, _ := ed25519.GenerateKey(nil)
	edDER, _ := x509.MarshalPKIXPublicKey(pub)
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p256, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	far, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384, _ := x509.MarshalPKIXPublicKey(&far.PublicKey)
	small := make([]byte, ed25519.PublicKeySize) // of order 4
	for name, x := range map[string]struct {
		text, algorithm string
		is              []byte
		want            string
	}{
		"32 bytes":               {hex.EncodeToString(pub), "ed25519", edDER, ""},
		"and no algorithm":       {hex.EncodeToString(pub), "", edDER, ""},
		"DER of Ed25519":         {hex.EncodeToString(edDER), "ed25519", edDER, ""},
		"DER of P-256":           {hex.EncodeToString(p256), "p256", p256, ""},
		"in capitals":            {strings.ToUpper(hex.EncodeToString(p256)), "P256", p256, ""},
		"with 0x":                {"0x" + hex.EncodeToString(p256), "p256", p256, ""},
		"P-256 as Ed25519":       {hex.EncodeToString(p256), "ed25519", nil, "set event_initiator_algorithm to p256"},
		"P-256, not said":        {hex.EncodeToString(p256), "", nil, "set event_initiator_algorithm to p256"},
		"Ed25519 as P-256":       {hex.EncodeToString(edDER), "p256", nil, "set event_initiator_algorithm to ed25519"},
		"32 bytes as P-256":      {hex.EncodeToString(pub), "p256", nil, "set event_initiator_algorithm to ed25519"},
		"P-384":                  {hex.EncodeToString(p384), "p256", nil, "give the key in hex"},
		"no hex":                 {"a key", "ed25519", nil, "give the key in hex"},
		"nothing":                {"", "ed25519", nil, "give the key in hex"},
		"a byte more":            {hex.EncodeToString(p256) + "00", "p256", nil, "give the key in hex"},
		"under which all verify": {hex.EncodeToString(small), "ed25519", nil, "give the key in hex"},
		"unknown algorithm":      {hex.EncodeToString(pub), "rsa", nil, "set event_initiator_algorithm to ed25519"},
	} {
		key, err := EventInitiatorKey(x.text, x.algorithm)
		if !bytes.Equal(key, x.is) || (err == nil) != (x.want == "") || err != nil && (codeOf(err) != fault.CodeUsage ||
			!strings.Contains(doOf(err), x.want)) {
			t.Errorf("%s: %s, %v: %s", name, key, err, doOf(err))
		}
		text := fmt.Sprintf("nats:\n  url: x\nevent_initiator_pubkey: %q\nevent_initiator_algorithm: %q\n", x.text, x.algorithm)
		if again, err := eventInitiator([]byte(text)); !bytes.Equal(again, key) || (err == nil) != (x.want == "") {
			t.Errorf("%s, in a file: %s, %v", name, again, err)
		}
		vs := Defaults()
		vs.Set(eventKeyKey, x.text, "flag")
		vs.Set(eventKeyType, strings.ToLower(x.algorithm), "flag")
		err = CheckGiven(vs)
		if bad := x.want != "" && x.text != "" || x.algorithm == ""; (err != nil) != bad || bad && codeOf(err) != fault.CodeUsage {
			t.Errorf("%s, as settings: %v", name, err)
		}
	}
	for _, text := range []string{"", "a: b", "event_initiator_pubkey:", "[", "event_initiator_pubkey: [a]"} {
		if key, err := eventInitiator([]byte(text)); key != nil || codeOf(err) != fault.CodeUsage {
			t.Errorf("%q: %s, %v", text, key, err)
		}
	}
}

func FuzzEventInitiator(f *testing.F) {
	f.Add([]byte("event_initiator_pubkey: \"3059301306072a8648ce3d02010608\"\nevent_initiator_algorithm: p256\n"))
	f.Add([]byte("event_initiator_pubkey: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := eventInitiator(b)
		if err != nil {
			return
		}
		if _, err := attest.ParsePublicKey(key); err != nil {
			t.Errorf("%q gives %s, %v", b, key, err)
		}
	})
}

// Goal: the doctor says of a node whether the key that its settings name is an initiator's, with the command for the officers; it is a
// warning, for the node is well. Method: an authority with the key, one without, none, and no setting.
func TestCheckupEventInitiator(t *testing.T) {
	key, other := attest.Hex("a key"), attest.Hex("another")
	with := &attest.Authority{Serial: 7, Initiators: []attest.Initiator{{Name: "other", Key: other}, {Name: "hot", Key: key}}}
	for name, x := range map[string]struct {
		set  attest.Hex
		now  *attest.Authority
		mark string
		says []string
	}{
		"one":     {key, with, "ok", []string{`initiator "hot"`}},
		"another": {attest.Hex("x"), with, "WARN", []string{"serial 7", "mpcd authority change --from", "--initiator event_initiator=0x78 "}},
		"none":    {key, nil, "WARN", []string{"no authority is in force", "mpcd authority init", "--initiator event_initiator=0x61"}},
		"not set": {nil, with, "", nil},
	} {
		d := &Checkup{Config: Config{EventInitiator: x.set}}
		d.eventInitiator(x.now)
		if len(d.findings) == 0 {
			if x.mark != "" {
				t.Errorf("%s: nothing is said", name)
			}
			continue
		}
		f := d.findings[0]
		for _, want := range x.says {
			if f.Mark() != x.mark || !strings.Contains(f.Detail+f.Warn, want) {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// Goal: the doctor beside a running node refuses the file of an authority that the next start refuses: what the node did not take up of it,
// as it says itself, and what is of another cluster. Method: the node's word of a file that parted and of one that it took; a file of
// another cluster.
func TestCheckupAuthorityBesideANode(t *testing.T) {
	h := &Host{options: Options{Log: slog.New(slog.DiscardHandler)}}
	if got := h.fileCheck(); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	parted := errors.New("two authorities of serial 2")
	h.refused.Store(&parted)
	c := h.fileCheck()[0]
	if !c.OK {
		t.Error("the node goes on with what it has, and is unready")
	}
	d := &Checkup{Ask: func(context.Context) (*wire.Health, error) {
		return &wire.Health{Checks: []wire.Check{{Name: c.Name, OK: c.OK, Detail: c.Detail, Next: c.Next}}}, nil
	}}
	d.atWork(t.Context(), nil)
	f := d.findings[len(d.findings)-1]
	if f.Mark() != "FAIL" || codeOf(f.Err) != fault.CodeUsage || !strings.Contains(doOf(f.Err), "the next start refuses this one") {
		t.Errorf("%+v", f)
	}
	pub, root, _ := ed25519.GenerateKey(nil)
	path := chainFile(t, root, t.TempDir()+"/key")
	for cluster, mark := range map[string]string{"c": "WARN", "another": "FAIL"} {
		d := &Checkup{Config: Config{Authority: path, Cluster: cluster}}
		d.authorityFile(&attest.SignedRoster{Root: attest.Hex(pub)})
		if f := d.findings[0]; f.Mark() != mark {
			t.Errorf("%s: %+v", cluster, f)
		}
	}
}
