package intent

import (
	"bytes"
	"testing"

	"github.com/ethereum/go-ethereum/rlp"
)

// FuzzRLP: what is taken for an item is what go-ethereum takes for one, and what follows it too.
func FuzzRLP(f *testing.F) {
	for _, s := range []string{"", "00", "7f", "80", "8100", "8180", "b801", "b83800", "b90000", "c0", "c100", "f83800", "bf", "ff00", "f8"} {
		f.Add(unhex(s))
	}
	f.Add(append([]byte{0xb8, 56}, make([]byte, 60)...))
	f.Add(append([]byte{0xf9, 0, 56}, make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, rest, err := splitRLP(b)
		kind, body, tail, other := rlp.Split(b)
		if (err == nil) != (other == nil) {
			t.Fatalf("%x: %v; go-ethereum: %v", b, err, other)
		}
		if err == nil && (x.list != (kind == rlp.List) || !bytes.Equal(x.body, body) || !bytes.Equal(rest, tail)) {
			t.Fatalf("%x: %+v and %x; go-ethereum: %v %x and %x", b, x, rest, kind, body, tail)
		}
	})
}
