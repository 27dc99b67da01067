package audit

import (
	"testing"

	"github.com/luxfi/mpcd/internal/canon/canontest"
)

// Goal: no bytes make the decoder panic, and an entry has one encoding. Method: fuzz.
func FuzzEntry(f *testing.F) {
	canontest.Fuzz(f, Entry{Seq: 1, Event: "x", Facts: map[string]string{"a": "b"}})
}
