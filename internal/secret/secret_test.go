package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"gopkg.in/yaml.v3"
)

const known = "\x13\x37known secret value!"

// Goal: no verb and no encoder prints a secret. Method: try them all and look for the bytes in any form.
func TestRedacted(t *testing.T) {
	s := From([]byte(known))
	defer s.Wipe()
	wrapped := struct{ S *Bytes }{s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%t", "%08b"} {
		fmt.Fprintf(&out, verb, s)
		fmt.Fprintf(&out, verb, wrapped)
		fmt.Fprintf(&out, verb, struct{ hidden *Bytes }{s}) // fmt calls no methods there
		fmt.Fprintf(&out, verb, []*Bytes{s})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "s", s, "w", wrapped)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "s", s, "w", wrapped)
	for name, f := range map[string]func() error{
		"json": func() error { b, err := json.Marshal(wrapped); out.Write(b); return err },
		"cbor": func() error { b, err := cbor.Marshal(wrapped); out.Write(b); return err },
		"yaml": func() error { b, err := yaml.Marshal(wrapped); out.Write(b); return err },
		"gob":  func() error { return gob.NewEncoder(&out).Encode(wrapped) },
		"text": func() error { _, err := s.MarshalText(); return err },
		"bin":  func() error { _, err := s.MarshalBinary(); return err },
	} {
		if f() == nil {
			t.Errorf("%s encodes a secret", name)
		}
	}
	for _, form := range [][]byte{[]byte(known), fmt.Appendf(nil, "%x", known), fmt.Appendf(nil, "%X", known),
		fmt.Appendf(nil, "%d", []byte(known)), []byte("known secret")} {
		if bytes.Contains(out.Bytes(), form) {
			t.Errorf("found %q in output", form)
		}
	}
}

// Goal: From leaves no copy, Wipe is final. Method: look at the source, use after the end.
func TestWipe(t *testing.T) {
	src := []byte(known)
	s := From(src)
	if !bytes.Equal(src, make([]byte, len(src))) {
		t.Error("From leaves its source")
	}
	if !s.Equal([]byte(known)) || s.Equal([]byte("other")) {
		t.Error("wrong content")
	}
	s.Wipe()
	s.Wipe()
	defer func() {
		if recover() == nil {
			t.Error("use after wipe did not panic")
		}
	}()
	_ = s.Bytes()
}

// Goal: what is lent is there until its owner wipes it, also when nobody holds the handle any more: else a reader dies, or reads what is
// somebody else's by then. Method: lend, forget the handle, collect, read.
func TestLoanOutlivesHandle(t *testing.T) {
	lent := From([]byte(known)).Bytes()
	for range 3 {
		runtime.GC()
		collected := make(chan struct{})
		runtime.SetFinalizer(&struct{ b [16]byte }{}, func(any) { close(collected) })
		runtime.GC()
		<-collected // finalizers that were due before have had their turn
	}
	if string(lent) != known {
		t.Error("a secret on loan is gone")
	}
}

// Goal: lengths around a page work. Method: fill, compare, wipe.
func TestLengths(t *testing.T) {
	for _, n := range []int{0, 1, 32, 4095, 4096, 4097, 1 << 16} {
		s := New(n)
		for i := range s.Bytes() {
			s.Bytes()[i] = byte(i)
		}
		if s.Len() != n {
			t.Errorf("length %d, want %d", s.Len(), n)
		}
		s.Wipe()
	}
}
