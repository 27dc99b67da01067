// Goal: no byte of any message changes unnoticed. Method: a seeded setup and session against a file; -rewrite writes it anew.
package ot

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func TestTranscript(t *testing.T) {
	var out strings.Builder
	line := func(name string, b []byte) {
		fmt.Fprintf(&out, "%-12s %6d bytes, begins %x, SHA-256 %x\n", name, len(b), b[:32], sha256.Sum256(b))
	}
	h := theHandshake()
	s, r := thePair()
	sid := sidOf("pair")
	line("setup sid", sid[:])
	line("setup msg1", h.msg1)
	line("setup msg2", h.msg2)
	line("sender", s.state.Bytes())
	line("receiver", r.state.Bytes())
	n := newSession(t, s, r, "golden")
	line("session sid", n.sid[:])
	line("a_1", n.a[0].Bytes())
	line("a_2", n.a[1].Bytes())
	line("b", n.b.Bytes())
	line("msg1", n.msg1)
	line("msg2", n.msg2)
	d, err := n.finish(n.msg2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d {
		line(fmt.Sprintf("c_%d", i+1), n.c[i].Bytes())
		line(fmt.Sprintf("d_%d", i+1), d[i].Bytes())
	}
	line("g_1", gadget[0].Bytes())
	line("g_416", gadget[xi-1].Bytes())

	const file = "testdata/transcript.txt"
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the transcript changed; if that is meant, raise the protocol version and run with -rewrite:\n%s", out.String())
	}
}
