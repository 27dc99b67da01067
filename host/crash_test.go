package host

import (
	"bytes"
	"strings"
	"testing"
)

// Goal: of what the runtime prints of a crash every word of memory is left out, and what finds the place stays. Method: lines as it prints
// them, arguments, structs, registers, frames, one that is too long to be looked at as a whole.
func TestPrintCrash(t *testing.T) {
	const secret = "deadbeefcafe"
	long := strings.Repeat("x", crashLineMax-6) + " 0x" + secret
	in := "panic: broken\n\ngoroutine 1 gp=0x" + secret + " m=0 [running]:\n" +
		"main.f({0x" + secret + ", 0x20}, 0x" + strings.ToUpper(secret) + "?, ...)\n\t/src/main.go:12 +0x1d fp=0x" + secret + "\n" +
		"rax    0x" + secret + "\n" + long + "\nlast 0x" + secret
	var out bytes.Buffer
	if err := PrintCrash(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	want := "panic: broken\n\ngoroutine 1 gp=0x… m=0 [running]:\nmain.f({0x…, 0x…}, 0x…?, ...)\n\t/src/main.go:12 +0x1d fp=0x…\n" +
		"rax    0x…\n(a line that is too long)\nlast 0x…\n"
	if out.String() != want {
		t.Errorf("%.600q", out.String())
	}
}
