package wire

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Hex is bytes that JSON carries as hexadecimal: 0x in front when written, 0x or nothing when read.
type Hex []byte

// ParseHex reads an even number of hexadecimal digits, of either case, with or without 0x in front.
func ParseHex(s string) (Hex, error) {
	digits := strings.TrimPrefix(s, "0x")
	b, err := hex.DecodeString(digits)
	if err != nil {
		if len(digits)%2 == 1 {
			return nil, fmt.Errorf("wire: hex of %d digits, an even number is needed", len(digits))
		}
		return nil, fmt.Errorf("wire: not hex: only 0-9, a-f, A-F and a leading 0x are allowed")
	}
	return b, nil
}

// String returns 0x and lower-case digits; the empty string for no bytes.
func (h Hex) String() string {
	if len(h) == 0 {
		return ""
	}
	return "0x" + hex.EncodeToString(h)
}

// MarshalJSON writes String.
func (h Hex) MarshalJSON() ([]byte, error) { return json.Marshal(h.String()) }

// UnmarshalJSON reads what ParseHex reads.
func (h *Hex) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("wire: hex must be a string: %w", err)
	}
	v, err := ParseHex(s)
	*h = v
	return err
}
