package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// tagForm is that of every transcript tag, key-derivation label and domain separator of ours, of any version.
var tagForm = regexp.MustCompile(`^mpcd/v[0-9]+/.`)

// Check holds the source in root against the policy and returns every breach, in the order of files.
func Check(root fs.FS) ([]string, error) {
	c := &checker{root: root, files: token.NewFileSet(), tags: map[string][]string{}}
	if err := fs.WalkDir(root, ".", c.visit); err != nil {
		return nil, err
	}
	for tag, where := range c.tags {
		if len(where) > 1 {
			c.breach("tag %q stands in %s; every purpose has a tag of its own, written once", tag, strings.Join(where, " and "))
		}
	}
	if c.sources == 0 {
		return nil, fmt.Errorf("deps: no Go source found: the test looks in the wrong place")
	}
	sort.Strings(c.breaches)
	return c.breaches, nil
}

type checker struct {
	root     fs.FS
	files    *token.FileSet
	tags     map[string][]string // tag: places
	sources  int
	breaches []string
}

func (c *checker) breach(format string, a ...any) {
	c.breaches = append(c.breaches, fmt.Sprintf(format, a...))
}

func (c *checker) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
		return fs.SkipDir
	case d.IsDir() || !strings.HasSuffix(name, ".go"):
		return nil
	}
	src, err := fs.ReadFile(c.root, name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(c.files, name, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	c.sources++
	if !strings.HasSuffix(name, "_test.go") {
		c.imports(name, f)
		c.goroutines(name, f)
		c.wiring(name, f)
		if !strings.HasSuffix(name, ".pb.go") { // generated: it registers its own messages, nothing of ours
			c.inits(name, f)
		}
		if !any1(forTests, path.Dir(name)) {
			c.literals(f)
		}
	}
	return nil
}

// imports checks what one file imports.
func (c *checker) imports(name string, f *ast.File) {
	pkg := path.Dir(name)
	at, ok := placeOf(pkg)
	if !ok {
		c.breach("%s: the policy has no place for package %s; add it to internal/deps/policy.go and to ARCHITECTURE", name, pkg)
		return
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			c.breach("%s: import %s", name, spec.Path.Value)
			continue
		}
		ours, inside := strings.CutPrefix(p, module)
		first, _, _ := strings.Cut(p, "/")
		if inside && spec.Name != nil && spec.Name.Name == "." {
			c.breach("%s: package %s imports %s by a dot: its names must say where they are from", name, pkg, ours)
		}
		switch {
		case inside && !any1(at.may, ours):
			c.breach("%s: package %s must not import %s: %s", name, pkg, ours, at.why)
		case inside && any1(forTests, ours) && !any1(forTests, pkg) && !any1(trials, pkg):
			c.breach("%s: package %s must not import %s: only tests do", name, pkg, ours)
		case !inside && strings.Contains(first, ".") && !lent(p, pkg):
			c.breach("%s: package %s must not import %s: a library of others stays in its room; see borrowed in internal/deps/policy.go",
				name, pkg, p)
		case !inside && !strings.Contains(first, ".") && at.std != nil && !any1(at.std, p):
			c.breach("%s: package %s must not import %s: %s", name, pkg, p, at.why)
		}
	}
}

// goroutines refuses go statements in packages that are functions of seed and messages.
func (c *checker) goroutines(name string, f *ast.File) {
	at, ok := placeOf(path.Dir(name))
	if !ok || at.std == nil {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			c.breach("%s: a goroutine is started: %s", c.files.Position(g.Pos()), at.why)
		}
		return true
	})
}

// wiring refuses a second way to make a node.
func (c *checker) wiring(name string, f *ast.File) {
	local := "" // how this file calls package appliance
	for _, spec := range f.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil && p == module+"appliance" {
			if local = "appliance"; spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "" || any1(wires, path.Dir(name)) {
		return
	}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := s.X.(*ast.Ident); ok && x.Name == local && s.Sel.Name == "New" {
			c.breach("%s: a node is made by host only, so that all start what ships", c.files.Position(s.Pos()))
		}
		return true
	})
}

// inits refuses init functions: what a binary can load is what host lists.
func (c *checker) inits(name string, f *ast.File) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			c.breach("%s: func init: what a binary can load is what host lists", name)
		}
	}
}

// literals collects the tags.
func (c *checker) literals(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if s, err := strconv.Unquote(lit.Value); err == nil && tagForm.MatchString(s) {
			c.tags[s] = append(c.tags[s], c.files.Position(lit.Pos()).String())
		}
		return true
	})
}
