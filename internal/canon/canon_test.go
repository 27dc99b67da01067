package canon

import (
	"bytes"
	"errors"
	"testing"
)

type sample struct {
	A uint64            `cbor:"1,keyasint"`
	B []byte            `cbor:"2,keyasint,omitempty"`
	C map[string]uint64 `cbor:"3,keyasint,omitempty"`
}

// Goal: one value, one encoding. Method: round trip, then every kind of second encoding must be refused.
func TestStrict(t *testing.T) {
	b := MustMarshal(sample{A: 1, B: []byte("x"), C: map[string]uint64{"b": 1, "a": 2}})
	var v sample
	if err := Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"trailing byte":     append(bytes.Clone(b), 0),
		"truncated":         b[:len(b)-1],
		"empty":             {},
		"long integer":      {0xa1, 0x01, 0x18, 0x01},
		"indefinite map":    {0xbf, 0x01, 0x01, 0xff},
		"duplicate key":     {0xa2, 0x01, 0x01, 0x01, 0x02},
		"unsorted keys":     {0xa2, 0x02, 0x41, 'x', 0x01, 0x01},
		"unknown field":     {0xa2, 0x01, 0x01, 0x09, 0x01},
		"explicit empty":    {0xa2, 0x01, 0x01, 0x02, 0x40},
		"float for integer": {0xa1, 0x01, 0xf9, 0x3c, 0x00},
		"wrong type":        {0xa1, 0x01, 0x41, 0x01},
	} {
		var v sample
		if Unmarshal(bad, &v) == nil {
			t.Errorf("%s accepted", name)
		}
	}
	if Unmarshal(make([]byte, MaxBytes+1), &v) == nil {
		t.Error("oversized input accepted")
	}
}

// Goal: no two field lists share a hash (PROTOCOLS A.5, alpha-shuffle). Method: shifted boundaries, also across what an encoder could put
// between fields, tags and counts.
func TestHashBoundaries(t *testing.T) {
	seen := map[[32]byte]string{}
	for name, h := range map[string][32]byte{
		"a$b|c": Hash("t", []byte("a$b"), []byte("c")),
		"a|b$c": Hash("t", []byte("a"), []byte("b$c")),
		"a|$bc": Hash("t", []byte("a"), []byte("$bc")),
		"a0|b":  Hash("t", []byte("a\x00\x00\x00\x00"), []byte("b")),
		"a|0b":  Hash("t", []byte("a"), []byte("\x00\x00\x00\x00b")),
		"abc":   Hash("t", []byte("a$bc")),
		"abc|":  Hash("t", []byte("a$bc"), nil),
		"|abc":  Hash("t", nil, []byte("a$bc")),
		"none":  Hash("t"),
		"empty": Hash("t", nil),
		"tag":   Hash("u", []byte("a$b"), []byte("c")),
	} {
		if other, ok := seen[h]; ok {
			t.Errorf("%s and %s collide", name, other)
		}
		seen[h] = name
	}
	defer func() {
		if recover() == nil {
			t.Error("missing field went unnoticed")
		}
	}()
	NewHasher("t", 2).Sum()
}

// Goal: no input makes the decoder panic, and what it accepts is canonical. Method: fuzz.
func FuzzUnmarshal(f *testing.F) {
	f.Add(MustMarshal(sample{A: 1, B: []byte("x"), C: map[string]uint64{"a": 2}}))
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var v sample
		if Unmarshal(b, &v) != nil {
			return
		}
		if !bytes.Equal(MustMarshal(v), b) {
			t.Error("accepted a second encoding")
		}
	})
}

// Goal: a record of another version is refused as that, however different it is, and its own version decodes as strictly as ever.
// Method: a record, one of a version before with other fields, one without a version, and damage.
func TestUnmarshalVersion(t *testing.T) {
	type now struct {
		Version uint8  `cbor:"1,keyasint"`
		Name    string `cbor:"2,keyasint"`
	}
	type before struct {
		Version uint8             `cbor:"1,keyasint"`
		Name    []uint64          `cbor:"2,keyasint"`
		More    map[string]uint64 `cbor:"7,keyasint"`
	}
	good := MustMarshal(now{2, "n"})
	var v now
	if err := UnmarshalVersion(good, 2, &v); err != nil || v.Name != "n" {
		t.Fatal(err)
	}
	var other *VersionError
	for _, old := range []uint8{1, 3, 24, 255} {
		err := UnmarshalVersion(MustMarshal(before{old, []uint64{1}, map[string]uint64{"a": 1}}), 2, &v)
		if !errors.As(err, &other) || other.Got != old || other.Want != 2 {
			t.Errorf("version %d: %v", old, err)
		}
	}
	for name, b := range map[string][]byte{
		"no version": MustMarshal(sample{B: []byte("x")}), "damaged": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0), "empty": nil,
		"version 0": MustMarshal(now{0, "n"}), "our version, another record": MustMarshal(before{2, nil, nil}),
	} {
		if err := UnmarshalVersion(b, 2, &v); err == nil || errors.As(err, &other) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
