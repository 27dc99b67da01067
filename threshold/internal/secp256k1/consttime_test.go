// Goal: nobody adds a branch or an index on a secret by accident. Method: walk the syntax of every function of the package; what is not
// listed as public may hold no if, switch, comparison, short-circuit, division or computed index other than the counters of its loops.
// What the compiler makes of it was read in the assembly; this test keeps the source such that it can be read.
package secp256k1

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// branchesAllowed names the functions that may branch, and on what.
var branchesAllowed = map[string]string{
	"FieldElement.SetBytes":      "length; whether the bytes are canonical",
	"Scalar.SetBytes":            "length; whether the bytes are canonical",
	"Scalar.SetBytesReduced":     "length",
	"Scalar.SetUniformBytes":     "length",
	"Scalar.Invert":              "index into a table by the nibbles of n - 2",
	"Scalar.InnerProduct":        "lengths",
	"Point.SetBytes":             "length and first byte",
	"Point.SetXOnly":             "length",
	"Point.SetUncompressedBytes": "length, first byte, whether the bytes are a point",
	"Point.lift":                 "whether the bytes are a point",
	"mustBePoints":               "whether a caller forgot to make a point",
	"window5":                    "index of the window",
	"half.window4":               "index of the window",
	"newBaseTable":               "no input",
	"rootOf":                     "a constant",
	"Point.HashToCurve":          "constant bounds",
	"expandMessageXMD":           "length of the tag; index of the block",
}

// publicFiles hold functions whose every input is public.
var publicFiles = map[string]bool{"vartime.go": true, "selftest.go": true}

func TestNoBranchOnSecrets(t *testing.T) {
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || publicFiles[name] {
			continue
		}
		source, err := fs.ReadFile(os.DirFS("."), name)
		if err != nil {
			t.Fatal(err)
		}
		for fn, found := range branches(t, name, source) {
			if _, ok := branchesAllowed[fn]; ok {
				met[fn] = true
			} else {
				t.Errorf("%s in a constant-time function: %s", fn, strings.Join(found, "; "))
			}
		}
	}
	for fn := range branchesAllowed {
		if !met[fn] {
			t.Errorf("%s is allowed to branch and does not: delete it from the list", fn)
		}
	}
}

// TestBranchIsSeen shows that the walk finds each kind.
func TestBranchIsSeen(t *testing.T) {
	for _, body := range []string{
		"if x[0] == 1 { x[1]++ }", "switch x[0] { case 1: x[1]++ }", "_ = x[0] < 2", "_ = y && y", "_ = x[x[0]]", "_ = x[0] / x[1]", "_ = x[0] % 3",
		"for x[0] > 1 { x[0]-- }", "for i := 0; y; i++ { x[0]-- }", "goto end; end:", "_ = x[:x[0]]", "x[0] /= 3", "_ = min(x[0], 3)", "for range x[0] {}",
	} {
		source := "package p\nfunc f(x []uint64, y bool) {\n" + body + "\n}"
		if len(branches(t, "x.go", []byte(source))) == 0 {
			t.Errorf("not seen: %s", body)
		}
	}
	innocent := "package p\nfunc f(x *[4]uint64) { for i := range x { x[i] = x[1] }; for i := 9; i >= 0; i-- { x[3] += x[i] }; for j := 1; j < len(x); j++ {} }"
	if found := branches(t, "x.go", []byte(innocent)); len(found) != 0 {
		t.Errorf("an innocent loop is blamed: %v", found)
	}
}

// branches returns, by function, what makes time or addresses depend on values.
func branches(t *testing.T, name string, source []byte) map[string][]string {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		key := functionName(fn)
		w := branchWalk{counters: map[string]bool{}, report: func(n ast.Node, what string) {
			out[key] = append(out[key], fmt.Sprintf("%s %s", set.Position(n.Pos()), what))
		}}
		ast.Inspect(fn.Body, w.visit)
	}
	return out
}

// functionName is "f" or "Type.f".
func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	return typ.(*ast.Ident).Name + "." + fn.Name.Name
}

type branchWalk struct {
	counters map[string]bool // variables declared by a loop header
	report   func(n ast.Node, what string)
}

func (w *branchWalk) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		w.report(n, "if")
	case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.BranchStmt:
		w.report(n, "switch or jump")
	case *ast.BinaryExpr:
		switch n.Op {
		case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ, token.LAND, token.LOR:
			w.report(n, "comparison "+n.Op.String())
		case token.QUO, token.REM:
			w.report(n, "division")
		}
	case *ast.AssignStmt:
		if n.Tok == token.QUO_ASSIGN || n.Tok == token.REM_ASSIGN {
			w.report(n, "division")
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "min" || f.Name == "max") {
			w.report(n, "comparison by "+f.Name)
		}
	case *ast.IndexExpr:
		if !w.isPublicIndex(n.Index) {
			w.report(n, "computed index")
		}
	case *ast.SliceExpr:
		for _, bound := range []ast.Expr{n.Low, n.High, n.Max} {
			if bound != nil && !w.isPublicIndex(bound) {
				w.report(n, "computed slice bound")
			}
		}
	case *ast.RangeStmt:
		return w.visitRange(n)
	case *ast.ForStmt:
		return w.visitFor(n)
	}
	return true
}

func (w *branchWalk) visitRange(n *ast.RangeStmt) bool {
	if !isNameOrNumber(n.X) {
		w.report(n, "range over an expression")
	}
	if key, ok := n.Key.(*ast.Ident); ok {
		w.counters[key.Name] = true
	}
	return true
}

// visitFor takes "for i := a; i < b; i++" and its like, with b a number, a parameter or a length.
func (w *branchWalk) visitFor(n *ast.ForStmt) bool {
	init, _ := n.Init.(*ast.AssignStmt)
	cond, _ := n.Cond.(*ast.BinaryExpr)
	_, counts := n.Post.(*ast.IncDecStmt)
	if init == nil || cond == nil || !counts || init.Tok != token.DEFINE {
		w.report(n, "loop without a counter")
		return true
	}
	counter, _ := init.Lhs[0].(*ast.Ident)
	left, _ := cond.X.(*ast.Ident)
	if counter == nil || left == nil || counter.Name != left.Name || !isNameOrNumber(cond.Y) {
		w.report(n, "loop on something else than its counter")
		return true
	}
	w.counters[counter.Name] = true
	ast.Inspect(n.Body, w.visit)
	return false
}

// isNameOrNumber is true of numbers, plain names and fields (sizes and receivers of ranges) and len(x).
func isNameOrNumber(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident:
		return true
	case *ast.SelectorExpr:
		return isNameOrNumber(e.X)
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	}
	return false
}

// isPublicIndex is true of sums of numbers, loop counters and lengths.
func (w *branchWalk) isPublicIndex(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return w.counters[e.Name]
	case *ast.BinaryExpr:
		return (e.Op == token.ADD || e.Op == token.SUB) && w.isPublicIndex(e.X) && w.isPublicIndex(e.Y)
	case *ast.CallExpr:
		f, ok := e.Fun.(*ast.Ident)
		return ok && f.Name == "len"
	}
	return false
}
