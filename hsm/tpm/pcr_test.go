package tpm_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// extend changes a PCR through the token's connection.
func extend(t *testing.T, tok *tpm.Token, pcr uint) {
	t.Helper()
	must(t, tok.Raw(t.Context(), func(c transport.TPM) error { return swtpm.Extend(c, pcr) }))
}

// Goal: a secret opens only while the PCRs are what they were; the error names those that changed, and the old state opens it again.
// Method: extend other PCRs, then two of three; reboot.
func TestPCRs(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI()+"?pcrs=sha256:4,16,7")
	w, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), []byte("aad"))
	must(t, err)
	opens := func() {
		t.Helper()
		if b, err := tok.Unwrap(t.Context(), "wrap", w, []byte("aad")); err != nil || string(b) != "secret" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	opens()
	extend(t, tok, 5)
	opens()
	extend(t, tok, 16)
	extend(t, tok, 7)
	_, err = tok.Unwrap(t.Context(), "wrap", w, []byte("aad"))
	expect(t, err, hsm.ErrIntegrity, "PCR 7 16 of bank sha256 changed")
	expect(t, err, hsm.ErrIntegrity, "mpcd hsm rewrap")
	var changed *tpm.PCRError
	if !errors.As(err, &changed) || changed.Bank != "sha256" || !slices.Equal(changed.Changed, []uint{7, 16}) {
		t.Errorf("got %+v", changed)
	}
	resealed, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
	must(t, err)
	_, err = tok.Unwrap(t.Context(), "wrap", resealed, nil)
	must(t, err)
	empty(t, tok)
	must(t, s.Restart())
	opens()
	must(t, tok.Close())
	tok = open(t, s.URI(), hsm.Options{}) // the PCRs are those of the wrapping, whatever the URI
	opens()
	extend(t, tok, 4)
	_, err = tok.Unwrap(t.Context(), "wrap", w, []byte("aad"))
	expect(t, err, hsm.ErrIntegrity, "PCR 4 of")
}

// Goal: it is the TPM that refuses, not our comparison alone. Method: hide the change from PCR_Read, and change the PCR between the
// comparison and the policy.
func TestPCRsInTheTPM(t *testing.T) {
	w := newWire(t, emulator(t))
	tok := stocked(t, w.uri()+"?pcrs=sha256:7")
	box, err := tok.Wrap(t.Context(), "wrap", []byte("secret"), nil)
	must(t, err)
	var old []byte
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		r := forward()
		if cc == tpm2.TPMCCPCRRead {
			if old == nil {
				old = r
			}
			r = old
		}
		return r, false
	})
	_, err = tok.Unwrap(t.Context(), "wrap", box, nil)
	must(t, err)
	extend(t, tok, 7)
	b, err := tok.Unwrap(t.Context(), "wrap", box, nil)
	if err == nil || b != nil {
		t.Fatalf("the TPM unseals under another PCR: %q", b)
	}
	w.set(nil)
	empty(t, tok)
}

// Goal: selections are what they say, in one order, and PCRs the TPM lacks are named. Method: a table; an inactive bank.
func TestPCRSelection(t *testing.T) {
	s := emulator(t)
	for _, bad := range []string{"sha256", "sha1:0", "md5:1", "sha256:", "sha256:24", "sha256:1,1", "sha256:-1", "sha256:1,",
		"sha256:x", ":1"} {
		_, err := drivers.Open(t.Context(), s.URI()+"?pcrs="+bad, hsm.Options{})
		expect(t, err, hsm.ErrURI, "sha256:0,2,7")
	}
	tok := stocked(t, s.URI()+"?pcrs=sha384:0")
	_, err := tok.Wrap(t.Context(), "wrap", []byte("s"), nil)
	expect(t, err, hsm.ErrUnsupported, "no PCR 0 of sha384")
	must(t, tok.Close())
	all := open(t, s.URI()+"?pcrs=sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23", hsm.Options{})
	w, err := all.Wrap(t.Context(), "wrap", make([]byte, hsm.MaxWrap), nil)
	must(t, err)
	_, err = all.Unwrap(t.Context(), "wrap", w, nil)
	must(t, err)
	t.Logf("%d bytes wrapped with all PCRs are %d", hsm.MaxWrap, len(w))
	if m, err := all.WrapMethod(t.Context(), "wrap"); err != nil || m[:20] != "tpm-seal to sha256:0" {
		t.Errorf("%q, %v", m, err)
	}
}
