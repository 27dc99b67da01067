package gcpkms

import (
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// BenchmarkSign measures signatures with the server of internal/parts in the same process: what the driver and gRPC cost. Google's
// service is slower than that.
func BenchmarkSign(b *testing.B) {
	bed := newBed(b)
	for _, kt := range []hsm.KeyType{hsm.KeyP256, hsm.KeySecp256k1, hsm.KeyEd25519} {
		for name, parallel := range map[string]bool{"one": false, "parallel": true} {
			b.Run(string(kt)+"/"+name, func(b *testing.B) {
				sign := func() {
					if _, err := bed.Sign(bed.ctx, string(kt), []byte("message")); err != nil {
						b.Error(err)
					}
				}
				if !parallel {
					for b.Loop() {
						sign()
					}
				} else {
					b.SetParallelism(8)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							sign()
						}
					})
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
			})
		}
	}
}

// BenchmarkUnwrap measures unwrapping a data key in the same way.
func BenchmarkUnwrap(b *testing.B) {
	bed := newBed(b)
	w, err := bed.Wrap(bed.ctx, string(hsm.KeyAESWrap), make([]byte, 32), nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := bed.Unwrap(bed.ctx, string(hsm.KeyAESWrap), w, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "unwraps/s")
}
