package plugin

import (
	"google.golang.org/grpc/mem"

	"github.com/luxfi/mpcd/internal/secret"
)

// wiping is gRPC's pool of buffers, which zeroes what comes back: keys and PINs pass through it.
var wiping mem.BufferPool = wipingPool{mem.DefaultBufferPool()}

type wipingPool struct{ inner mem.BufferPool }

// Get lends a buffer.
func (p wipingPool) Get(n int) *[]byte { return p.inner.Get(n) }

// Put zeroes the buffer and takes it back.
func (p wipingPool) Put(b *[]byte) {
	secret.Wipe((*b)[:cap(*b)])
	p.inner.Put(b)
}
