// Goal: a state survives sealing, nothing else is read as one, it prints nothing, and Wipe ends it. Method: round trips with a run on what
// was read; each header byte changed; every verb; a look at the memory.
package ot

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"strings"
	"testing"
)

func TestStateEncoding(t *testing.T) {
	s, r := thePair()
	sb, rb := s.Bytes(), r.Bytes()
	defer sb.Wipe()
	defer rb.Wipe()
	s2, err := ParseSender(sb.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	r2, err := ParseReceiver(rb.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if s2.ID() != s.ID() || r2.ID() != r.ID() || s2.delta != s.delta {
		t.Error("the state changed")
	}
	n := newSession(t, s2, r2, "stored")
	if d, err := n.finish(n.msg2); err != nil || !isShared(n.a, n.b, n.c, d) {
		t.Errorf("stored states do not work: %v", err)
	}
	again := s2.Bytes()
	if !again.Equal(sb.Bytes()) {
		t.Error("a second encoding")
	}
}

func TestStateParsing(t *testing.T) {
	s, r := thePair()
	for _, v := range []struct {
		enc   []byte
		parse func([]byte) error
	}{
		{bytes.Clone(s.state.Bytes()), func(b []byte) error { _, err := ParseSender(b); return err }},
		{bytes.Clone(r.state.Bytes()), func(b []byte) error { _, err := ParseReceiver(b); return err }},
	} {
		if err := v.parse(v.enc); err != nil {
			t.Fatal(err)
		}
		for what, bad := range map[string][]byte{
			"nil": nil, "short": v.enc[:len(v.enc)-1], "long": append(bytes.Clone(v.enc), 0),
			"version": flipped(v.enc, 0), "role": flipped(v.enc, 8),
		} {
			if v.parse(bad) == nil {
				t.Errorf("%s: accepted", what)
			}
		}
	}
	other := resized(s.state.Bytes(), receiverLen)
	if _, err := ParseReceiver(other); err == nil {
		t.Error("a sender is read as a receiver")
	}
}

// TestStateWipe looks at the key schedules too, which crypto/aes offers no way to wipe; a new Go might hide them from us.
func TestStateWipe(t *testing.T) {
	s, r := pairWith(element{7, 8}, newSeeded("wipe"))
	schedules := []cipher.Block{s.prg[0][0], s.prg[63][2], r.prg[0][0], r.prg[63][3]}
	hasDigits := func(b cipher.Block) bool { return strings.ContainsAny(fmt.Sprintf("%v", b), "123456789") }
	for _, b := range schedules {
		if !hasDigits(b) {
			t.Fatal("a key schedule cannot be looked at: the test shows nothing")
		}
	}
	s.Wipe()
	s.Wipe()
	r.Wipe()
	r.Wipe()
	for i, b := range schedules {
		if hasDigits(b) {
			t.Errorf("key schedule %d is not wiped", i)
		}
	}
	if s.delta != (element{}) || s.prg[0][0] != nil || r.prg[63][3] != nil {
		t.Error("Wipe leaves something")
	}
	(*Sender)(nil).Wipe()
	(*Receiver)(nil).Wipe()
}

func TestNothingIsPrinted(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "print")
	setup := theHandshake().again()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{s, r, n.x, *n.x, setup, *setup, []any{s, r, *n.x}} {
			if out := fmt.Sprintf(verb, v); len(out) > 400 || !bytes.Contains([]byte(out), []byte("redacted")) {
				t.Errorf("%s of %T prints %.100s", verb, v, out)
			}
		}
	}
}
