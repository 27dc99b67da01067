package attest

import (
	"encoding/hex"
	"errors"
	"strings"
)

// Hex is bytes that read as 0x… in JSON and as a byte string in CBOR.
type Hex []byte

// MarshalText writes lower-case hex with 0x.
func (h Hex) MarshalText() ([]byte, error) { return appendHex(h), nil }

// UnmarshalText reads lower-case hex with 0x, and nothing else: one value, one text.
func (h *Hex) UnmarshalText(text []byte) error {
	b, err := parseHex(text)
	*h = b
	return err
}

// String is the text form.
func (h Hex) String() string { return string(appendHex(h)) }

// Hash is 32 bytes that read as 0x… in JSON and as a byte string in CBOR.
type Hash [32]byte

// MarshalText writes lower-case hex with 0x.
func (h Hash) MarshalText() ([]byte, error) { return appendHex(h[:]), nil }

// UnmarshalText reads 64 lower-case hex digits with 0x, and nothing else.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := parseHex(text)
	if err != nil {
		return err
	}
	if len(b) != len(h) {
		return errors.New("attest: hash is not 32 bytes")
	}
	copy(h[:], b)
	return nil
}

// String is the text form.
func (h Hash) String() string { return string(appendHex(h[:])) }

func appendHex(b []byte) []byte { return hex.AppendEncode([]byte("0x"), b) }

func parseHex(text []byte) ([]byte, error) {
	s, ok := strings.CutPrefix(string(text), "0x")
	if !ok || strings.ContainsAny(s, "ABCDEF") {
		return nil, errors.New("attest: want lower-case hex that starts with 0x")
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, errors.New("attest: want lower-case hex that starts with 0x")
	}
	return b, nil
}
