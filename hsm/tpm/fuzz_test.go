package tpm

import (
	"bytes"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/tpmkey"
)

// sample is a public area that a TPM could have made.
func sample(template tpm2.TPMTPublic) []byte {
	template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: []byte("\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb" +
			"\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96")},
		Y: tpm2.TPM2BECCParameter{Buffer: []byte("\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31" +
			"\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5")},
	})
	return tpm2.Marshal(template)
}

// Goal: no NV index makes the decoder of records panic, and what it reads is the one encoding of itself. Method: fuzz, from records of
// every kind; the checksum is made right, so that the fuzzer gets past it.
func FuzzRecord(f *testing.F) {
	for _, r := range []record{
		{Version: 1, Kind: kindCounter, ID: "c"},
		{Version: 1, Kind: kindSign, ID: "s", Public: sample(tpmkey.SigningTemplate(false)), Private: []byte{1}, Parent: []byte{2}},
		{Version: 1, Kind: kindWrap, ID: "w", Public: sample(tpm2.ECCSRKTemplate), Private: []byte{1}, Parent: []byte{2}},
		{Version: 1, Kind: kindAK, Public: sample(tpmkey.SigningTemplate(true)), Private: []byte{1}, Parent: []byte{2}},
	} {
		b := r.encode()
		if _, err := decodeRecord(b); err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-checkLen])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeRecord(b)
		e, err := decodeRecord(sealRecord(b))
		if err != nil {
			return
		}
		if !bytes.Equal(e.encode(), sealRecord(b)) {
			t.Error("a second encoding is accepted")
		}
		if (e.Kind == kindSign) != (e.ecdsa != nil && e.class() == keys) || (e.Kind != kindCounter) != (e.public != nil) {
			t.Errorf("%s without its key", e.Kind)
		}
		if e.class() == keys {
			_ = e.info()
		}
	})
}

// Goal: no wrapped secret makes the decoder panic, and what it reads is bounded. Method: fuzz, from one with PCRs and one without.
func FuzzWrapped(f *testing.F) {
	sel := selection{bank: "sha256", pcrs: []uint{0, 7}}
	values := [][]byte{make([]byte, 32), make([]byte, 32)}
	f.Add(canon.MustMarshal(wrapped{Version: 1, Key: []byte{1}, Public: tpm2.Marshal(sealTemplate(nil)), Private: []byte{1}, Box: []byte{1}}))
	f.Add(canon.MustMarshal(wrapped{Version: 1, Key: []byte{1}, Public: tpm2.Marshal(sealTemplate(sel.policy(values))), Private: []byte{1},
		Bank: "sha256", PCRs: []byte{0, 7}, Values: values, Box: []byte{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, sel, err := decodeWrapped(b)
		if err != nil {
			return
		}
		if len(sel.pcrs) > pcrMax || len(sel.pcrs) != len(w.Values) {
			t.Errorf("%d PCRs", len(sel.pcrs))
		}
		if public, err := w.public(sel); err == nil && public.ObjectAttributes.UserWithAuth != (len(sel.pcrs) == 0) {
			t.Error("PCRs that do not bind")
		}
		_ = w.additional(nil)
	})
}

// Goal: a sealed key whose policy is not that of the PCRs it names is refused before the TPM sees it. Method: exchange policies.
func TestForgedPolicy(t *testing.T) {
	sel := selection{bank: "sha256", pcrs: []uint{0, 7}}
	values := [][]byte{make([]byte, 32), make([]byte, 32)}
	bound := wrapped{Public: tpm2.Marshal(sealTemplate(sel.policy(values))), Values: values}
	if _, err := bound.public(sel); err != nil {
		t.Fatal(err)
	}
	free, other := bound, bound
	free.Public = tpm2.Marshal(sealTemplate(nil))
	other.Values = [][]byte{make([]byte, 32), bytes.Repeat([]byte{1}, 32)}
	signing := bound
	signing.Public = sample(tpmkey.SigningTemplate(false))
	for name, w := range map[string]wrapped{"no policy": free, "other values": other, "another object": signing} {
		if _, err := w.public(sel); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := bound.public(selection{}); err == nil {
		t.Error("a policy without PCRs is accepted")
	}
}

// Goal: no challenge, public area or certificate index makes a decoder panic. Method: fuzz.
func FuzzChallenge(f *testing.F) {
	f.Add(canon.MustMarshal(challenge{Version: 1, AK: []byte{1}, ID: []byte{2}, Secret: []byte{3}}))
	p := sample(tpmkey.SigningTemplate(true))
	f.Add(append([]byte{0, byte(len(p))}, p...))
	f.Add([]byte{0x30, 0x01, 0x00, 0x30, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeChallenge(b); err == nil && !bytes.Equal(canon.MustMarshal(*c), b) {
			t.Error("a second encoding is accepted")
		}
		if p, err := tpmkey.ParseSized(b); err == nil {
			_, _ = tpmkey.Public(p)
		}
		if n := len(bytes.Join(derSequences(b), nil)); n > len(b) {
			t.Errorf("%d bytes of certificates in %d", n, len(b))
		}
	})
}

// Goal: a selection of PCRs that is read prints as what it was read from, but for the order. Method: fuzz.
func FuzzPCRs(f *testing.F) {
	f.Add("sha256:0,2,7")
	f.Fuzz(func(t *testing.T, s string) {
		sel, err := parsePCRs(s)
		if err != nil {
			return
		}
		again, err := parsePCRs(sel.String())
		if err != nil || again.String() != sel.String() {
			t.Errorf("%q prints as %q", s, sel)
		}
	})
}
