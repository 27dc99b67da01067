package tpm_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"

	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// ecdsaKey is a TPM's point as the standard library has it.
func ecdsaKey(p *tpm2.TPMSECCPoint) *ecdsa.PublicKey {
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, p.X.Buffer...), p.Y.Buffer...))
	if err != nil {
		panic(err) // libtpms pads coordinates
	}
	return k
}

// Goal: what the driver makes is what the specification says, not what the driver reads back. Method: tpm2-tools, an implementation
// of others, loads a key from its NV record's blob, signs with it, verifies the driver's signature, reads record and counter.
func TestTools(t *testing.T) {
	s := emulator(t)
	tok := stocked(t, s.URI())
	sig, err := tok.Sign(t.Context(), "sign", []byte("message"))
	must(t, err)
	pub, err := tok.PublicKey(t.Context(), "sign")
	must(t, err)
	public, private, err := tok.Blob(t.Context(), "sign")
	must(t, err)
	index, err := tok.Index(t.Context(), "sign")
	must(t, err)
	count, err := tok.Increment(t.Context(), "count")
	must(t, err)
	must(t, tok.Close()) // swtpm serves one client at a time

	dir := t.TempDir()
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if b != nil {
			must(t, os.WriteFile(path, b, 0o600))
		}
		return path
	}
	sized := func(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }
	message, context := file("message", []byte("message")), file("key.ctx", nil)
	tool(t, s, "tpm2_load", "-C", "0x81000001", "-u", file("pub", sized(public)), "-r", file("priv", sized(private)), "-c", context)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])})
	must(t, err)
	// tpm2_verifysignature reads ECDSA signatures in the TPM's form: TPMT_SIGNATURE.
	tpmt := append([]byte{0, 0x18, 0, 0x0b}, append(sized(sig[:32]), sized(sig[32:])...)...)
	tool(t, s, "tpm2_verifysignature", "-c", context, "-g", "sha256", "-m", message, "-s", file("sig", tpmt))
	tool(t, s, "tpm2_sign", "-c", context, "-g", "sha256", "-f", "plain", "-o", file("their.sig", nil), message)
	theirs, err := os.ReadFile(file("their.sig", nil))
	must(t, err)
	if !ecdsa.VerifyASN1(pub.(*ecdsa.PublicKey), hash([]byte("message")), theirs) {
		t.Error("what they sign with our key does not verify")
	}
	pkix, err := x509.MarshalPKIXPublicKey(pub)
	must(t, err)
	tool(t, s, "tpm2_readpublic", "-c", context, "-f", "pem", "-o", file("key.pem", nil))
	text, err := os.ReadFile(file("key.pem", nil))
	must(t, err)
	if block, _ := pem.Decode(text); block == nil || string(block.Bytes) != string(pkix) {
		t.Error("they read another public key")
	}
	if out, err := exec.Command("openssl", "dgst", "-sha256", "-verify", file("key.pem", nil), "-signature", file("der", der),
		message).CombinedOutput(); err != nil {
		t.Errorf("openssl: %v: %s", err, out)
	}
	if record := tool(t, s, "tpm2_nvread", fmt.Sprintf("0x%08x", index)); !containsAll(record, public, private, []byte("sign")) {
		t.Error("the record does not hold name and key")
	}
	if b := tool(t, s, "tpm2_nvread", "0x0184d102"); new(big.Int).SetBytes(b).Uint64() != count {
		t.Errorf("they read the counter as %x, we as %d", b, count)
	}
	// Remove a key as our errors say.
	tool(t, s, "tpm2_nvundefine", fmt.Sprintf("0x%08x", index))
	again := stockedNot(t, s)
	if _, err := again.Sign(t.Context(), "sign", nil); err == nil {
		t.Error("a removed key signs")
	}
}

// tool runs a program of tpm2-tools and gives what it prints. It flushes what the program left, since there is no resource manager.
func tool(t *testing.T, s *swtpm.TPM, name string, args ...string) []byte {
	t.Helper()
	out := program(t, s, name, args...)
	program(t, s, "tpm2_flushcontext", "-t")
	return out
}

func program(t *testing.T, s *swtpm.TPM, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "TPM2TOOLS_TCTI="+s.TCTI())
	out, err := cmd.Output()
	if err != nil {
		var text []byte
		if e, ok := err.(*exec.ExitError); ok {
			text = e.Stderr
		}
		t.Fatalf("%s %v: %v: %s", name, args, err, text)
	}
	return out
}
