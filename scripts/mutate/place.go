package main

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// change is a file of the module, by its path below the root, with other contents.
type change map[string]string

// apply returns the files that m changes, changed. root is the module's.
func (m *mutant) apply(root fs.FS) (change, error) {
	files, err := goFiles(root, m.in)
	if err != nil {
		return nil, err
	}
	out := change{}
	for _, e := range m.edits {
		if err := e.apply(files, out); err != nil {
			return nil, fmt.Errorf("in %s: %w", m.in, err)
		}
	}
	return out, nil
}

// apply finds the edit's one place in files and changes it there and in out.
func (e edit) apply(files map[string]string, out change) error {
	old := e.pattern()
	var places []string
	for name, text := range files {
		for range old.FindAllStringIndex(text, -1) {
			places = append(places, name)
		}
	}
	switch len(places) {
	case 0:
		return fmt.Errorf("%q stands nowhere", strings.Join(e.before, " "))
	case 1:
	default:
		return fmt.Errorf("%q stands in %d places: make it longer", strings.Join(e.before, " "), len(places))
	}
	name := places[0]
	at := old.FindStringIndex(files[name])
	text := files[name][:at[0]] + strings.Join(e.after, "\n") + files[name][at[1]:]
	if text == files[name] {
		return fmt.Errorf("%q is not changed", strings.Join(e.before, " "))
	}
	files[name], out[name] = text, text
	return nil
}

// pattern is the old text with any white space between its words.
func (e edit) pattern() *regexp.Regexp {
	words := strings.Fields(strings.Join(e.before, " "))
	for i := range words {
		words[i] = regexp.QuoteMeta(words[i])
	}
	return regexp.MustCompile(strings.Join(words, `\s+`))
}

// goFiles reads the Go files of a directory, or with "/..." of a tree, without tests and without testdata.
func goFiles(root fs.FS, in string) (map[string]string, error) {
	dir, tree := strings.CutSuffix(in, "/...")
	files := map[string]string{}
	err := fs.WalkDir(root, dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != dir && (!tree || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(p) != ".go" || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		b, err := fs.ReadFile(root, p)
		files[p] = string(b)
		return err
	})
	return files, err
}

// exists looks for the function of a test in its package. Subtests come into being when the test runs.
func (k killer) exists(root fs.FS) error {
	tests, err := fs.Glob(root, path.Join(k.pkg, "*_test.go"))
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(k.test, "/")
	for _, file := range tests {
		b, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		for _, kind := range []string{"(t *testing.T) {", "(f *testing.F) {"} { // a fuzz target is run with its seeds
			if strings.Contains("\n"+string(b), "\nfunc "+name+kind) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no %s", k.pkg, name)
}
