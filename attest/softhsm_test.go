package attest

import (
	"context"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/softhsm"
)

// Goal: a real PKCS#11 token attests, with both kinds of key. Method: SoftHSM; a batch, verified offline with the public key.
func TestSoftHSM(t *testing.T) {
	ctx := context.Background()
	token, err := hsm.Drivers{"pkcs11": softhsm.Open}.Open(ctx, softhsm.New(t), hsm.Options{})
	must(t, err)
	defer token.Close()
	generator, _ := hsm.As[hsm.KeyGenerator](token)
	public, _ := hsm.As[hsm.PublicKeyer](token)
	for _, kind := range []hsm.KeyType{hsm.KeyP256, hsm.KeyEd25519} {
		must(t, generator.GenerateKey(ctx, string(kind), kind))
		pub, err := public.PublicKey(ctx, string(kind))
		must(t, err)
		leaves := testLeaves(5)
		for range 8 { // enough for ECDSA to give both a low and a high s
			b, err := Attest(ctx, token, Key{string(kind), pub}, testHeader(), leaves)
			must(t, err)
			der, err := MarshalPublicKey(pub)
			must(t, err)
			pinned, err := ParsePublicKey(der)
			must(t, err)
			_, err = VerifyBatch(pinned, testExpect, leaves, b.Cose)
			must(t, err)
			_, err = Verify(pinned, testExpect, leaves[4], b.Proof(4))
			must(t, err)
		}
	}
}
