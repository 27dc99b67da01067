package deps

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
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

// maxMain is how many lines the program's own package may have: more, and something in it has a durable effect, or is a second copy.
const maxMain = 3500

// Goal: main stays flags, output and exit codes. Method: the lines of its files, tests apart, counted.
func TestMainIsSmall(t *testing.T) {
	files, err := filepath.Glob("../../cmd/mpcd/*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(src), "\n")
	}
	if lines == 0 || lines > maxMain {
		t.Errorf("cmd/mpcd has %d lines, want at most %d", lines, maxMain)
	}
}

// Goal: no line of the log has two attributes of one name: each has the node that writes it as "node". Method: the calls of a logger in
// what a node is made of, tests apart; none gives it anew.
func TestLogSaysNodeOnce(t *testing.T) {
	calls := 0
	for _, dir := range []string{"../../appliance", "../../host", "../../hsm", "../../vault"} {
		err := filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(x ast.Node) bool {
				call, ok := x.(*ast.CallExpr)
				if !ok {
					return true
				}
				method, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !strings.Contains("Debug Info Warn Error With", method.Sel.Name) || len(call.Args) < 3 {
					return true
				}
				calls++
				for _, a := range call.Args {
					if s, ok := a.(*ast.BasicLit); ok && s.Value == `"node"` {
						t.Errorf("%s gives a line of the log another node", files.Position(call.Pos()))
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if calls < 50 {
		t.Fatalf("%d calls of a logger: the test looks in the wrong place", calls)
	}
}
