package awskms

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: a URI that contradicts itself or would show the vault's key to the network is refused. Method: a table.
func TestOpenRefuses(t *testing.T) {
	const secret = "s3cr3t"
	for uri, reason := range map[string]string{
		"awskms:key-id=arn:aws:kms:us-east-1:1:key%2Fa;region=eu-west-1": "eu-west-1",
		"awskms:key-id=alias%2Fa%20b":                                    "alias",
		"awskms:?endpoint=http://kms.example.com":                        "https",
		"awskms:?endpoint=http://10.0.0.1:5000":                          "https",
		"awskms:?endpoint=ftp://127.0.0.1":                               "https",
		"awskms:?endpoint=kms.example.com":                               "URL",
		"awskms:?endpoint=https://a:" + secret + "@kms.example.com":      "credentials",
		"awskms:?endpoint=https://kms.example.com/?a=" + secret:          "only",
	} {
		_, err := drivers.Open(t.Context(), uri, hsm.Options{})
		if !errors.Is(err, hsm.ErrURI) || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v, want %q", uri, err, reason)
		}
	}
	t.Setenv("AWS_ENDPOINT_URL_KMS", "http://kms.example.com")
	if _, err := drivers.Open(t.Context(), "aws", hsm.Options{}); !errors.Is(err, hsm.ErrURI) {
		t.Errorf("the environment's endpoint: got %v", err)
	}
}

// Goal: only an endpoint that TLS proves to be Amazon's is said to guard keys in hardware, and any other is warned of. Method: Info.
func TestSoftwareOnly(t *testing.T) {
	for uri, software := range map[string]bool{
		"awskms:region=us-east-1": false,
		"awskms:region=us-east-1?endpoint=https://vpce-0abc.kms.us-east-1.vpce.amazonaws.com": false,
		"awskms:region=us-east-1?endpoint=https://kms.us-east-1.api.aws":                      false,
		"awskms:region=us-east-1?endpoint=https://kms.example.com":                            true,
		"awskms:region=us-east-1?endpoint=https://amazonaws.com.example.com":                  true,
		"awskms:region=us-east-1?endpoint=https://notamazonaws.com":                           true,
		"awskms:region=us-east-1?endpoint=http://127.0.0.1:1":                                 true,
	} {
		var log bytes.Buffer
		tok, err := drivers.Open(t.Context(), uri, hsm.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		info, err := tok.Info(t.Context())
		if err != nil || info.SoftwareOnly != software || !strings.Contains(info.Label, "us-east-1") {
			t.Errorf("%s: %+v, %v", uri, info, err)
		}
		if warned := strings.Contains(log.String(), "not Amazon's"); warned != software {
			t.Errorf("%s: the log says %q", uri, &log)
		}
	}
}

// Goal: without credentials Open says so, soon. Method: an environment without any; an instance role that answers nobody.
func TestNoCredentials(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
	begin := time.Now()
	_, err := drivers.Open(t.Context(), "awskms:region=us-east-1", hsm.Options{})
	if !errors.Is(err, hsm.ErrCredentials) || !strings.Contains(err.Error(), "AWS_WEB_IDENTITY_TOKEN_FILE") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > credentialLimit {
		t.Errorf("it took %v", took)
	}
}

// Goal: the role of a Kubernetes pod works. Method: a token file and a role's ARN, which moto's STS takes; without them there would be
// no credentials.
func TestWebIdentity(t *testing.T) {
	s := motoServer(t)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("eyJhbGciOiJub25lIn0.eyJzdWIiOiJwb2QifQ."), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mpcd")
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL)
	t.Setenv("AWS_REGION", s.Region())
	tok, err := drivers.Open(t.Context(), "awskms:?endpoint="+s.URL, hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := tok.(*token).client.Options().Credentials.Retrieve(t.Context())
	if err != nil || found.SessionToken == "" {
		t.Errorf("credentials of %s, %v", found.Source, err)
	}
	generate(t, tok.(*token), "p", hsm.KeyP256)
}

// Goal: an ARN finds its region where only the environment names another, and is refused where the URI does; a token without any
// region works for ARNs. Method: one key, three tokens.
func TestRegions(t *testing.T) {
	s := motoServer(t)
	home := openMoto(t)
	generate(t, home, "p", hsm.KeyP256)
	k, err := home.signingKey(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	m, err := home.describe(t.Context(), "p", k.target)
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(m.Arn)
	open := func(uri string) hsm.Token {
		tok, err := drivers.Open(t.Context(), uri+"?endpoint="+s.URL, hsm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	if _, err := open("awskms:").Sign(t.Context(), arn, []byte("m")); err != nil {
		t.Errorf("no region: %v", err)
	}
	if _, err := open("awskms:").Sign(t.Context(), "p", []byte("m")); !errors.Is(err, hsm.ErrURI) ||
		!strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("no region, a name: %v", err)
	}
	if _, err := open("awskms:key-id="+strings.ReplaceAll(arn, "/", "%2F")).Sign(t.Context(), "", []byte("m")); err != nil {
		t.Errorf("the ARN in the URI, no key ID: %v", err)
	}
	if _, err := open("awskms:region=us-east-1").Sign(t.Context(), arn, []byte("m")); !errors.Is(err, hsm.ErrNoKey) ||
		!strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("another region in the URI: %v", err)
	}
	t.Setenv("AWS_REGION", "us-east-1")
	elsewhere := open("awskms:")
	if _, err := elsewhere.Sign(t.Context(), arn, []byte("m")); err != nil {
		t.Errorf("another region in the environment: %v", err)
	}
	if _, err := elsewhere.Sign(t.Context(), "p", []byte("m")); !errors.Is(err, hsm.ErrNoKey) || !strings.Contains(err.Error(), "region") {
		t.Errorf("a name in the wrong region: %v", err)
	}
	// The alias moves; the token stays with the key it knows, a new token finds the new one.
	generate(t, home, "q", hsm.KeyP256)
	q, err := home.signingKey(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.client.UpdateAlias(t.Context(), &kms.UpdateAliasInput{AliasName: aws.String("alias/mpcd/p"),
		TargetKeyId: aws.String(bareID(q.target.id))}); err != nil {
		t.Fatal(err)
	}
	sig, err := home.Sign(t.Context(), "p", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := hsm.Verify(k.public, []byte("m"), sig); err != nil || !ok {
		t.Errorf("the key changed under an open token: %v", err)
	}
	pub, err := openAt(t, s.URL, home.region, hsm.Options{}, fast).PublicKey(t.Context(), "p")
	if err != nil || !q.public.(*ecdsa.PublicKey).Equal(pub) {
		t.Errorf("a new token does not find the key that the alias leads to: %v", err)
	}
}

// Goal: a key that is disabled or awaits deletion is named so, and works again afterwards. Method: moto's own states.
func TestKeyStates(t *testing.T) {
	tok := openMoto(t)
	generate(t, tok, "p", hsm.KeyP256)
	k, err := tok.signingKey(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	id := bareID(k.target.id)
	sign := func() error { _, err := tok.Sign(t.Context(), "p", []byte("m")); return err }
	if _, err := tok.client.DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	if err := sign(); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "enable-key") {
		t.Errorf("disabled: %v", err)
	}
	if _, err := tok.client.EnableKey(t.Context(), &kms.EnableKeyInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	if err := sign(); err != nil {
		t.Errorf("enabled: %v", err)
	}
	if _, err := tok.client.ScheduleKeyDeletion(t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: &id}); err != nil {
		t.Fatal(err)
	}
	if err := sign(); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "cancel-key-deletion") {
		t.Errorf("pending deletion: %v", err)
	}
}
