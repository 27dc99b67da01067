package plugin_test

import (
	"os"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// BenchmarkSign tells what the process border costs: the same key of the same token, in a child and in this process, one after the
// other, since SoftHSM bears no two processes. The promise is at most 0.3 ms more for a call.
func BenchmarkSign(b *testing.B) {
	s := newSoft(b)
	name, value, _ := strings.Cut(s.env, "=")
	b.Setenv(name, value)
	kinds := []hsm.KeyType{hsm.KeyP256, hsm.KeyEd25519}
	for _, c := range []struct {
		name string
		open hsm.OpenFunc
	}{{"plugin", plugin.Driver(s.config(nil))}, {"direct", pkcs11.Open}} {
		tok, err := openErr(b.Context(), c.open, s.uri, hsm.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, kind := range kinds {
			if c.name == "plugin" {
				if err := tok.(hsm.KeyGenerator).GenerateKey(b.Context(), string(kind), kind); err != nil && !strings.Contains(err.Error(), "exists") {
					b.Fatal(err)
				}
			}
			b.Run(c.name+"/"+string(kind), func(b *testing.B) {
				for b.Loop() {
					if _, err := tok.Sign(b.Context(), string(kind), []byte("message")); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(c.name+"/"+string(kind)+"/parallel", func(b *testing.B) {
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := tok.Sign(b.Context(), string(kind), []byte("message")); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
		if err := tok.Close(); err != nil {
			b.Fatal(err)
		}
	}
	_ = os.Unsetenv(name)
}

// BenchmarkRestart is the time from the death of a child to the next signature.
func BenchmarkRestart(b *testing.B) {
	s := newSoft(b)
	tok := open(b, s.config(nil), s.uri, hsm.Options{})
	if err := tok.GenerateKey(b.Context(), "k", hsm.KeyP256); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		plugin.KillChild(tok)
		if _, err := tok.Sign(b.Context(), "k", []byte("m")); err != nil {
			b.Fatal(err)
		}
	}
}
