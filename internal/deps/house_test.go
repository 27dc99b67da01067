package deps

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// maxMethods is how many methods a type of the appliance may have: more, and a line of its own stands within another.
const maxMethods = 40

// Goal: the node does not grow into one knot again. Method: the methods of each type in package appliance, tests apart, counted.
func TestNoKnot(t *testing.T) {
	files, err := filepath.Glob("../../appliance/*.go")
	if err != nil {
		t.Fatal(err)
	}
	methods := map[string]int{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				recv := fn.Recv.List[0].Type
				if p, ok := recv.(*ast.StarExpr); ok {
					recv = p.X
				}
				methods[recv.(*ast.Ident).Name]++
			}
		}
	}
	if methods["Node"] == 0 {
		t.Fatal("no method of Node was found: the test looks in the wrong place")
	}
	for name, n := range methods {
		if n > maxMethods {
			t.Errorf("%s has %d methods, more than %d", name, n, maxMethods)
		}
	}
}
