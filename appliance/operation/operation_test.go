package operation

import (
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon/canontest"
)

// Goal: no bytes make the decoder panic, and a record has one encoding. Method: fuzz.
func FuzzRecord(f *testing.F) { canontest.Fuzz(f, record{Body: [32]byte{1}, Answer: []byte{1}}) }

// Goal: a session_id that would not survive a log or a header is refused. Method: the edges of length and alphabet.
func TestCheckSession(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "~!": true, strings.Repeat("x", MaxSessionID): true,
		strings.Repeat("x", MaxSessionID+1): false, "a b": false, "a\n": false, "é": false, "\x7f": false,
	} {
		if err := CheckSession(id); (err == nil) != ok || err != nil && problem.As(err).Field != "session_id" {
			t.Errorf("%q: %v", id, err)
		}
	}
}
