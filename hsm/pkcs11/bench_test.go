package pkcs11_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/softhsm"
)

// BenchmarkSign measures signatures through the driver, verification in Go included, by token, type of key and sessions.
func BenchmarkSign(b *testing.B) {
	fresh := func(b *testing.B, token string) string {
		switch token {
		case "SoftHSM":
			return softhsm.New(b)
		case "NSS":
			return freshNSS(b)
		case "p11-kit":
			uri, _ := remote(b)
			return uri
		}
		return startTPM(b)(b)
	}
	for _, token := range []string{"SoftHSM", "NSS", "p11-kit", "tpm2-pkcs11"} {
		b.Run(token, func(b *testing.B) {
			tok := openURI(b, fresh(b, token), hsm.Options{Sessions: 16})
			for _, kind := range []hsm.KeyType{hsm.KeyP256, hsm.KeyEd25519, hsm.KeySecp256k1, hsm.KeyRSA3072} {
				if err := tok.(hsm.KeyGenerator).GenerateKey(b.Context(), string(kind), kind); errors.Is(err, hsm.ErrUnsupported) {
					continue
				} else if err != nil {
					b.Fatal(err)
				}
				for _, sessions := range []int{1, 4, 16} {
					b.Run(fmt.Sprintf("%s/%d", kind, sessions), func(b *testing.B) { signing(b, tok, string(kind), sessions) })
				}
			}
		})
	}
}

func signing(b *testing.B, tok hsm.Token, id string, sessions int) {
	work, done := make(chan struct{}), make(chan error, sessions)
	for range sessions {
		go func() {
			var last error
			for range work {
				if _, err := tok.Sign(b.Context(), id, []byte("message")); err != nil {
					last = err
				}
			}
			done <- last
		}()
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	for range sessions {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sig/s")
}
