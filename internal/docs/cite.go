package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

var (
	wrapped  = regexp.MustCompile(`\n[\t ]*// ?`)
	citation = regexp.MustCompile(`PROTOCOLS ((?:[A-F]\.)?[0-9]+(?:\.[0-9]+)*)`)
)

// Citations lists the places that cite a section which the page has not, and how many citations there are.
func Citations(root fs.FS) (faults []string, count int, err error) {
	p, err := readPage(root)
	if err != nil {
		return nil, 0, err
	}
	err = walk(root, func(name, src string) error {
		for _, m := range citation.FindAllStringSubmatch(wrapped.ReplaceAllString(src, " "), -1) {
			count++
			if p.section(m[1]) == nil {
				faults = append(faults, fmt.Sprintf("%s cites PROTOCOLS %s, and %s has no such section", name, m[1], protocols))
			}
		}
		return nil
	})
	return faults, count, err
}

// judgements are the functions that name a check, and which of their arguments do.
var judgements = map[string][]int{"Fault": {1}, "Faultf": {1}, "cheated": {0}, "proven": {0}, "judge": {1, 2}}

// Checks lists the checks that an abort of the engine can name and the page does not, and how many they are.
func Checks(root fs.FS) (faults []string, count int, err error) {
	p, err := readPage(root)
	if err != nil {
		return nil, 0, err
	}
	named := map[string]string{} // check: a file
	err = walk(root, func(name, src string) error {
		if !strings.HasPrefix(name, "threshold/") || strings.HasPrefix(name, "threshold/thresholdtest/") ||
			!strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		checksOf(f, func(check string) { named[check] = name })
		return nil
	})
	for check, name := range named {
		if !p.named[check] {
			faults = append(faults, fmt.Sprintf("%s: check %q is not in %s", name, check, protocols))
		}
	}
	sort.Strings(faults)
	return faults, len(named), err
}

// checksOf finds the names of checks: fields and constants named so, and what is given to a judgement.
func checksOf(f *ast.File, found func(string)) {
	take := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				found(s)
			}
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.KeyValueExpr:
			if id, ok := x.Key.(*ast.Ident); ok && id.Name == "Check" {
				take(x.Value)
			}
		case *ast.ValueSpec:
			for i, id := range x.Names {
				if strings.HasPrefix(id.Name, "check") && i < len(x.Values) {
					take(x.Values[i])
				}
			}
		case *ast.CallExpr:
			name := ""
			switch fn := x.Fun.(type) {
			case *ast.Ident:
				name = fn.Name
			case *ast.SelectorExpr:
				name = fn.Sel.Name
			}
			for _, i := range judgements[name] {
				if i < len(x.Args) {
					take(x.Args[i])
				}
			}
		}
		return true
	})
}
