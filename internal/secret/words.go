package secret

import "regexp"

var word = regexp.MustCompile(`(\+?)0x[0-9a-fA-F]+`)

// WithoutWords is a line that the Go runtime prints of a crash, without the words of memory in it: of arguments and registers, which may be
// part of a secret. What stands behind a plus is a place in a function, and stays.
func WithoutWords(line []byte) []byte {
	return word.ReplaceAllFunc(line, func(w []byte) []byte {
		if w[0] == '+' {
			return w
		}
		return []byte("0x…")
	})
}
