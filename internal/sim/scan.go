package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Secret is what must not be found.
type Secret struct {
	Name  string
	Bytes []byte // at least 12
}

// Find is a secret where it must not be.
type Find struct {
	Secret, Encoding, Place string
	Offset                  int
}

func (f Find) String() string {
	return fmt.Sprintf("%s, as %s, at byte %d of %s", f.Secret, f.Encoding, f.Offset, f.Place)
}

// window is how many bytes of a secret in a row count as a leak: the first and the last of it are looked for. 96 bits do not
// meet by chance.
const window = 12

// Scanner finds secrets in many encodings, in one pass.
type Scanner struct {
	bloom    [1 << 18]uint64 // of the first 8 bytes of all patterns
	patterns map[uint64][]pattern
	size     int
}

type pattern struct {
	text             []byte
	secret, encoding string
}

// NewScanner prepares to look for the secrets. It panics for one that is too short to be told from chance.
func NewScanner(secrets ...Secret) *Scanner {
	s := &Scanner{patterns: map[uint64][]pattern{}}
	for _, x := range secrets {
		if len(x.Bytes) < window {
			panic(fmt.Sprintf("sim: secret %s has %d bytes, want %d", x.Name, len(x.Bytes), window))
		}
		back := slices.Clone(x.Bytes)
		slices.Reverse(back)
		for name, b := range map[string][]byte{"big-endian": x.Bytes, "little-endian": back} {
			s.add(x.Name, name+" decimal number", []byte(new(big.Int).SetBytes(b).String()))
			for _, part := range [][]byte{b[:window], b[len(b)-window:]} {
				for encoding, text := range encodings(part) {
					s.add(x.Name, name+" "+encoding, text)
				}
			}
		}
	}
	return s
}

// Len is the number of patterns.
func (s *Scanner) Len() int { return s.size }

// encodings are the forms in which bytes may stand in a file or a message. Base64 has three alignments, of which only the
// characters that depend on no neighbour count.
func encodings(b []byte) map[string][]byte {
	out := map[string][]byte{"raw bytes": b}
	lower := hex.EncodeToString(b)
	out["hex"], out["HEX"] = []byte(lower), []byte(strings.ToUpper(lower))
	out["spaced hex"] = fmt.Appendf(nil, "% x", b)
	out["Go hex list"] = []byte(strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}"))
	out["Go decimal list"] = []byte(strings.Trim(fmt.Sprint(b), "[]"))
	list := make([]string, len(b))
	for i, x := range b {
		list[i] = strconv.Itoa(int(x))
	}
	out["JSON list"] = []byte(strings.Join(list, ","))
	quoted := strconv.Quote(string(b))
	out["quoted string"] = []byte(quoted[1 : len(quoted)-1])
	for name, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for shift := range 3 {
			text := e.EncodeToString(append(make([]byte, shift), b...))
			first := (shift*8 + 5) / 6
			last := (shift + len(b)) * 8 / 6
			out[fmt.Sprintf("%s, alignment %d", name, shift)] = []byte(text[first:last])
		}
	}
	return out
}

func (s *Scanner) add(secret, encoding string, text []byte) {
	key := binary.BigEndian.Uint64(text)
	for _, p := range s.patterns[key] {
		if bytes.Equal(p.text, text) {
			return
		}
	}
	s.patterns[key] = append(s.patterns[key], pattern{text, secret, encoding})
	h := mix(key)
	s.bloom[h>>6] |= 1 << (h & 63)
	s.size++
}

// mix spreads eight bytes over the bits of the filter.
func mix(v uint64) uint64 { return v * 0x9e3779b97f4a7c15 >> 40 }

// Scan looks through b.
func (s *Scanner) Scan(place string, b []byte) []Find {
	var out []Find
	var v uint64
	for i, x := range b {
		if v = v<<8 | uint64(x); i < 7 {
			continue
		}
		if h := mix(v); s.bloom[h>>6]&(1<<(h&63)) == 0 {
			continue
		}
		at := i - 7
		for _, p := range s.patterns[v] {
			if bytes.HasPrefix(b[at:], p.text) {
				out = append(out, Find{p.secret, p.encoding, place, at})
			}
		}
	}
	return out
}

// ScanDir looks through every file below dir but those that skip names, and through the names themselves. It returns how many
// files and bytes it read.
func (s *Scanner) ScanDir(dir string, skip func(path string) bool) (finds []Find, files, size int, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || skip != nil && skip(path) {
			return err
		}
		finds = append(finds, s.Scan("the name of "+path, []byte(e.Name()))...)
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files, size = files+1, size+len(b)
		finds = append(finds, s.Scan(path, b)...)
		return nil
	})
	return finds, files, size, err
}
