package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// mutant is one entry of the list. In its file, whose name without .txt is the subject, it reads
//
//	mutant pad-no-point
//	for: without the ECDH point everybody could take the pad off a share
//	in: threshold/dkg
//	by: threshold/dkg TestSharesStayHidden
//	- h := canon.Hash(tagPad, point, sender)
//	+ h := canon.Hash(tagPad, sender)
//
// and owes this:
//
//   - the text after "-" stands exactly once in the Go files of the directory (with "/..." of the tree) after "in", tests apart. White
//     space and line breaks between its words do not matter. Several "-" lines follow one another, and so do several "+" lines, of which
//     one may be empty; a "-" after a "+" begins a second edit.
//   - what comes out compiles.
//   - the test after "by", a subtest by its path, passes without the edit and fails with it. It is a test of what the check is for: a
//     golden file's is none, because it falls silent when the file is written anew. With several "by" lines each must fail.
//
// A mutant that nothing can notice has "equivalent:" and the reason in place of "by", and is not run. Lines that begin with # are comments.
type mutant struct {
	subject, name string
	why           string
	in            string
	by            []killer
	equivalent    string
	edits         []edit
}

type killer struct{ pkg, test string }

type edit struct{ before, after []string }

func (m *mutant) id() string { return m.subject + "/" + m.name }

// readList reads every file of the list. The order is that of the files.
func readList(dir fs.FS) ([]*mutant, error) {
	files, err := fs.Glob(dir, "*.txt")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("no list: give its directory with -list")
	}
	var all []*mutant
	names := map[string]bool{}
	for _, file := range files {
		b, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		ms, err := parse(strings.TrimSuffix(path.Base(file), ".txt"), string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, m := range ms {
			if names[m.id()] {
				return nil, fmt.Errorf("%s: two mutants are named %s", file, m.name)
			}
			names[m.id()] = true
		}
		all = append(all, ms...)
	}
	return all, nil
}

func parse(subject, text string) ([]*mutant, error) {
	var all []*mutant
	var m *mutant
	for n, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, ok := strings.CutPrefix(line, "mutant "); ok {
			m = &mutant{subject: subject, name: strings.TrimSpace(name)}
			all = append(all, m)
			continue
		}
		if m == nil {
			return nil, fmt.Errorf("line %d: stands before the first mutant", n+1)
		}
		if err := m.add(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	for _, m := range all {
		if err := m.whole(); err != nil {
			return nil, fmt.Errorf("mutant %s: %w", m.name, err)
		}
	}
	return all, nil
}

// add takes one line of a mutant.
func (m *mutant) add(line string) error {
	if code, ok := strings.CutPrefix(line, "-"); ok {
		if n := len(m.edits); n == 0 || len(m.edits[n-1].after) > 0 {
			m.edits = append(m.edits, edit{})
		}
		e := &m.edits[len(m.edits)-1]
		e.before = append(e.before, strings.TrimSpace(code))
		return nil
	}
	if code, ok := strings.CutPrefix(line, "+"); ok {
		if len(m.edits) == 0 {
			return errors.New("a + line before any - line")
		}
		e := &m.edits[len(m.edits)-1]
		e.after = append(e.after, strings.TrimSpace(code))
		return nil
	}
	key, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch key {
	case "for":
		m.why = value
	case "in":
		m.in = value
	case "by":
		f := strings.Fields(value)
		if len(f) != 2 {
			return errors.New(`"by:" wants a package and a test`)
		}
		m.by = append(m.by, killer{f[0], f[1]})
	case "equivalent":
		m.equivalent = value
	default:
		return fmt.Errorf("%q is no line of a mutant", line)
	}
	return nil
}

// whole tells what a mutant lacks.
func (m *mutant) whole() error {
	switch {
	case m.name == "" || m.why == "" || m.in == "":
		return errors.New(`it needs a name, "for:" and "in:"`)
	case (len(m.by) == 0) == (m.equivalent == ""):
		return errors.New(`it needs either "by:" or "equivalent:"`)
	case len(m.edits) == 0:
		return errors.New("it changes nothing")
	}
	for _, e := range m.edits {
		switch {
		case len(e.after) == 0:
			return errors.New("it does not say what comes in place of the old text: one + line, if only an empty one")
		case len(strings.Fields(strings.Join(e.before, " "))) == 0:
			return errors.New("its - lines are empty")
		}
	}
	return nil
}

// choose returns the mutants whose name fits, and of those no more than n if n is not zero, chosen by the seed.
func choose(all []*mutant, only *regexp.Regexp, n int, seed string) []*mutant {
	var out []*mutant
	for _, m := range all {
		if only.MatchString(m.id()) {
			out = append(out, m)
		}
	}
	if n == 0 {
		return out
	}
	// The order by a hash: the same seed chooses the same, and a mutant more or less disturbs the others' luck little.
	rank := func(m *mutant) string {
		h := sha256.Sum256([]byte(seed + "\x00" + m.id()))
		return string(h[:])
	}
	out = slices.DeleteFunc(out, func(m *mutant) bool { return m.equivalent != "" })
	slices.SortFunc(out, func(a, b *mutant) int { return cmp.Compare(rank(a), rank(b)) })
	return out[:min(n, len(out))]
}
