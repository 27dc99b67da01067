package plugin_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"google.golang.org/protobuf/proto"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// Goal: every sentinel error crosses the border as itself, with the words. Method: wrap each, pack, send, open.
func TestErrorsCross(t *testing.T) {
	all := []error{hsm.ErrNoToken, hsm.ErrNoKey, hsm.ErrKeyExists, hsm.ErrAmbiguous, hsm.ErrKeyType, hsm.ErrWrongPIN, hsm.ErrPINLocked,
		hsm.ErrLastPINTry, hsm.ErrIntegrity, hsm.ErrUnsupported, hsm.ErrUnavailable, hsm.ErrURI, hsm.ErrDevOnly, hsm.ErrPINSource,
		context.Canceled, context.DeadlineExceeded}
	if len(all) != len(plugin.Sentinels) || len(all) != len(wire.Code_name)-1 {
		t.Errorf("%d sentinels here, %d in the package, %d on the wire", len(all), len(plugin.Sentinels), len(wire.Code_name)-1)
	}
	for _, e := range all {
		b, err := proto.Marshal(&wire.SignReply{Failure: plugin.PackFailure(fmt.Errorf("driver: %w: what to do", e))})
		if err != nil {
			t.Fatal(err)
		}
		var r wire.SignReply
		if err := proto.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		got := plugin.OpenFailure(r.GetFailure())
		if got.Error() != "driver: "+e.Error()+": what to do" {
			t.Errorf("got %q", got)
		}
		for _, other := range all {
			if errors.Is(got, other) != (other == e) {
				t.Errorf("%v is %v: %v", e, other, errors.Is(got, other))
			}
		}
	}
	if plugin.OpenFailure(plugin.PackFailure(nil)) != nil {
		t.Error("no error became one")
	}
	if err := plugin.OpenFailure(&wire.Failure{Codes: []wire.Code{99}}); err == nil || err.Error() == "" {
		t.Errorf("got %v", err)
	}
}

// Goal: public keys of all kinds come back, and nothing else does. Method: a round trip each; broken encodings.
func TestPublicKeys(t *testing.T) {
	ed, _, _ := ed25519.GenerateKey(nil)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	k1, _ := secp256k1.GeneratePrivateKey()
	for _, pub := range []crypto.PublicKey{ed, &p256.PublicKey, &rsaKey.PublicKey, hsm.Secp256k1PublicKey(k1.PubKey().SerializeCompressed())} {
		w, err := plugin.PackPublic(pub)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := plugin.OpenPublic(w); err != nil || !reflect.DeepEqual(back, pub) {
			t.Errorf("%T: %v, %v", pub, back, err)
		}
		w.Key = w.Key[1:]
		if back, err := plugin.OpenPublic(w); !errors.Is(err, hsm.ErrKeyType) || back != nil {
			t.Errorf("%T, cut: %v, %v", pub, back, err)
		}
	}
	for _, w := range []*wire.PublicKey{nil, {}, {Key: make([]byte, 9000)}, {Secp256K1: true, Key: make([]byte, 33)}} {
		if _, err := plugin.OpenPublic(w); !errors.Is(err, hsm.ErrKeyType) {
			t.Errorf("%v: %v", w, err)
		}
	}
	if _, err := plugin.PackPublic("no key"); !errors.Is(err, hsm.ErrKeyType) {
		t.Errorf("got %v", err)
	}
}

// Goal: evidence comes back whole; too much of it is refused. Method: a round trip with every field set, and one part too many.
func TestEvidence(t *testing.T) {
	e := hsm.KeyEvidence{
		Format: "f", Key: hsm.KeyInfo{ID: "k", Type: hsm.KeyP256, Sensitive: true, Extractable: true, Local: true, NeverExtracted: true},
		Token: hsm.TokenInfo{Provider: "p", Label: "l", Manufacturer: "m", Model: "o", Serial: "s", Firmware: "1", SoftwareOnly: true,
			PINTriesLow: true, PINTries: "last", MaxSessions: 1 << 40, OpenSessions: 2},
		PublicKey: []byte{1}, Nonce: []byte{2}, Statement: []byte{3}, Signature: []byte{4}, Certificates: [][]byte{{5}, {6}},
		Extra: map[string][]byte{"x": {7}},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(e), reflect.ValueOf(e.Key), reflect.ValueOf(e.Token)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("the test does not set %s", v.Type().Field(i).Name)
			}
		}
	}
	if back, err := plugin.OpenEvidence(plugin.PackEvidence(e)); err != nil || !reflect.DeepEqual(back, e) {
		t.Errorf("got %+v, %v", back, err)
	}
	e.Certificates = make([][]byte, 33)
	if _, err := plugin.OpenEvidence(plugin.PackEvidence(e)); err == nil {
		t.Error("33 certificates pass")
	}
}

// Goal: every ability of the border has a name on the wire. Method: count.
func TestAbilityNames(t *testing.T) {
	if known, named := plugin.Abilities(); known != named {
		t.Errorf("%d abilities, %d names", known, named)
	}
}

// Goal: two URIs are taken for one token unless they cannot be. Method: a table.
func TestMayMeanSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"pkcs11:token=a?module-path=/m&pin-source=file:/1", "pkcs11:token=a;object=k?module-path=/m&pin-source=file:/2", true},
		{"pkcs11:token=a?module-path=/m", "pkcs11:token=b?module-path=/m", false},
		{"pkcs11:token=a?module-path=/m", "pkcs11:token=a?module-path=/n", false},
		{"pkcs11:token=a?module-path=/m", "pkcs11:serial=1?module-path=/m", true},
		{"pkcs11:token=a?module-path=/m", "softhsm:token=a", true},
		{"pkcs11:token=a;serial=1", "pkcs11:token=a;serial=2", false},
		{"pkcs11:token=a", "tpm:object=a", false},
		{"tpm:handle=0x81;device=%2Fdev%2Ftpm0", "tpm:handle=0x82;device=%2Fdev%2Ftpm0", false},
		{"plugin:a?pin-source=file:/1", "plugin:a?pin-source=file:/2", true},
		{"plugin:a", "plugin:b", false},
	} {
		a, errA := hsm.ParseURI(c.a)
		b, errB := hsm.ParseURI(c.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if plugin.MayMeanSame(a, b) != c.same || plugin.MayMeanSame(b, a) != c.same {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.same)
		}
	}
}

// Goal: lines of a child reach the log with their level and fields, as single lines, cut, and not without bound. Method: lines of all
// kinds; a flood.
func TestRelay(t *testing.T) {
	log := &memo{}
	r := plugin.NewRelay(log.logger())
	r.Run(strings.NewReader("plain\x1b[31m\n" + strings.Repeat("x", 5000) + "\n" +
		`{"time":"t","level":"WARN","msg":"token lost","token":"a","n":3}` + "\n{broken\nmain.f(0xdeadbeef)\n"))
	out := log.String()
	for _, want := range []string{`level=INFO msg="driver process: plain?[31m"`, `level=WARN msg="token lost" n=3 token=a`,
		`msg="driver process: {broken"`, `msg="driver process: main.f(0x…)"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, strings.Repeat("x", 1025)) || !strings.Contains(out, strings.Repeat("x", 1024)) {
		t.Error("a long line is not cut to 1024")
	}
	log = &memo{}
	var flood bytes.Buffer
	for range 10_000 {
		flood.WriteString("again\n")
	}
	plugin.NewRelay(log.logger()).Run(&flood)
	if n := strings.Count(log.String(), "again"); n < 100 || n > 200 {
		t.Errorf("%d of 10,000 lines are in the log, want about 100", n)
	}
}

// Goal: what is in the environment of a child is asked for, and a PIN's variable is not, whatever the pattern. Method: a table.
func TestEnviron(t *testing.T) {
	t.Setenv("P11_KIT_A", "1")
	t.Setenv("VENDOR_A", "2")
	t.Setenv("VENDOR_PIN", "3")
	t.Setenv("VENDORS", "4")
	t.Setenv("PLUGIN_CLIENT_CERT", "5")
	t.Setenv("MPCD_HSM_PLUGIN", "6")
	t.Setenv("HOME", "/home/a")
	env := plugin.Environ([]string{"VENDOR_*", "PLUGIN_*", "MPCD_HSM_PLUGIN", "HOME=/home/b", "X=y"}, []string{"VENDOR_PIN"})
	joined := "\n" + strings.Join(env, "\n") + "\n"
	for want, is := range map[string]bool{"P11_KIT_A=1": true, "VENDOR_A=2": true, "VENDOR_PIN": false, "VENDORS": false, "PLUGIN_": false,
		"MPCD_HSM_PLUGIN": false, "HOME=/home/b": true, "HOME=/home/a": false, "X=y": true, "PATH=": false} {
		if strings.Contains(joined, "\n"+want) != is {
			t.Errorf("%s: want %v in %v", want, is, env)
		}
	}
}

// Goal: a server opens nothing before the handshake, nor after a second one, and knows only open tokens. Method: call it out of order.
func TestServerOrder(t *testing.T) {
	s := plugin.NewServer(hsm.Drivers{"plugin": openMischief})
	r, err := s.Open(t.Context(), &wire.OpenRequest{Token: 1, Uri: "plugin:mute"})
	if err != nil || !errors.Is(plugin.OpenFailure(r.GetFailure()), hsm.ErrUnavailable) {
		t.Errorf("%v, %v", r, err)
	}
	h, err := s.Handshake(t.Context(), &wire.HandshakeRequest{Version: 2})
	if err != nil || h.GetVersion() != 1 || h.GetSandbox() != nil {
		t.Errorf("%v, %v", h, err)
	}
	for _, err := range []error{
		plugin.OpenFailure(first(s.Sign(t.Context(), &wire.SignRequest{Token: 1})).GetFailure()),
		plugin.OpenFailure(first(s.Info(t.Context(), &wire.InfoRequest{})).GetFailure()),
	} {
		if !errors.Is(err, hsm.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}

// Goal: buffers of gRPC go back to the pool without what was in them. Method: put one, look at it.
func TestBuffersWiped(t *testing.T) {
	b := plugin.Buffers.Get(100)
	whole := (*b)[:cap(*b)]
	copy(whole, "a PIN")
	whole[len(whole)-1] = 1
	plugin.Buffers.Put(b)
	if !bytes.Equal(whole, make([]byte, len(whole))) {
		t.Error("the buffer holds its content")
	}
}

func first[T any](v T, _ error) T { return v }

// Goal: no words of a driver break a line of the log or grow without bound. Method: fuzz.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "a\nb", "\x1b[31m", "\xff\xfe", strings.Repeat("é", 300), "\u202e", ""} {
		f.Add(s, 64)
	}
	f.Fuzz(func(t *testing.T, s string, most int) {
		most = max(1, min(most, 4096))
		got := plugin.Clean(s, most)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x1b\x00") || len(got) > 2*most+len("…") {
			t.Errorf("%q became %q", s, got)
		}
	})
}

// Goal: no answer of a driver makes the node panic, and a key that is accepted has one encoding. Method: fuzz the bytes of replies.
func FuzzReplies(f *testing.F) {
	ed, _, _ := ed25519.GenerateKey(nil)
	w, _ := plugin.PackPublic(ed)
	b, _ := proto.Marshal(&wire.PublicKeyReply{Public: w})
	f.Add(b)
	b, _ = proto.Marshal(&wire.AttestKeyReply{Format: "x", Key: &wire.KeyInfo{Id: "k"}, Failure: plugin.PackFailure(hsm.ErrNoKey)})
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p wire.PublicKeyReply
		if proto.Unmarshal(b, &p) == nil {
			_ = plugin.OpenFailure(p.GetFailure())
			if pub, err := plugin.OpenPublic(p.GetPublic()); err == nil {
				again, err := plugin.PackPublic(pub)
				if err != nil {
					return // a key that the standard library reads and does not write
				}
				if back, err := plugin.OpenPublic(again); err != nil || !reflect.DeepEqual(back, pub) {
					t.Errorf("%v and %v, %v", pub, back, err)
				}
				_, _ = hsm.Verify(pub, nil, b)
			}
		}
		var e wire.AttestKeyReply
		if proto.Unmarshal(b, &e) == nil {
			_, _ = plugin.OpenEvidence(&e)
		}
	})
}

// Goal: a TPM is open to a driver that is configured to use one, and to no other. Method: the fence, without a variable of tpm2-pkcs11,
// with one, and with the device named by the configuration.
func TestTPMDevices(t *testing.T) {
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "TPM2_PKCS11_") {
			t.Setenv(name, value) // brings it back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		config plugin.Config
		want   []string
	}{
		{plugin.Config{}, nil},
		{plugin.Config{Env: []string{"TPM2_PKCS11_TCTI=device:/dev/tpmrm0"}}, []string{"/dev/tpm0", "/dev/tpmrm0"}},
		{plugin.Config{Sandbox: plugin.Sandbox{Write: []string{"/dev/tpmrm0"}}}, []string{"/dev/tpmrm0"}},
	} {
		fence := plugin.Needs(c.config)
		var got []string
		for _, path := range slices.Concat(fence.Write, fence.Read) {
			if path == "/dev" || strings.HasPrefix(path, "/dev/tpm") {
				got = append(got, path)
			}
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.config, got, c.want)
		}
	}
}
