// Package consttime reads the source of packages that promise constant time, for their tests. It finds what makes time or addresses depend
// on values: if, switch, comparison, short-circuit, division, and any index, slice bound or loop that is not counted by numbers, lengths and
// loop counters. It knows no types, so it blames innocents too; a package lists its functions that may branch, each with the reason.
//
// It keeps a source such that its assembly can be read by a person. It does not replace the reading.
package consttime

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"sort"
	"strings"
)

// Check walks every function of the Go files directly in dir, but for tests and the public files, and returns what it blames. allowed maps a
// function, "f" or "Type.f", to what it may branch on; one that has no need of its place is blamed as well.
func Check(dir fs.FS, allowed map[string]string, publicFiles map[string]bool) (breaches []string, err error) {
	files, err := fs.Glob(dir, "*.go")
	if err != nil {
		return nil, err
	}
	met := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || publicFiles[name] {
			continue
		}
		source, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		found, err := branches(name, source)
		if err != nil {
			return nil, err
		}
		for fn, where := range found {
			if _, ok := allowed[fn]; ok {
				met[fn] = true
				continue
			}
			breaches = append(breaches, fmt.Sprintf("%s in a constant-time function: %s", fn, strings.Join(where, "; ")))
		}
	}
	for fn := range allowed {
		if !met[fn] {
			breaches = append(breaches, fmt.Sprintf("%s is allowed to branch and does not: delete it from the list", fn))
		}
	}
	sort.Strings(breaches)
	return breaches, nil
}

// branches returns, by function, what makes time or addresses depend on values.
func branches(name string, source []byte) (map[string][]string, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
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
	return out, nil
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
