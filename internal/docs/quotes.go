package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// faultsPage is docs/FAULTS.md; tableTest is the test that holds its rows to the page itself, quote by quote.
const (
	faultsPage = "docs/FAULTS.md"
	tableTest  = "TestFaults"
)

var inBackquotes = regexp.MustCompile("`([^`]+)`")

// Quotes lists what docs/FAULTS.md quotes and no test of the row looks for: a piece that stands in no text of the file of any test that the
// row names. It also says how many pieces there are. What TestFaults runs is left out, for it reads the page.
func Quotes(root fs.FS) (faults []string, count int, err error) {
	page, err := fs.ReadFile(root, faultsPage)
	if err != nil {
		return nil, 0, err
	}
	texts, err := textsOfTests(root)
	if err != nil {
		return nil, 0, err
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "|") || len(cells) != 5 {
			continue
		}
		tests := inBackquotes.FindAllStringSubmatch(cells[4], -1)
		if slices.ContainsFunc(tests, func(m []string) bool { return m[1] == tableTest }) {
			continue
		}
		for _, m := range inBackquotes.FindAllStringSubmatch(cells[1], -1) {
			piece := m[1]
			if strings.HasPrefix(piece, "/") || strings.HasPrefix(piece, "mpcd ") { // where it is said
				continue
			}
			count++
			holds := func(test []string) bool {
				return slices.ContainsFunc(texts[test[1]], func(text string) bool { return strings.Contains(text, piece) })
			}
			if !slices.ContainsFunc(tests, holds) {
				faults = append(faults, fmt.Sprintf("%s, %s: no test of the row looks for %q", faultsPage, cells[0], piece))
			}
		}
	}
	return faults, count, nil
}

// textsOfTests are the texts of the files that tests stand in, by the tests' names.
func textsOfTests(root fs.FS) (map[string][]string, error) {
	all := map[string][]string{}
	err := walk(root, func(name, src string) error {
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path.Base(name), src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var texts []string
		for text := range stringsOf(f) {
			texts = append(texts, text)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				all[fn.Name.Name] = append(all[fn.Name.Name], texts...)
			}
		}
		return nil
	})
	return all, err
}
