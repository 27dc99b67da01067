package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/intent"
)

// Goal: a file of a transaction is taken in hex, in base64 or as it is, and what is none, too long, or given beside a message is refused.
// Method: a file of each.
func TestTransactionFile(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"hex": {" 0x02ff\n", "\x02\xff"}, "bare hex": {"02ff", "\x02\xff"}, "base64": {"cHNidP8=\n", "psbt\xff"},
		"as it is": {"psbt\xff\x00", "psbt\xff\x00"},
		"JSON":     {`{"a":1}`, `{"a":1}`}, "empty": {"", ""}, "too long": {strings.Repeat("-", intent.MaxPayload+1), ""},
	} {
		x := transaction{path: filepath.Join(t.TempDir(), "tx")}
		if err := os.WriteFile(x.path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := x.or("", ""); m != nil || (err == nil) != (row.want != "") || err == nil && !bytes.Equal(x.bytes, []byte(row.want)) {
			t.Errorf("%s: %x, %x, %v", name, m, x.bytes, err)
		}
		if _, err := x.or("", "text"); err == nil {
			t.Errorf("%s: beside a text", name)
		}
	}
}
