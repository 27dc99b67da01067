package tpm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

var drivers = hsm.Drivers{"tpm": tpm.Open}

// emulator is a fresh TPM.
func emulator(t *testing.T) *swtpm.TPM {
	t.Helper()
	s, err := swtpm.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	return s
}

// open opens a TPM that must open, and closes it at the end.
func open(t *testing.T, uri string, o hsm.Options) *tpm.Token {
	t.Helper()
	tok, err := drivers.Open(t.Context(), uri, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tok.Close() })
	return tok.(*tpm.Token)
}

// pinSource is a file with an authorization value.
func pinSource(t *testing.T, pin string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(path, []byte(pin), 0o600); err != nil {
		t.Fatal(err)
	}
	return "pin-source=file:" + path
}

// Goal: the driver keeps the contract, with and without an authorization value, and sealed to PCRs. Method: the suite on swtpm.
func TestConformance(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		hsmtest.Run(t, func(t *testing.T) hsm.Token { return open(t, emulator(t).URI(), hsm.Options{}) }, hsmtest.Name("swtpm"))
	})
	t.Run("pin and pcrs", func(t *testing.T) {
		hsmtest.Run(t, func(t *testing.T) hsm.Token {
			return open(t, emulator(t).URI()+"?"+pinSource(t, "1234")+"&pcrs=sha256:0,2,7", hsm.Options{})
		}, hsmtest.Name("swtpm, sealed to PCRs"))
	})
}

// Goal: the token says what it is, and that an emulator guards nothing. Method: ask swtpm.
func TestInfo(t *testing.T) {
	s := emulator(t)
	tok := open(t, s.URI(), hsm.Options{})
	info, err := tok.Info(t.Context())
	must(t, err)
	if info.Manufacturer != "IBM" || info.Model != "SW   TPM" || info.Firmware == "0.0.0.0" || !info.SoftwareOnly || info.PINTriesLow ||
		info.Label != s.Path() || info.Serial != "" {
		t.Errorf("got %+v", info)
	}
	must(t, tok.GenerateKey(t.Context(), "k", hsm.KeyP256))
	if info, err = tok.Info(t.Context()); err != nil || len(info.Serial) != 16 {
		t.Errorf("got %+v, %v", info, err)
	}
	keys, err := tok.Keys(t.Context())
	must(t, err)
	if want := (hsm.KeyInfo{ID: "k", Type: hsm.KeyP256, Sensitive: true, Local: true, NeverExtracted: true}); len(keys) != 1 ||
		keys[0] != want {
		t.Errorf("got %+v", keys)
	}
}

// Goal: hardware is not called software. Method: the vendor's strings of a chip in swtpm's place.
func TestHardware(t *testing.T) {
	w := newWire(t, emulator(t))
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		r := forward()
		for old, chip := range map[string]string{"IBM\x00": "IFX\x00", "SW  ": "SLB9"} {
			r = bytes.ReplaceAll(r, []byte(old), []byte(chip))
		}
		return r, false
	})
	info, err := open(t, w.uri(), hsm.Options{}).Info(t.Context())
	if err != nil || info.SoftwareOnly || info.Manufacturer != "IFX" || info.Model != "SLB9 TPM" {
		t.Errorf("got %+v, %v", info, err)
	}
}

// Goal: a TPM without P-256 is asked, not tried. Method: hide its curves.
func TestNoCurve(t *testing.T) {
	w := newWire(t, emulator(t))
	w.set(func(cc tpm2.TPMCC, forward func() []byte) ([]byte, bool) {
		r := forward()
		if cc == tpm2.TPMCCGetCapability && bytes.Equal(r[11:15], []byte{0, 0, 0, 8}) { // TPM_CAP_ECC_CURVES
			r = append(r[:15:15], 0, 0, 0, 0)
			r[5] = byte(len(r))
		}
		return r, false
	})
	expect(t, open(t, w.uri(), hsm.Options{}).GenerateKey(t.Context(), "k", hsm.KeyP256), hsm.ErrUnsupported, "P-256")
}

// Goal: only a storage key is taken as parent. Method: name a signing key.
func TestParentType(t *testing.T) {
	s := emulator(t)
	must(t, s.Do(func(c swtpm.Conn) error {
		template := tpm2.ECCSRKTemplate
		template.ObjectAttributes.Decrypt, template.ObjectAttributes.SignEncrypt, template.ObjectAttributes.Restricted = false, true, false
		template.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256})
		owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
		p, err := tpm2.CreatePrimary{PrimaryHandle: owner, InPublic: tpm2.New2B(template)}.Execute(c)
		if err != nil {
			return err
		}
		_, err = tpm2.EvictControl{Auth: owner, ObjectHandle: &tpm2.NamedHandle{Handle: p.ObjectHandle, Name: p.Name},
			PersistentHandle: 0x81000002}.Execute(c)
		return err
	}))
	_, err := drivers.Open(t.Context(), s.URI()+";handle=0x81000002", hsm.Options{})
	expect(t, err, hsm.ErrKeyType, "handle=")
}
