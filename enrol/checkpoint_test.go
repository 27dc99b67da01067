package enrol

import (
	"bytes"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/client/wire"
)

// Goal: a checkpoint is written as it is, to the byte, and no line of one that a terminal does not show. Method: an honest one, and each
// with such a text in one line.
func TestCheckpointIsSeen(t *testing.T) {
	good := "mpcd/c/node2/audit\n7\nAQAA\n\n— mpcd/c/node2/audit AAAA\n"
	for text, want := range map[string]bool{
		good:                                     true,
		good + "\u009b2J\n":                      false,
		good + "\u202e valid\n":                  false,
		strings.Replace(good, "7", "\x1b[2J", 1): false,
		strings.Replace(good, "7\n", "7\r\n", 1): false,
	} {
		var b bytes.Buffer
		err := WriteCheckpoint(&b, []wire.Checkpoint{{Node: "node1"}, {Node: "node2", Checkpoint: text}}, "node2", nil)
		if wrote := b.String() == text; wrote != want || (err == nil) != want || !want && b.Len() > 0 {
			t.Errorf("%q: written %q, %v", text, b.String(), err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\x1b\u009b\u202e\r") {
			t.Errorf("the error: %q", err)
		}
	}
}
