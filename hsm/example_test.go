package hsm_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"os"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
)

// A key in a token asks for a certificate.
func ExampleNewCryptoSigner() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "hsm-example-")
	must(err)
	defer os.RemoveAll(dir)
	token, err := hsm.Drivers{"local": local.Open}.Open(ctx, "local:"+dir, hsm.Options{Dev: true})
	must(err)
	defer token.Close()
	generator, _ := hsm.As[hsm.KeyGenerator](token)
	must(generator.GenerateKey(ctx, "tls", hsm.KeyP256))

	signer, err := hsm.NewCryptoSigner(ctx, token, "tls")
	must(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "node1"}}, signer)
	must(err)
	request, err := x509.ParseCertificateRequest(der)
	must(err)
	fmt.Println(request.Subject, request.SignatureAlgorithm, request.CheckSignature())
	// Output: CN=node1 ECDSA-SHA256 <nil>
}

// A password comes from the environment.
func ExampleNewPasswordProvider() {
	must(os.Setenv("STORE_PASSWORD", "correct horse"))
	defer os.Unsetenv("STORE_PASSWORD")
	passwords, err := hsm.NewPasswordProvider("env", nil)
	must(err)
	fmt.Println(passwords.GetPassword(context.Background(), "STORE_PASSWORD"))
	// Output: correct horse <nil>
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
