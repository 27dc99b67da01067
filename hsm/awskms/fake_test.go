package awskms

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/luxfi/mpcd/hsm"
)

// fake answers what moto cannot: it has an Ed25519 key "ed", an ML-DSA key "pq", and many aliases in pages of one.
type fake struct {
	t       *testing.T
	private ed25519.PrivateKey
	aliases []string
	endless bool
	denied  string // alias that may not be described
}

const fakeARN = "arn:aws:kms:us-east-1:123456789012:key/"

func (f *fake) open() *token {
	s := httptest.NewServer(f)
	f.t.Cleanup(s.Close)
	return openAt(f.t, s.URL, "us-east-1", hsm.Options{}, fast)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := checkSigV4(r, body); err != nil {
		f.t.Error(err)
		refuse(w, 403, "InvalidSignatureException", err.Error())
		return
	}
	var in struct {
		KeyId, MessageType, SigningAlgorithm, KeySpec, Marker string
		Message                                               []byte
	}
	if err := json.Unmarshal(body, &in); err != nil {
		f.t.Error(err)
	}
	answer := map[string]any{"KeyId": fakeARN + "ed"}
	switch action := actionOf(r); {
	case action == "ListAliases":
		f.list(w, in.Marker)
		return
	case action == "DescribeKey" && in.KeyId == f.denied:
		refuse(w, 400, "AccessDeniedException", "")
		return
	case action == "DescribeKey":
		answer = map[string]any{"KeyMetadata": map[string]any{"KeyId": in.KeyId[len("alias/mpcd/"):],
			"Arn": fakeARN + in.KeyId[len("alias/mpcd/"):], "KeySpec": "ML_DSA_65", "KeyUsage": "SIGN_VERIFY", "Origin": "EXTERNAL"}}
	case action == "GetPublicKey" && in.KeyId == "alias/mpcd/pq":
		answer = map[string]any{"KeyId": fakeARN + "pq", "KeySpec": "ML_DSA_65", "KeyUsage": "SIGN_VERIFY",
			"SigningAlgorithms": []string{"ML_DSA_SHAKE_256"}, "PublicKey": []byte{1, 2, 3}}
	case action == "GetPublicKey":
		spki, err := x509.MarshalPKIXPublicKey(f.private.Public())
		if err != nil {
			f.t.Error(err)
		}
		answer = map[string]any{"KeyId": fakeARN + "ed", "KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY",
			"SigningAlgorithms": []string{"ED25519_SHA_512", "ED25519_PH_SHA_512"}, "PublicKey": spki}
	case action == "Sign" && in.KeyId == fakeARN+"ed" && in.MessageType == "RAW" && in.SigningAlgorithm == "ED25519_SHA_512" &&
		len(in.Message) > 0 && len(in.Message) <= rawMax:
		answer["Signature"], answer["SigningAlgorithm"] = ed25519.Sign(f.private, in.Message), in.SigningAlgorithm
	default:
		refuse(w, 400, "ValidationException", action)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// list gives one alias a page.
func (f *fake) list(w http.ResponseWriter, marker string) {
	n := 0
	_, _ = fmt.Sscan(marker, &n)
	answer := map[string]any{"Truncated": n+1 < len(f.aliases) || f.endless, "Aliases": []any{}}
	if n < len(f.aliases) {
		answer["Aliases"] = []any{map[string]any{"AliasName": f.aliases[n], "TargetKeyId": "x"}}
	}
	if !f.endless {
		answer["NextMarker"] = fmt.Sprint(n + 1)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// checkSigV4 signs the request again, as its own headers say, and compares (AWS Signature Version 4).
func checkSigV4(r *http.Request, body []byte) error {
	_, list, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return err
	}
	if age := time.Since(at); age > time.Minute || age < -time.Minute {
		return fmt.Errorf("signed at %v", at)
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, name := range strings.Split(list, ";") {
		if name != "host" && name != "content-length" {
			again.Header.Set(name, r.Header.Get(name))
		}
	}
	sum := fmt.Sprintf("%x", sha256Of(body))
	creds := aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	if err := v4.NewSigner().SignHTTP(r.Context(), creds, again, sum, "kms", "us-east-1", at); err != nil {
		return err
	}
	if got, want := r.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want || !strings.Contains(list, "host") {
		return fmt.Errorf("signed as %s, want %s", got, want)
	}
	return nil
}

// Goal: an Ed25519 key signs where the service has one, within the length that KMS takes, and every request is signed (SigV4). Method:
// a fake, since moto has no such keys.
func TestEd25519(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tok := (&fake{t: t, private: private}).open()
	for _, n := range []int{1, rawMax} {
		message := make([]byte, n)
		sig, err := tok.Sign(t.Context(), "ed", message)
		if err != nil || !ed25519.Verify(private.Public().(ed25519.PublicKey), message, sig) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, rawMax + 1} {
		if _, err := tok.Sign(t.Context(), "ed", make([]byte, n)); !errors.Is(err, hsm.ErrUnsupported) || !strings.Contains(err.Error(), "p256") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// Goal: a key that nothing here can verify is refused, and listed as what it is. Method: a fake with an ML-DSA key.
func TestMLDSA(t *testing.T) {
	tok := (&fake{t: t, aliases: []string{"alias/mpcd/pq"}}).open()
	if _, err := tok.Sign(t.Context(), "pq", []byte("m")); !errors.Is(err, hsm.ErrKeyType) || !strings.Contains(err.Error(), "ML_DSA_65") {
		t.Errorf("got %v", err)
	}
	keys, err := tok.Keys(t.Context())
	if err != nil || len(keys) != 1 || keys[0].Type != "ML_DSA_65" || keys[0].Local || keys[0].NeverExtracted {
		t.Errorf("%+v, %v", keys, err)
	}
}

// Goal: the list has every page, ours alone, and ends. Method: a fake with a page for each alias; one without an end.
func TestPages(t *testing.T) {
	f := &fake{t: t, aliases: []string{"alias/mpcd/c", "alias/aws/ebs", "alias/other", "alias/mpcd/a_20b", "alias/mpcd/denied",
		"alias/mpcd/b"}, denied: "alias/mpcd/denied"}
	keys, err := f.open().Keys(t.Context())
	if err != nil || len(keys) != 3 || keys[0].ID != "a b" || keys[1].ID != "b" || keys[2].ID != "c" {
		t.Errorf("%+v, %v", keys, err)
	}
	f = &fake{t: t, endless: true}
	if _, err := f.open().Keys(t.Context()); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "marker") {
		t.Errorf("got %v", err)
	}
}
