package wire

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Goal: hex is read in every usual form and written in one. Method: table, both ways.
func TestHex(t *testing.T) {
	for s, want := range map[string]string{`"0x00ff"`: `"0x00ff"`, `"00FF"`: `"0x00ff"`, `""`: `""`, `"0x"`: `""`, `"0xAb"`: `"0xab"`} {
		var h Hex
		if err := json.Unmarshal([]byte(s), &h); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if got, err := json.Marshal(h); string(got) != want || err != nil {
			t.Errorf("%s: got %s %v", s, got, err)
		}
	}
	for _, s := range []string{`"0x0"`, `"0xzz"`, `"0X00"`, `"0x0x00"`, `" 00"`, `12`, `["00"]`, `{}`} {
		var h Hex
		if err := json.Unmarshal([]byte(s), &h); err == nil {
			t.Errorf("%s accepted", s)
		}
	}
}

// Goal: what is read and written again is the same bytes. Method: fuzz.
func FuzzHex(f *testing.F) {
	f.Add("0x00ff")
	f.Add("zz")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHex(s)
		if err != nil {
			return
		}
		if again, err := ParseHex(h.String()); err != nil || !bytes.Equal(again, h) {
			t.Errorf("%q: %v", s, err)
		}
	})
}
