package attest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

// One party's share leaves with the word of its token, and who has the token's key sees that it did.
func ExampleNewAttestingSigner() {
	ctx := context.Background()
	token, done := exampleToken(ctx)
	defer done()

	scheme := frost.Ed25519
	cluster := thresholdtest.NewWorld(1, 3, 2) // three parties, of whom two sign
	quorum := cluster.Committee.Parties[:2]
	self := quorum[0]
	shares, err := cluster.Keygen(scheme)
	must(err)
	pres, err := cluster.Presign(scheme, shares, quorum)
	must(err)
	inner, err := scheme.NewSigner(shares[self])
	must(err)

	signer := attest.NewAttestingSigner(inner, shares[self].KeyInfo, token, "attest")
	header := attest.Header{Cluster: "example", Node: "node1", Time: time.Now().UnixMilli()}
	request := threshold.SignRequest{Message: []byte("pay 5 to alice"), Pre: pres[self]}
	share, err := signer.SignShare(ctx, header, request, [32]byte{})
	must(err)

	fmt.Println(attest.VerifyAttestation(ctx, token, "attest", share))
	share.Share.Payload[0] ^= 1
	fmt.Println(attest.VerifyAttestation(ctx, token, "attest", share))
	// Output:
	// true <nil>
	// false <nil>
}

func exampleToken(ctx context.Context) (token hsm.Token, done func()) {
	dir, err := os.MkdirTemp("", "attest-example-")
	must(err)
	token, err = hsm.Drivers{"local": local.Open}.Open(ctx, "local:"+dir, hsm.Options{Dev: true})
	must(err)
	generator, _ := hsm.As[hsm.KeyGenerator](token)
	must(generator.GenerateKey(ctx, "attest", hsm.KeyP256))
	return token, func() { token.Close(); os.RemoveAll(dir) }
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
