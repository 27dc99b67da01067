package tpm_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// stockedNot opens a TPM whose keys are made.
func stockedNot(t *testing.T, s *swtpm.TPM) *tpm.Token {
	t.Helper()
	return open(t, s.URI(), hsm.Options{})
}

func containsAll(b []byte, parts ...[]byte) bool {
	for _, p := range parts {
		if !bytes.Contains(b, p) {
			return false
		}
	}
	return true
}

// Goal: a full TPM says what is in it and how to make room, and works on. Method: make keys until it is full.
func TestFull(t *testing.T) {
	tok := stocked(t, emulator(t).URI())
	var err error
	made := 0
	for err == nil {
		if err = tok.GenerateKey(t.Context(), fmt.Sprint("key ", made), hsm.KeyP256); err == nil {
			made++
		}
	}
	t.Logf("%d keys, then: %.300s", made, err)
	if made < 50 || !strings.Contains(err.Error(), `wrap "wrap" at 0x0184d001`) || !strings.Contains(err.Error(), "tpm2_nvundefine") {
		t.Errorf("%d keys, then %v", made, err)
	}
	works(t, tok)
	if keys, err := tok.Keys(t.Context()); err != nil || len(keys) != made+2 {
		t.Errorf("%d keys listed, %v", len(keys), err)
	}
	empty(t, tok)
}

// Goal: a key that was stored twice is not chosen by chance, and one half written is not there. Method: copy a record; cut one.
func TestBadRecords(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	for _, missing := range []int{5, 9, 20, 200} { // fewer may be what the TPM fills an index with
		must(t, tok.StoreTorn(t.Context(), "sign", missing))
	}
	_, err := tok.Sign(t.Context(), "torn", nil)
	expect(t, err, hsm.ErrNoKey, "torn")
	must(t, tok.GenerateKey(t.Context(), "torn", hsm.KeyP256))
	_, err = tok.Sign(t.Context(), "torn", nil)
	must(t, err)
	must(t, tok.StoreTwice(t.Context(), "sign"))
	must(t, tok.Close())
	again := stockedNot(t, s)
	_, err = again.Sign(t.Context(), "sign", nil)
	expect(t, err, hsm.ErrAmbiguous, "0x0184d000 and 0x0184d008")
	_, err = again.Sign(t.Context(), "torn", nil)
	must(t, err)
}

// Goal: another process's keys are seen without a restart. Method: two tokens take turns at one TPM.
func TestOtherProcess(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	must(t, tok.Close())
	a := stockedNot(t, s)
	if _, err := a.Sign(t.Context(), "later", nil); err == nil {
		t.Fatal("it is there")
	}
	must(t, a.GenerateKey(t.Context(), "later", hsm.KeyP256))
	_, err := a.Sign(t.Context(), "later", nil)
	must(t, err)
	err = a.GenerateKey(t.Context(), "later", hsm.KeyP256)
	expect(t, err, hsm.ErrKeyExists, "another key ID")
}

// Goal: IDs have edges. Method: the longest, one more, and the default key of the URI.
func TestIDs(t *testing.T) {
	tok := open(t, emulator(t).URI()+";object=sign", hsm.Options{})
	long := strings.Repeat("n", 128)
	must(t, tok.GenerateKey(t.Context(), long, hsm.KeyP256))
	if _, err := tok.Sign(t.Context(), long, nil); err != nil {
		t.Error(err)
	}
	if err := tok.GenerateKey(t.Context(), long+"n", hsm.KeyP256); err == nil || !strings.Contains(err.Error(), "at most 128") {
		t.Errorf("got %v", err)
	}
	_, err := tok.Sign(t.Context(), "", nil)
	expect(t, err, hsm.ErrNoKey, "sign")
	must(t, tok.GenerateKey(t.Context(), "sign", hsm.KeyP256))
	_, err = tok.Sign(t.Context(), "", nil)
	must(t, err)
	for _, kind := range []hsm.KeyType{hsm.KeyEd25519, hsm.KeySecp256k1, hsm.KeyRSA3072} {
		expect(t, tok.GenerateKey(t.Context(), "other", kind), hsm.ErrUnsupported, string(kind))
	}
}

// Goal: of two processes that make one ID at the same time, at most one succeeds, and nothing of the other stays. Method: store a record
// between the definition and the writing of another.
func TestRace(t *testing.T) {
	tok := open(t, emulator(t).URI(), hsm.Options{})
	inner, outer := tok.StoreAtOnce(t.Context(), "c")
	must(t, inner)
	expect(t, outer, hsm.ErrKeyExists, "at the same time")
	_, err := tok.CreateCounter(t.Context(), "c")
	expect(t, err, hsm.ErrKeyExists, "another ID")
	must(t, tok.GenerateKey(t.Context(), "k", hsm.KeyP256))
	if index, err := tok.Index(t.Context(), "k"); err != nil || index != 0x0184d000 {
		t.Errorf("the place of the one that failed is not free: 0x%x, %v", index, err)
	}
}

// Goal: an index of somebody else in our range is left alone, above all not tried without its authorization. Method: one with a
// password, under the protection against dictionary attacks.
func TestForeignIndex(t *testing.T) {
	s := emulator(t)
	must(t, s.Do(func(c swtpm.Conn) error {
		owner := tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}
		_, err := tpm2.NVDefineSpace{AuthHandle: owner, Auth: tpm2.TPM2BAuth{Buffer: []byte("theirs")}, PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: 0x0184d000, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8, Attributes: tpm2.TPMANV{NT: tpm2.TPMNTOrdinary, OwnerWrite: true,
				AuthRead: true}})}.Execute(c)
		if err != nil {
			return err
		}
		r, err := tpm2.NVReadPublic{NVIndex: tpm2.TPMHandle(0x0184d000)}.Execute(c)
		if err != nil {
			return err
		}
		_, err = tpm2.NVWrite{AuthHandle: owner, NVIndex: tpm2.NamedHandle{Handle: 0x0184d000, Name: r.NVName},
			Data: tpm2.TPM2BMaxNVBuffer{Buffer: make([]byte, 8)}}.Execute(c)
		return err
	}))
	tok := stocked(t, s.URI())
	works(t, tok)
	if n := failed(t, tok); n != 0 {
		t.Errorf("%d wrong authorizations", n)
	}
}
