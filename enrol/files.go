package enrol

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// jsonMax is the largest file of JSON that is read, in bytes, and pemMax of keys or certificates.
const (
	jsonMax = 1 << 20
	pemMax  = 64 << 10
)

// ReadChallenge reads what `mpcd node challenge` printed. Nothing in it was checked.
func ReadChallenge(path string) (c Challenge, err error) { return c, readJSON(path, &c) }

// ReadAnswers reads files, and all *.json of directories.
func ReadAnswers(paths []string) ([]Answer, error) {
	var out []Answer
	for _, path := range paths {
		files := []string{path}
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			if files, err = filepath.Glob(filepath.Join(strings.NewReplacer("*", `\*`, "?", `\?`, "[", `\[`, `\`, `\\`).Replace(path),
				"*.json")); err != nil {
				return nil, err
			}
		}
		for _, f := range files {
			var a Answer
			if err := readJSON(f, &a); err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
	return out, nil
}

func readJSON(path string, v any) error {
	b, err := durable.ReadFile(path, jsonMax)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fault.Doing(path, fault.Usage("give the file that mpcd printed", "%w", err))
	}
	return nil
}
