package tpm_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// must ends the test with an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// expect wants an error of that kind which says what to do.
func expect(t *testing.T, err, want error, says string) {
	t.Helper()
	if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %v that says %q", err, want, says)
	}
}

// stocked is a TPM with a signing key "sign", a wrapping key "wrap" and a counter "count".
func stocked(t *testing.T, uri string) *tpm.Token {
	t.Helper()
	tok := open(t, uri, hsm.Options{})
	must(t, tok.GenerateKey(t.Context(), "sign", hsm.KeyP256))
	must(t, tok.GenerateKey(t.Context(), "wrap", hsm.KeyAESWrap))
	_, err := tok.CreateCounter(t.Context(), "count")
	must(t, err)
	return tok
}

// works signs, wraps and counts.
func works(t *testing.T, tok *tpm.Token) {
	t.Helper()
	_, err := tok.Sign(t.Context(), "sign", []byte("m"))
	must(t, err)
	w, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
	must(t, err)
	_, err = tok.Unwrap(t.Context(), "wrap", w, nil)
	must(t, err)
	_, err = tok.Increment(t.Context(), "count")
	must(t, err)
}

// empty wants no transient object and no session in the TPM.
func empty(t *testing.T, tok *tpm.Token) {
	t.Helper()
	must(t, tok.Raw(t.Context(), func(c transport.TPM) error {
		for _, first := range []uint32{0x80000000, 0x02000000, 0x03000000} {
			r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 10}.Execute(c)
			if err != nil {
				return err
			}
			list, err := r.CapabilityData.Data.Handles()
			if err != nil {
				return err
			}
			if len(list.Handle) > 0 {
				t.Errorf("left in the TPM: %x", list.Handle)
			}
		}
		return nil
	}))
}

// Goal: what is no TPM is named, with the next step. Method: a table of paths and sockets.
func TestNoTPM(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	dead := filepath.Join(dir, "dead")
	l, err := net.Listen("unix", dead)
	must(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	must(t, l.Close())
	speaker := func(name, say string) string {
		path := filepath.Join(dir, name)
		l, err := net.Listen("unix", path)
		must(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write([]byte(say))
				_, _ = c.Read(make([]byte, 100))
				_ = c.Close()
			}
		}()
		return path
	}
	for name, c := range map[string]struct {
		path string
		want error
		says string
	}{
		"missing":        {filepath.Join(dir, "none"), hsm.ErrNoToken, "firmware"},
		"file":           {file, hsm.ErrNoToken, "neither a device nor a socket"},
		"directory":      {dir, hsm.ErrNoToken, "neither"},
		"null device":    {"/dev/null", hsm.ErrNoToken, "device="},
		"zero device":    {"/dev/zero", hsm.ErrNoToken, "device="},
		"dead socket":    {dead, hsm.ErrUnavailable, "refused"},
		"closing socket": {speaker("closing", ""), hsm.ErrNoToken, "device="},
		"another server": {speaker("http", "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), hsm.ErrNoToken, "device="},
		"a TPM 1.2":      {speaker("old", "\x00\xc4\x00\x00\x00\x0a\x00\x00\x00\x1e"), hsm.ErrNoToken, "TPM 2.0"},
		"not started":    {speaker("cold", "\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x00"), hsm.ErrUnavailable, "firmware"},
		"huge response":  {speaker("huge", "\x80\x01\x7f\xff\xff\xff\x00\x00\x00\x00"), hsm.ErrNoToken, "device="},
		"short response": {speaker("short", "\x80\x01\x00\x00\x00\x02\x00\x00\x00\x00"), hsm.ErrNoToken, "device="},
		"relative":       {"dev/tpm0", hsm.ErrURI, "full path"},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := drivers.Open(t.Context(), "tpm:device="+url.PathEscape(c.path), hsm.Options{})
			if tok != nil {
				t.Error("it opens")
			}
			expect(t, err, c.want, c.says)
		})
	}
	for attr, says := range map[string]string{"handle=0x80000000": "persistent", "handle=x": "persistent", "handle=0x81800000": "persistent"} {
		_, err := drivers.Open(t.Context(), "tpm:"+attr, hsm.Options{})
		expect(t, err, hsm.ErrURI, says)
	}
}

// Goal: Open changes nothing in a TPM, and the parent and keys made later are where the documentation says. Method: list handles.
func TestOpenWritesNothing(t *testing.T) {
	s := emulator(t)
	tok := open(t, s.URI()+";handle=0x81000005", hsm.Options{})
	list := func() (all []tpm2.TPMHandle) {
		must(t, tok.Raw(t.Context(), func(c transport.TPM) error {
			for _, first := range []uint32{0x81000000, 0x01800000} {
				r, err := tpm2.GetCapability{Capability: tpm2.TPMCapHandles, Property: first, PropertyCount: 10}.Execute(c)
				if err != nil {
					return err
				}
				l, err := r.CapabilityData.Data.Handles()
				if err != nil {
					return err
				}
				for _, h := range l.Handle {
					if h < 0x01c00000 || h >= 0x81000000 && h < 0x81800000 {
						all = append(all, h)
					}
				}
			}
			return nil
		}))
		return all
	}
	if got := list(); len(got) > 0 {
		t.Errorf("Open left %x", got)
	}
	must(t, tok.GenerateKey(t.Context(), "k", hsm.KeyP256))
	if got := list(); len(got) != 2 || got[0] != 0x81000005 || got[1] != 0x0184d000 {
		t.Errorf("got %x, want the parent 81000005 and the record 184d000", got)
	}
}

// Goal: keys, wrapped secrets and counters outlive the process and a reboot. Method: reopen and restart, with the token closed and open.
func TestRestart(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	pub, err := tok.PublicKey(t.Context(), "sign")
	must(t, err)
	w, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), []byte("aad"))
	must(t, err)
	before, err := tok.Read(t.Context(), "count")
	must(t, err)
	same := func(tok *tpm.Token) {
		t.Helper()
		sig, err := tok.Sign(t.Context(), "sign", []byte("m"))
		must(t, err)
		if ok, err := hsm.Verify(pub, []byte("m"), sig); err != nil || !ok {
			t.Errorf("another key signs: %v", err)
		}
		if b, err := tok.Unwrap(t.Context(), "wrap", w, []byte("aad")); err != nil || string(b) != "secret" {
			t.Errorf("got %q, %v", b, err)
		}
		if v, err := tok.Increment(t.Context(), "count"); err != nil || v <= before {
			t.Errorf("the counter went from %d to %d, %v", before, v, err)
		} else {
			before = v
		}
	}
	must(t, s.Restart()) // under an open token
	if v, err := tok.Increment(t.Context(), "count"); err != nil || v != before+1 {
		t.Errorf("the counter went from %d to %d, %v", before, v, err)
	}
	must(t, s.Restart())
	same(tok)
	must(t, tok.Close())
	same(open(t, s.URI(), hsm.Options{}))
}

// Goal: after TPM2_Clear the keys are gone, which is said as such, and new ones can be made. Method: clear under an open token and
// between two.
func TestCleared(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	w, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
	must(t, err)
	must(t, tok.Raw(t.Context(), func(c transport.TPM) error {
		_, err := tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHPlatform, Auth: tpm2.PasswordAuth(nil)}}.Execute(c)
		return err
	}))
	_, err = tok.Sign(t.Context(), "sign", []byte("m"))
	expect(t, err, hsm.ErrNoKey, "TPM2_Clear")
	_, err = tok.Unwrap(t.Context(), "wrap", w, nil)
	expect(t, err, hsm.ErrNoKey, "hsm init")
	_, err = tok.Increment(t.Context(), "count")
	expect(t, err, hsm.ErrNoKey, "count")
	must(t, tok.GenerateKey(t.Context(), "wrap", hsm.KeyAESWrap))
	_, err = tok.Unwrap(t.Context(), "wrap", w, nil)
	expect(t, err, hsm.ErrIntegrity, "not wrapped with")
	must(t, tok.Close())
	must(t, s.Clear())
	again := open(t, s.URI(), hsm.Options{})
	_, err = again.Unwrap(t.Context(), "wrap", w, nil)
	expect(t, err, hsm.ErrNoKey, "TPM2_Clear")
	if keys, err := again.Keys(t.Context()); err != nil || len(keys) > 0 {
		t.Errorf("listed: %v, %v", keys, err)
	}
}

// Goal: a parent that somebody evicted comes back, and one that was replaced is not used. Method: evict it, then put another there.
func TestParentEvicted(t *testing.T) {
	tok := stocked(t, emulator(t).URI())
	evict := func(put *tpm2.TPMTPublic) {
		must(t, tok.Raw(t.Context(), func(c transport.TPM) error {
			owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
			r, err := tpm2.ReadPublic{ObjectHandle: tpm2.TPMHandle(0x81000001)}.Execute(c)
			if err != nil {
				return err
			}
			_, err = tpm2.EvictControl{Auth: owner, ObjectHandle: &tpm2.NamedHandle{Handle: 0x81000001, Name: r.Name},
				PersistentHandle: 0x81000001}.Execute(c)
			if err != nil || put == nil {
				return err
			}
			p, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(*put)}.Execute(c)
			if err != nil {
				return err
			}
			_, err = tpm2.EvictControl{Auth: owner, ObjectHandle: &tpm2.NamedHandle{Handle: p.ObjectHandle, Name: p.Name},
				PersistentHandle: 0x81000001}.Execute(c)
			if err == nil {
				_, err = tpm2.FlushContext{FlushHandle: p.ObjectHandle}.Execute(c)
			}
			return err
		}))
	}
	evict(nil)
	works(t, tok)
	empty(t, tok)
	signing := tpm2.ECCSRKTemplate
	signing.ObjectAttributes.NoDA = false // another key than the storage root key
	evict(&signing)
	_, err := tok.Sign(t.Context(), "sign", []byte("m"))
	expect(t, err, hsm.ErrNoKey, "another parent")
}

// Goal: a connection that is cut at any command heals by itself, and nothing is left in the TPM. Method: cut at each command of
// signing and unwrapping in turn, before and after the TPM did it.
func TestCut(t *testing.T) {
	w := newWire(t, emulator(t))
	tok := stocked(t, w.uri())
	for _, after := range []bool{false, true} {
		for _, cc := range []tpm2.TPMCC{tpm2.TPMCCLoad, tpm2.TPMCCSign, tpm2.TPMCCFlushContext, tpm2.TPMCCUnseal, tpm2.TPMCCStartAuthSession,
			tpm2.TPMCCCreate} {
			w.nth(cc, 1, after)
			_, err := tok.Sign(t.Context(), "sign", []byte("m"))
			must(t, err)
			box, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
			must(t, err)
			_, err = tok.Unwrap(t.Context(), "wrap", box, nil)
			must(t, err)
			w.set(nil)
			empty(t, tok)
		}
	}
}

// Goal: what must not be done twice is not repeated after a cut. Method: cut the answers of NV_Increment and NV_DefineSpace.
func TestCutOnce(t *testing.T) {
	w := newWire(t, emulator(t))
	tok := stocked(t, w.uri())
	before, err := tok.Read(t.Context(), "count")
	must(t, err)
	w.nth(tpm2.TPMCCNVIncrement, 1, true)
	_, err = tok.Increment(t.Context(), "count")
	expect(t, err, hsm.ErrUnavailable, "read it")
	w.set(nil)
	if v, err := tok.Read(t.Context(), "count"); err != nil || v != before+1 {
		t.Errorf("it counts %d, %v, want %d", v, err, before+1)
	}
	w.nth(tpm2.TPMCCNVWrite, 1, false)
	err = tok.GenerateKey(t.Context(), "new", hsm.KeyP256)
	expect(t, err, hsm.ErrUnavailable, "connection lost")
	w.set(nil)
	_, err = tok.Sign(t.Context(), "new", nil)
	expect(t, err, hsm.ErrNoKey, "new")
	must(t, tok.GenerateKey(t.Context(), "new", hsm.KeyP256))
	_, err = tok.Sign(t.Context(), "new", nil)
	must(t, err)
	must(t, func() error { _, err := tok.Increment(t.Context(), "count"); return err }())
}

// Goal: a dead TPM is an error in time, and one that is back is used again, without a restart of ours. Method: cut its power.
func TestKilled(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	must(t, s.Kill())
	_, err := tok.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrUnavailable, "refused")
	_, err = tok.Increment(t.Context(), "count")
	expect(t, err, hsm.ErrUnavailable, "refused")
	must(t, s.Restart())
	works(t, tok)
	empty(t, tok)
}

// Goal: calls on a TPM that hangs return with their context, those that wait for their turn too; then it works again, with nothing
// left over. Method: stop the process and let it go on.
func TestHang(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	must(t, s.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() { _, err := tok.Sign(ctx, "sign", nil); errs <- err }()
	}
	for range cap(errs) {
		expect(t, <-errs, context.DeadlineExceeded, "")
	}
	late, cancelLate := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancelLate()
	_, err := drivers.Open(late, s.URI(), hsm.Options{})
	expect(t, err, hsm.ErrUnavailable, "does not answer")
	must(t, s.Resume())
	works(t, tok)
	empty(t, tok)
}

// Goal: Close does not wait for ever for a TPM that hangs. Method: close while an operation without a deadline hangs.
func TestCloseHanging(t *testing.T) {
	s := emulator(t)
	w := newWire(t, s)
	tok := stocked(t, w.uri())
	began := make(chan struct{})
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		if cc == tpm2.TPMCCSign {
			close(began)
			<-t.Context().Done()
		}
		return forward(), false
	})
	done := make(chan error, 1)
	go func() { _, err := tok.Sign(context.Background(), "sign", nil); done <- err }()
	<-began
	must(t, tok.Close())
	expect(t, <-done, context.Canceled, "")
}

// Goal: a TPM that asks to be asked again is, and one that goes on doing so is an error. Method: answer TPM_RC_RETRY in its place.
func TestBusy(t *testing.T) {
	w := newWire(t, emulator(t))
	tok := stocked(t, w.uri())
	for _, rc := range []tpm2.TPMRC{tpm2.TPMRCRetry, tpm2.TPMRCTesting, tpm2.TPMRCNVRate, tpm2.TPMRCYielded} {
		refusals := 0
		w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
			if cc == tpm2.TPMCCSign && refusals < 2 {
				refusals++
				return failure(rc), false
			}
			return forward(), false
		})
		_, err := tok.Sign(t.Context(), "sign", nil)
		must(t, err)
		if refusals != 2 {
			t.Errorf("%d refusals", refusals)
		}
	}
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		if cc == tpm2.TPMCCSign {
			return failure(tpm2.TPMRCRetry), false
		}
		return forward(), false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := tok.Sign(ctx, "sign", nil)
	expect(t, err, context.DeadlineExceeded, "")
	w.set(nil)
	empty(t, tok)
}

// Goal: a signature that does not verify is withheld. Method: change the TPM's answer.
func TestWrongSignature(t *testing.T) {
	w := newWire(t, emulator(t))
	tok := stocked(t, w.uri())
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		r := forward()
		if cc == tpm2.TPMCCSign {
			r[30] ^= 1
		}
		return r, false
	})
	sig, err := tok.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrUnavailable, "withheld")
	if sig != nil {
		t.Error("it comes with the error")
	}
}

// Goal: operations, failed ones too, leave nothing in the TPM. Method: a thousand, then list handles through the same connection.
func TestNoLeak(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI()+"?"+pinSource(t, "1234")+"&pcrs=sha256:7")
	w, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
	must(t, err)
	bad := bytes.Clone(w)
	bad[len(bad)/2] ^= 1
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		_, err := tok.Sign(t.Context(), "sign", nil)
		must(t, err)
		_, err = tok.Unwrap(t.Context(), "wrap", w, nil)
		must(t, err)
		_, err = tok.Wrap(t.Context(), "wrap", []byte("s"), nil)
		must(t, err)
		_, err = tok.Random(t.Context(), 40)
		must(t, err)
		_, err = tok.AttestKey(t.Context(), "sign", nil)
		must(t, err)
		_, _ = tok.Unwrap(t.Context(), "wrap", bad, nil)
		_, _ = tok.Unwrap(t.Context(), "wrap", w, []byte("other"))
		_, _ = tok.Sign(t.Context(), "wrap", nil)
		_, _ = tok.Sign(gone, "sign", nil)
		_, err = tok.Increment(t.Context(), "count")
		must(t, err)
	}
	empty(t, tok)
}

// Goal: what a dead client of the same raw TPM left is flushed, so that it does not fill the memory. Method: leave three objects.
func TestLeftovers(t *testing.T) {
	s := emulator(t)
	must(t, s.Do(func(c swtpm.Conn) error {
		for range 3 {
			if _, err := (tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}).Execute(c); err != nil {
				return err
			}
		}
		_, _, err := tpm2.HMACSession(c, tpm2.TPMAlgSHA256, 16)
		return err
	}))
	tok := stocked(t, s.URI())
	works(t, tok)
	empty(t, tok)
}
