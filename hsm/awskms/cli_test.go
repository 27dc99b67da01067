package awskms

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: Amazon's command line, a client that is none of ours, verifies our signatures, opens our wrappings without us, and its
// signatures are ours. Method: awscli against the same moto.
func TestCommandLine(t *testing.T) {
	tok := openMoto(t)
	generate(t, tok, "p", hsm.KeyP256)
	generate(t, tok, "k", hsm.KeyAESWrap)
	dir := t.TempDir()
	aws := func(args ...string) map[string]any {
		t.Helper()
		cmd := exec.Command("aws", append([]string{"--endpoint-url", tok.endpoint.String(), "--region", tok.region, "--output", "json",
			"kms"}, args...)...)
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, &complaint)
		}
		var answer map[string]any
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	file := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return "fileb://" + path
	}
	decode := func(v any) []byte {
		b, err := base64.StdEncoding.DecodeString(v.(string))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	message := []byte("a message of the node")
	raw, err := tok.Sign(t.Context(), "p", message)
	if err != nil {
		t.Fatal(err)
	}
	name := []string{"--key-id", "alias/mpcd/p", "--signing-algorithm", "ECDSA_SHA_256", "--message", file("message", message)}
	if a := aws(append([]string{"verify", "--signature", file("sig", decode(der(t, raw)))}, name...)...); a["SignatureValid"] != true {
		t.Errorf("awscli says %v", a)
	}
	theirs, err := rawSignature(decode(aws(append([]string{"sign"}, name...)...)["Signature"]))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := tok.Verify(t.Context(), "p", message, theirs); err != nil || !ok {
		t.Errorf("the signature of awscli: %v, %v", ok, err)
	}

	dek, aad := []byte("0123456789abcdef0123456789abcdef"), []byte("vault root")
	wrapped, err := tok.Wrap(t.Context(), "k", dek, aad)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(aad) // written out as doc.go tells the operator, not taken from the driver
	context := "mpcd-purpose=mpcd/v1/hsm/awskms/wrap,mpcd-aad-sha256=" + base64.StdEncoding.EncodeToString(digest[:])
	got := aws("decrypt", "--key-id", "alias/mpcd/k", "--ciphertext-blob", file("wrapped", wrapped), "--encryption-context", context)
	if !bytes.Equal(decode(got["Plaintext"]), dek) {
		t.Error("awscli decrypts something else")
	}
}
