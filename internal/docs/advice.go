package docs

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// olderCopy is the advice to put an older copy of a node's data in its place, which docs/OPERATIONS.md forbids.
var olderCopy = regexp.MustCompile(`(?i)\brestor\w*\b[^.;]*\bback-?up\b|\bback-?up\b[^.;]*\brestor` +
	`|\brestore (it|this node|the data directory|the log|the file)\b`)

// Advice lists the texts of the program that advise an older copy of a node's data.
func Advice(root fs.FS) (faults []string, err error) {
	err = walk(root, func(name, src string) error {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "internal/docs/") {
			return nil
		}
		src = joined.ReplaceAllString(src, "")
		for line := range strings.Lines(src) {
			for _, text := range quoted.FindAllString(line, -1) {
				if olderCopy.MatchString(text) {
					faults = append(faults, fmt.Sprintf("%s: %s", name, text))
				}
			}
		}
		return nil
	})
	return faults, err
}

var (
	quoted = regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"")
	joined = regexp.MustCompile(`"\s*\+\n\s*"`) // a text that goes on on the next line
)
