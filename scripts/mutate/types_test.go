package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program is what the go command knows of the module: where the compiled packages are, and which files are whose.
type program struct {
	fset   *token.FileSet
	export map[string]string   // by import path
	files  map[string][]string // by directory below the root
	parsed map[string]*ast.File

	imports types.Importer
}

func listed(t *testing.T, root string) *program {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-f",
		"{{.ImportPath}}\t{{.Export}}\t{{.Dir}}\t{{range .GoFiles}}{{.}} {{end}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{fset: token.NewFileSet(), export: map[string]string{}, files: map[string][]string{}, parsed: map[string]*ast.File{}}
	p.imports = importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(p.export[path]) })
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		p.export[f[0]] = f[1]
		if dir, err := filepath.Rel(abs, f[2]); err == nil {
			p.files[dir] = strings.Fields(f[3])
		}
	}
	return p
}

// check type-checks the package of a directory with some of its files changed.
func (p *program) check(root, dir string, changed change) error {
	var all []*ast.File
	for _, name := range p.files[dir] {
		name = filepath.Join(dir, name)
		text, ok := changed[name]
		if f := p.parsed[name]; f != nil && !ok {
			all = append(all, f)
			continue
		}
		var src any
		if ok {
			src = text
		}
		f, err := parser.ParseFile(p.fset, filepath.Join(root, name), src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !ok {
			p.parsed[name] = f
		}
		all = append(all, f)
	}
	_, err := (&types.Config{Importer: p.imports}).Check(dir, p.fset, all, nil)
	return err
}

// Goal: every mutant compiles: one that does not is judged by nothing, and is seen only when its turn comes. Method: type-check each
// package with each of its mutants.
func TestCompiles(t *testing.T) {
	root := filepath.Join("..", "..")
	tree := os.DirFS(root)
	all, err := readList(os.DirFS("list"))
	if err != nil {
		t.Fatal(err)
	}
	p := listed(t, root)
	for _, m := range all {
		changed, err := m.apply(tree)
		if err != nil {
			continue // TestList tells
		}
		dirs := map[string]bool{}
		for name := range changed {
			dirs[filepath.Dir(name)] = true
		}
		for _, dir := range slices.Sorted(maps.Keys(dirs)) {
			if err := p.check(root, dir, changed); err != nil {
				t.Errorf("%s: %v", m.id(), err)
			}
		}
	}
}
