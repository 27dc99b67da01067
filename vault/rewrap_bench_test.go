package vault_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// BenchmarkRewrap: moving a vault of 1,000 wallets with recovery on Badger, tokens in software: what is left is disk and age.
func BenchmarkRewrap(b *testing.B) {
	const wallets = 1000
	dir, w := b.TempDir(), vaulttest.NewWrapper(kek)
	s := badger(b, dir)
	v := mustOpen(b, s, w)
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := g; i < wallets; i += 32 {
				id := fmt.Sprint("wallet ", i)
				store(b, v, id, 1)
				activate(b, v, id, 1)
			}
		})
	}
	wg.Wait()
	v.Close()
	to := wrapping(w, kek)
	to.Recovery = names(pairs(b, true, 3)...)
	for b.Loop() {
		var staged time.Duration
		start := time.Now()
		err := vault.Rewrap(b.Context(), config(s, w), to, func(done, total int) {
			if done == total {
				staged = time.Since(start)
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("%d wallets: staged in %v, all in %v", wallets, staged, time.Since(start))
	}
}
