package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxPath is the longest path below a wallet key, in indexes (BIP 32 counts the depth of a key in one byte).
	MaxPath = 255
	// maxPathLen is the length of the longest path in characters: m, and 255 times a slash and ten digits.
	maxPathLen = 1 + MaxPath*11
	// hardened is the first index that BIP 32 derives from a private key.
	hardened = 1 << 31
)

// ParsePath reads a path below a wallet key in the spelling of BIP 32: decimal indexes below 2³¹ with slashes between them, at most
// MaxPath of them, with or without "m/" in front, as m/0/5 or 0/5. "m" alone is the wallet key: an empty path. There is one spelling
// of each index: no sign, no space, no zero in front. Hardened indexes are refused in all their spellings (5', 5h, 5H, 2³¹ + 5): they
// take the private key, which is nowhere.
func ParsePath(s string) ([]uint32, error) {
	if len(s) > maxPathLen {
		return nil, fmt.Errorf("wire: path of %d characters: at most %d indexes", len(s), MaxPath)
	}
	if s == "" {
		return nil, errors.New("wire: the path is empty")
	}
	if s == "m" {
		return []uint32{}, nil
	}
	steps := strings.Split(strings.TrimPrefix(s, "m/"), "/")
	if len(steps) > MaxPath {
		return nil, fmt.Errorf("wire: path of %d indexes, at most %d", len(steps), MaxPath)
	}
	path := make([]uint32, len(steps))
	for i, step := range steps {
		var err error
		if path[i], err = parseIndex(step); err != nil {
			return nil, fmt.Errorf("wire: index %d of the path %w", i+1, err)
		}
	}
	return path, nil
}

var errHardened = errors.New("is hardened: it takes the private key, which no node holds")

func parseIndex(s string) (uint32, error) {
	digits := strings.TrimRight(s, "'hH")
	marked := len(digits) < len(s)
	switch {
	case s == "":
		return 0, errors.New("is empty: a slash too many")
	case digits == "" || strings.Trim(digits, "0123456789") != "":
		return 0, errors.New("is not a decimal number")
	case len(digits) > 1 && digits[0] == '0':
		return 0, errors.New("begins with a zero")
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	switch {
	case err != nil:
		return 0, errors.New("is 2^32 or above")
	case marked || n >= hardened:
		return 0, errHardened
	}
	return uint32(n), nil
}

// FormatPath writes a path as m/0/5, the form of answers.
func FormatPath(path []uint32) string {
	b := []byte("m")
	for _, index := range path {
		b = strconv.AppendUint(append(b, '/'), uint64(index), 10)
	}
	return string(b)
}
