package tpm_test

import (
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/tpm"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// Goal: the cost of the driver's operations on swtpm; a chip is some fifty times slower. Method: the loop of package testing.
func BenchmarkToken(b *testing.B) {
	for name, query := range map[string]string{"plain": "", "pcrs": "?pcrs=sha256:0,2,7"} {
		s, err := swtpm.Start(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Stop() }()
		opened, err := drivers.Open(b.Context(), s.URI()+query, hsm.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer opened.Close()
		tok := opened.(*tpm.Token)
		for id, kind := range map[string]hsm.KeyType{"sign": hsm.KeyP256, "wrap": hsm.KeyAESWrap} {
			if err := tok.GenerateKey(b.Context(), id, kind); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := tok.CreateCounter(b.Context(), "count"); err != nil {
			b.Fatal(err)
		}
		w, err := tok.Wrap(b.Context(), "wrap", make([]byte, 32), nil)
		if err != nil {
			b.Fatal(err)
		}
		for what, f := range map[string]func() error{
			"sign":      func() error { _, err := tok.Sign(b.Context(), "sign", nil); return err },
			"wrap":      func() error { _, err := tok.Wrap(b.Context(), "wrap", make([]byte, 32), nil); return err },
			"unwrap":    func() error { _, err := tok.Unwrap(b.Context(), "wrap", w, nil); return err },
			"increment": func() error { _, err := tok.Increment(b.Context(), "count"); return err },
			"evidence":  func() error { _, err := tok.AttestKey(b.Context(), "sign", nil); return err },
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
