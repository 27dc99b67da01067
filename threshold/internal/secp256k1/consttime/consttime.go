// Package consttime reads the source of packages that promise constant time, for their tests. It finds what makes time or addresses depend
// on values: if, switch, comparison, short-circuit, division, and any index, slice bound or loop that is not counted by numbers, lengths
// and loop counters. It knows no types, so it blames innocents too; a package lists its functions that may branch, each with the reason.
//
// Numbers, lengths, loop counters, the package's constants and the names a package declares public may be computed with; so may errors and
// pointers be compared with nil, and lengths with each other.
//
// It keeps a source such that its assembly can be read by a person. It does not replace the reading.
package consttime

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"slices"
	"sort"
	"strings"
)

// Rules are what a package says of itself.
type Rules struct {
	Allowed     map[string]string // functions that may branch, "f" or "Type.f", and on what; one without need of it is blamed as well
	PublicFiles []string          // files whose every input is public
	PublicNames []string          // variables and parameters that are public wherever an index, a bound or a loop uses them
}

// Check walks every function of the Go files directly in dir, but for tests and the public files, and returns what it blames.
func Check(dir fs.FS, rules Rules) (breaches []string, err error) {
	files, err := fs.Glob(dir, "*.go")
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	var parsed []*ast.File
	public := map[string]bool{}
	for _, name := range rules.PublicNames {
		public[name] = true
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		addConstants(public, file)
		if !slices.Contains(rules.PublicFiles, name) {
			parsed = append(parsed, file)
		}
	}
	met := map[string]bool{}
	for _, file := range parsed {
		found := branches(set, file, public)
		for fn, where := range found {
			if _, ok := rules.Allowed[fn]; ok {
				met[fn] = true
				continue
			}
			breaches = append(breaches, fmt.Sprintf("%s in a constant-time function: %s", fn, strings.Join(where, "; ")))
		}
	}
	for fn := range rules.Allowed {
		if !met[fn] {
			breaches = append(breaches, fmt.Sprintf("%s is allowed to branch and does not: delete it from the list", fn))
		}
	}
	sort.Strings(breaches)
	return breaches, nil
}

// addConstants adds the names of the file's constants.
func addConstants(public map[string]bool, file *ast.File) {
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, spec := range g.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					public[name.Name] = true
				}
			}
		}
	}
}

// branches returns, by function, what makes time or addresses depend on values.
func branches(set *token.FileSet, file *ast.File, public map[string]bool) map[string][]string {
	out := map[string][]string{}
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		key := functionName(fn)
		w := branchWalk{public: maps.Clone(public), report: func(n ast.Node, what string) {
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
	public map[string]bool // constants, declared names, and variables declared by a loop header
	report func(n ast.Node, what string)
}

func (w *branchWalk) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IfStmt:
		if !w.isPublicCondition(n.Cond) {
			w.report(n, "if")
		}
	case *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.BranchStmt:
		w.report(n, "switch or jump")
	case *ast.BinaryExpr:
		w.visitBinary(n)
	case *ast.AssignStmt:
		if n.Tok == token.QUO_ASSIGN || n.Tok == token.REM_ASSIGN {
			w.report(n, "division")
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "min" || f.Name == "max") {
			w.report(n, "comparison by "+f.Name)
		}
	case *ast.IndexExpr:
		if !w.isPublic(n.Index) {
			w.report(n, "computed index")
		}
	case *ast.SliceExpr:
		for _, bound := range []ast.Expr{n.Low, n.High, n.Max} {
			if bound != nil && !w.isPublic(bound) {
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

func (w *branchWalk) visitBinary(n *ast.BinaryExpr) {
	switch n.Op {
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ, token.LAND, token.LOR:
		if !w.isPublicCondition(n) {
			w.report(n, "comparison "+n.Op.String())
		}
	case token.QUO, token.REM:
		if !w.isPublic(n) {
			w.report(n, "division")
		}
	}
}

func (w *branchWalk) visitRange(n *ast.RangeStmt) bool {
	if !w.isSized(n.X) {
		w.report(n, "range over an expression")
	}
	if key, ok := n.Key.(*ast.Ident); ok {
		w.public[key.Name] = true
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
	w.public[counter.Name] = true
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
		return isLen(e)
	}
	return false
}

// isSized is true of what has a length that is no secret, names, fields and literals, and of public numbers.
func (w *branchWalk) isSized(e ast.Expr) bool {
	_, isLiteral := e.(*ast.CompositeLit)
	return isLiteral || isNameOrNumber(e) || w.isPublic(e)
}

// isPublic is true of whatever is computed from numbers, public names and lengths.
func (w *branchWalk) isPublic(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit:
		return true
	case *ast.Ident:
		return w.public[e.Name]
	case *ast.ParenExpr:
		return w.isPublic(e.X)
	case *ast.BinaryExpr:
		return w.isPublic(e.X) && w.isPublic(e.Y)
	case *ast.CallExpr:
		return isLen(e)
	}
	return false
}

// isPublicCondition is true of comparisons with nil and between lengths and public values, and of what joins them.
func (w *branchWalk) isPublicCondition(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	if !ok {
		return false
	}
	switch b.Op {
	case token.LAND, token.LOR:
		return w.isPublicCondition(b.X) && w.isPublicCondition(b.Y)
	case token.EQL, token.NEQ:
		if isNil(b.X) || isNil(b.Y) {
			return true
		}
	}
	return w.isPublic(b.X) && w.isPublic(b.Y)
}

func isNil(e ast.Expr) bool {
	name, ok := e.(*ast.Ident)
	return ok && name.Name == "nil"
}

func isLen(e *ast.CallExpr) bool {
	f, ok := e.Fun.(*ast.Ident)
	return ok && f.Name == "len"
}
