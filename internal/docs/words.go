package docs

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode"
)

// glossary is the page whose section "Not used" lists words, as the first column of a table; "*" stands for any ending.
const glossary = "docs/GLOSSARY.md"

// Allowance lets a word that the glossary does not use stand where it means something else.
type Allowance struct {
	Place  string // a file, or a directory with a slash at its end; "" for everywhere
	Phrase string // in small letters and single spaces, names split into their words, as "group key"
	Why    string
}

func (a Allowance) at(name string) bool {
	return a.Place == "" || name == a.Place || strings.HasSuffix(a.Place, "/") && strings.HasPrefix(name, a.Place)
}

// Words lists the places where a word stands that the glossary does not use, and the allowances that allow nothing.
func Words(root fs.FS, allowed []Allowance) ([]string, error) {
	words, err := unusedWords(root)
	if err != nil {
		return nil, err
	}
	needed := make([]bool, len(allowed))
	var faults []string
	err = walk(root, func(name, src string) error {
		if name == glossary || strings.HasPrefix(name, "internal/docs/") { // these quote the words
			return nil
		}
		n := 0
		for line := range strings.Lines(src) {
			n++
			text := plain(line)
			if !anyOf(words, text) {
				continue
			}
			for i, a := range allowed {
				if a.at(name) && stands(a.Phrase, text) {
					needed[i] = true
					text = strings.ReplaceAll(text, " "+strings.TrimSuffix(a.Phrase, "*"), " …")
				}
			}
			for _, w := range words {
				if stands(w, text) {
					faults = append(faults, fmt.Sprintf("%s:%d: %q is not a word of the glossary's: %s", name, n, w, strings.TrimSpace(line)))
				}
			}
		}
		return nil
	})
	for i, a := range allowed {
		if !needed[i] {
			faults = append(faults, fmt.Sprintf("allowance %q in %q allows nothing any more: take it out", a.Phrase, a.Place))
		}
	}
	return faults, err
}

// unusedWords reads the glossary's list.
func unusedWords(root fs.FS) ([]string, error) {
	src, err := fs.ReadFile(root, glossary)
	if err != nil {
		return nil, err
	}
	_, list, found := strings.Cut(string(src), "\n## Not used\n")
	var words []string
	for line := range strings.Lines(list) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[1]) == "not" {
			continue
		}
		for w := range strings.SplitSeq(cells[1], ",") {
			words = append(words, strings.TrimSpace(w))
		}
	}
	if !found || len(words) == 0 {
		return nil, fmt.Errorf("docs: %s has no table of words below \"Not used\"", glossary)
	}
	return words, nil
}

// plain is a line in small letters, with a space before, after and between its words; names in the manner of Go fall into their words.
func plain(line string) string {
	var b strings.Builder
	b.WriteByte(' ')
	rs := []rune(line)
	for i, r := range rs {
		switch {
		case !unicode.IsLetter(r) && r != '\'':
			r = ' '
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsUpper(rs[i-1]) && unicode.IsLower(rs[i+1])):
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return " " + strings.Join(strings.Fields(b.String()), " ") + " "
}

// stands tells whether the word, or its plural, stands in a plain text.
func stands(word, text string) bool {
	if stem, ok := strings.CutSuffix(word, "*"); ok {
		return strings.Contains(text, " "+stem)
	}
	return strings.Contains(text, " "+word+" ") || strings.Contains(text, " "+word+"s ")
}

func anyOf(words []string, text string) bool {
	for _, w := range words {
		if stands(w, text) {
			return true
		}
	}
	return false
}
