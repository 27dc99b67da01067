package wire

import (
	"slices"
	"strings"
	"testing"
)

// Goal: a path is read in the spellings of BIP 32 and written in one. Method: table, both ways; the edges of depth and index.
func TestPath(t *testing.T) {
	deep := "m" + strings.Repeat("/2147483647", MaxPath)
	for s, want := range map[string][]uint32{
		"m": {}, "m/0": {0}, "0": {0}, "m/0/5": {0, 5}, "0/5": {0, 5}, "m/44/60/0/0/7": {44, 60, 0, 0, 7}, "m/2147483647": {1<<31 - 1},
		deep: slices.Repeat([]uint32{1<<31 - 1}, MaxPath),
	} {
		got, err := ParsePath(s)
		if err != nil || !slices.Equal(got, want) || got == nil {
			t.Errorf("%s: %v %v", s, got, err)
		}
		if form := FormatPath(got); strings.TrimPrefix(form, "m/") != strings.TrimPrefix(s, "m/") || form[0] != 'm' {
			t.Errorf("%s is written as %s", s, form)
		}
	}
}

// Goal: what is no path is refused, with the reason. Method: table.
func TestBadPath(t *testing.T) {
	for s, says := range map[string]string{
		"": "empty", "/": "index 1 of the path is empty", "m/": "index 1 of the path is empty", "m/0/": "index 2 of the path is empty",
		"0/5/": "index 3 of the path is empty",
		"/0":   "is empty", "m//0": "index 1 of the path is empty", "0//5": "index 2 of the path is empty", "m/m/0": "not a decimal",
		"m0": "not a decimal", "M/0": "not a decimal",
		"m/x": "not a decimal", "m/-1": "not a decimal", "m/+1": "not a decimal", "m/1.0": "not a decimal", "m/1e3": "not a decimal",
		"m/0x1": "not a decimal", "m/1_0": "not a decimal",
		" m/0": "not a decimal", "m/ 0": "not a decimal", "m/0 ": "not a decimal", "m\\0": "not a decimal", "m/٣": "not a decimal",
		"m/0\x00": "not a decimal", "m/*": "not a decimal",
		"m/00": "begins with a zero", "m/05": "begins with a zero", "m/0/5'": "index 2 of the path is hardened", "m/44h": "hardened",
		"m/44H/0": "index 1 of the path is hardened",
		"m/44’":   "not a decimal", "m/2147483648": "hardened", "m/4294967295": "hardened", "m/4294967296": "2^32 or above",
		"m/99999999999999999999": "2^32 or above", "m/'": "not a decimal",
		"m" + strings.Repeat("/0", MaxPath+1):                "256 indexes, at most 255",
		strings.Repeat("0/", MaxPath+1):                      "257 indexes, at most 255",
		"m" + strings.Repeat("/2147483647", MaxPath) + "/0":  "characters",
		"m/" + strings.Repeat("1", 1<<20):                    "characters",
		"m" + strings.Repeat("/2147483647", MaxPath)[1:]:     "not a decimal",
		"m" + strings.Repeat("/2147483647", MaxPath-1) + "/": "is empty",
	} {
		if path, err := ParsePath(s); err == nil || !strings.Contains(err.Error(), says) || len(err.Error()) > 200 {
			t.Errorf("%.40q: %v, %v; want %q", s, path, err, says)
		}
	}
}

// Goal: no text panics the parser, and what it reads is within bounds and comes again from what it is written as. Method: fuzz.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"m", "m/0/5", "0/5", "m/44'/60'", "m//", "m/2147483648", "m/00", "m/’"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, err := ParsePath(s)
		if err != nil {
			return
		}
		again, err := ParsePath(FormatPath(path))
		if err != nil || !slices.Equal(again, path) || len(path) > MaxPath ||
			slices.ContainsFunc(path, func(i uint32) bool { return i >= hardened }) {
			t.Errorf("%q is %v, then %v: %v", s, path, again, err)
		}
		if form := FormatPath(path); form != s && form != "m/"+s {
			t.Errorf("%q is a second spelling of %s", s, form)
		}
	})
}
