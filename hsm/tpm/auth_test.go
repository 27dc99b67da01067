package tpm_test

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// pinned is an emulator with keys under the PIN 1234; it locks at three wrong ones (libtpms' default).
func pinned(t *testing.T) *swtpm.TPM {
	t.Helper()
	s := emulator(t)
	tok := stocked(t, s.URI()+"?"+pinSource(t, "1234"))
	works(t, tok)
	must(t, tok.Close())
	return s
}

// failed is how many wrong authorizations the TPM counts.
func failed(t *testing.T, tok *tpm.Token) uint32 {
	t.Helper()
	var n uint32
	must(t, tok.Raw(t.Context(), func(c transport.TPM) error {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter),
			PropertyCount: 1}.Execute(c)
		if err != nil {
			return err
		}
		p, err := r.CapabilityData.Data.TPMProperties()
		if err == nil {
			n = p.TPMProperty[0].Value
		}
		return err
	}))
	return n
}

// Goal: a wrong PIN costs one try in a process, however often it is used, and by however many tokens. Method: count in the TPM.
func TestWrongPIN(t *testing.T) {
	s := pinned(t)
	uri := s.URI() + "?" + pinSource(t, "4321")
	tok := open(t, uri, hsm.Options{})
	_, err := tok.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrWrongPIN, "pin-source")
	for range 5 {
		_, err = tok.Sign(t.Context(), "sign", nil)
		expect(t, err, hsm.ErrWrongPIN, "restart")
		_, err = tok.Wrap(t.Context(), "wrap", []byte("s"), nil)
		expect(t, err, hsm.ErrWrongPIN, "restart")
		_, err = tok.AttestKey(t.Context(), "sign", nil)
		expect(t, err, hsm.ErrWrongPIN, "restart")
	}
	must(t, tok.Close())
	again := open(t, s.URI()+"?"+pinSource(t, "9999"), hsm.Options{})
	_, err = again.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrWrongPIN, "restart")
	if n := failed(t, again); n != 1 {
		t.Errorf("the TPM counts %d wrong authorizations, want 1", n)
	}
	if info, err := again.Info(t.Context()); err != nil || !info.PINTriesLow {
		t.Errorf("Info does not tell: %v, %v", info.PINTriesLow, err)
	}
	must(t, again.Close())
	tpm.ForgetRefusals()
	works(t, open(t, s.URI()+"?"+pinSource(t, "1234"), hsm.Options{}))
}

// Goal: the last try is not used unless asked to, and a locked TPM says for how long. Method: burn tries as new processes would.
func TestLockout(t *testing.T) {
	s := pinned(t)
	wrong := s.URI() + "?" + pinSource(t, "4321")
	attempt := func(o hsm.Options, want error, says string, count uint32) {
		t.Helper()
		tpm.ForgetRefusals()
		tok := open(t, wrong, o)
		_, err := tok.Sign(t.Context(), "sign", nil)
		expect(t, err, want, says)
		if n := failed(t, tok); n != count {
			t.Errorf("the TPM counts %d wrong authorizations, want %d", n, count)
		}
		must(t, tok.Close())
	}
	attempt(hsm.Options{}, hsm.ErrWrongPIN, "pin-source", 1)
	attempt(hsm.Options{}, hsm.ErrWrongPIN, "pin-source", 2)
	attempt(hsm.Options{}, hsm.ErrLastPINTry, "16m40s", 2)
	attempt(hsm.Options{LastPINTry: true}, hsm.ErrWrongPIN, "pin-source", 3)
	attempt(hsm.Options{LastPINTry: true}, hsm.ErrPINLocked, "16m40s", 3)
	tpm.ForgetRefusals()
	right := open(t, s.URI()+"?"+pinSource(t, "1234"), hsm.Options{})
	_, err := right.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrPINLocked, "tpm2_dictionarylockout")
	if _, err := right.PublicKey(t.Context(), "sign"); err != nil {
		t.Error(err)
	}
	must(t, right.Close())
	must(t, s.Do(resetLockout))
	works(t, open(t, s.URI()+"?"+pinSource(t, "1234"), hsm.Options{}))
}

// resetLockout is TPM2_DictionaryAttackLockReset (part 3, 25.2), which go-tpm lacks, with an empty lockout authorization.
func resetLockout(c swtpm.Conn) error {
	r, err := c.Send([]byte{0x80, 0x02, 0, 0, 0, 27, 0, 0, 0x01, 0x39, 0x40, 0, 0, 0x0a, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0})
	if err == nil && !bytes.Equal(r[6:10], []byte{0, 0, 0, 0}) {
		err = tpm2.TPMRC(uint32(r[8])<<8 | uint32(r[9]))
	}
	return err
}

// Goal: a key with a PIN is not used without one, and keys made without one need none. Method: mix the two.
func TestMixedPINs(t *testing.T) {
	s := pinned(t)
	none := open(t, s.URI(), hsm.Options{})
	_, err := none.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrURI, "pin-source")
	must(t, none.GenerateKey(t.Context(), "free", hsm.KeyP256))
	if n := failed(t, none); n != 0 {
		t.Errorf("%d wrong authorizations", n)
	}
	must(t, none.Close())
	tok := open(t, s.URI()+"?"+pinSource(t, "4321"), hsm.Options{})
	_, err = tok.Sign(t.Context(), "free", nil) // whatever the PIN
	must(t, err)
	_, err = tok.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrWrongPIN, "")
	_, err = tok.Sign(t.Context(), "free", nil)
	must(t, err)
	if err := tok.GenerateKey(t.Context(), "under the wrong PIN", hsm.KeyP256); err == nil {
		t.Error("a key is made under a PIN that was refused")
	}
	tpm.ForgetRefusals()
}

// Goal: a PIN that is wrong for one key does not end the use of those it was right for. Method: keys under two PINs.
func TestProven(t *testing.T) {
	s := pinned(t)
	other := open(t, s.URI()+"?"+pinSource(t, "5678"), hsm.Options{})
	must(t, other.GenerateKey(t.Context(), "other", hsm.KeyP256))
	must(t, other.Close())
	tok := open(t, s.URI()+"?"+pinSource(t, "1234"), hsm.Options{})
	_, err := tok.Sign(t.Context(), "sign", nil)
	must(t, err)
	_, err = tok.Sign(t.Context(), "other", nil)
	expect(t, err, hsm.ErrWrongPIN, "")
	_, err = tok.Sign(t.Context(), "sign", nil)
	must(t, err)
	if n := failed(t, tok); n != 1 {
		t.Errorf("%d wrong authorizations", n)
	}
	tpm.ForgetRefusals()
}

// Goal: owner and endorsement hierarchies with an authorization value are used with the PIN, once if it is wrong. Method: set them.
func TestOwnerAuth(t *testing.T) {
	s := emulator(t)
	set := func(c swtpm.Conn) error {
		for _, h := range []tpm2.TPMHandle{tpm2.TPMRHOwner, tpm2.TPMRHEndorsement} {
			_, err := tpm2.HierarchyChangeAuth{AuthHandle: tpm2.AuthHandle{Handle: h, Auth: tpm2.PasswordAuth(nil)},
				NewAuth: tpm2.TPM2BAuth{Buffer: []byte("1234")}}.Execute(c)
			if err != nil {
				return err
			}
		}
		return nil
	}
	must(t, s.Do(set))
	none := open(t, s.URI(), hsm.Options{})
	expect(t, none.GenerateKey(t.Context(), "k", hsm.KeyP256), hsm.ErrURI, "owner hierarchy")
	must(t, none.Close())
	wrong := open(t, s.URI()+"?"+pinSource(t, "4321"), hsm.Options{})
	expect(t, wrong.GenerateKey(t.Context(), "k", hsm.KeyP256), hsm.ErrWrongPIN, "owner hierarchy refused")
	expect(t, wrong.GenerateKey(t.Context(), "k", hsm.KeyP256), hsm.ErrWrongPIN, "restart")
	must(t, wrong.Close())
	tpm.ForgetRefusals()
	tok := stocked(t, s.URI()+"?"+pinSource(t, "1234"))
	works(t, tok)
	_, err := tok.AttestKey(t.Context(), "sign", nil)
	must(t, err)
	empty(t, tok)
	must(t, tok.Close())
	reader := open(t, s.URI(), hsm.Options{}) // reading needs no authorization
	if keys, err := reader.Keys(t.Context()); err != nil || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
	if _, err := reader.Read(t.Context(), "count"); err != nil {
		t.Error(err)
	}
}

// Goal: a PIN that no TPM takes is refused at once. Method: 33 bytes, and 32.
func TestLongPIN(t *testing.T) {
	s := emulator(t)
	_, err := drivers.Open(t.Context(), s.URI()+"?"+pinSource(t, string(bytes.Repeat([]byte("x"), 33))), hsm.Options{})
	expect(t, err, hsm.ErrURI, "at most 32")
	works(t, stocked(t, s.URI()+"?"+pinSource(t, string(bytes.Repeat([]byte("x"), 32)))))
}

// Goal: who listens on the bus learns neither PIN, nor sealed keys, nor random bytes. Method: record all that passes, look for them.
func TestBus(t *testing.T) {
	for _, pcrs := range []string{"", "&pcrs=sha256:7"} {
		w := newWire(t, emulator(t))
		const pin = "a PIN that one can search for"
		tok := stocked(t, w.uri()+"?"+pinSource(t, pin)+pcrs)
		works(t, tok)
		key := bytes.Repeat([]byte("sealed k"), 4)
		b, err := tok.SealKey(t.Context(), "wrap", key)
		must(t, err)
		back, err := tok.UnsealKey(t.Context(), "wrap", b)
		must(t, err)
		if !bytes.Equal(back, key) {
			t.Fatal("another key comes back")
		}
		random, err := tok.Random(t.Context(), 32)
		must(t, err)
		traffic := w.seen()
		for name, secret := range map[string][]byte{"PIN": []byte(pin), "sealed key": key[:16], "random": random[:16]} {
			if bytes.Contains(traffic, secret) {
				t.Errorf("the %s passes in the clear", name)
			}
		}
		// A session without a salt (TPM2_StartAuthSession with TPM_RH_NULL) can be followed by whoever sees it begin.
		if bytes.Contains(traffic, []byte{0, 0, 0x01, 0x76, 0x40, 0, 0, 7}) {
			t.Error("a session is not salted")
		}
		if !bytes.Contains(traffic, []byte{0, 0, 0x01, 0x76, 0x81, 0, 0, 1}) || !bytes.Contains(traffic, []byte("sign")) {
			t.Error("the recording misses sessions or names of keys: it does not record")
		}
	}
}

// Goal: an answer that was changed on the bus is not believed. Method: change the response of Unseal.
func TestChangedOnBus(t *testing.T) {
	w := newWire(t, emulator(t))
	tok := stocked(t, w.uri())
	box, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
	must(t, err)
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		r := forward()
		if cc == tpm2.TPMCCUnseal {
			r[20] ^= 1
		}
		return r, false
	})
	if b, err := tok.Unwrap(t.Context(), "wrap", box, nil); err == nil || b != nil {
		t.Errorf("got %q, %v", b, err)
	}
	w.set(nil)
	works(t, tok)
	empty(t, tok)
}
