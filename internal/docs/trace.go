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
	"strconv"
	"strings"
	"testing"
)

// Trace is how the table of one package is held to the page and to the source. The table stands below "# Trace" in the package's doc.go,
// its columns apart by two spaces or more: step, functions, tests. A row that ends with a comma goes on in the next line. A step begins
// with the number of its section, which holds for the indented steps below it, and goes on with what the section numbers in bold; a test
// may name a subtest behind a slash. Lines that begin with "-" instead of a number are about no section.
type Trace struct {
	// Dir is the package, relative to the module's root.
	Dir string
	// Packages are others that the table names, as in "canon.Hash", and where they are.
	Packages map[string]string
	// Sections are those of the page that the table must tell of whole: each section and each of its items has a row.
	Sections []string
	// Whole asks that every test of the package be in the table.
	Whole bool
	// Subtest, if set, says what is wrong with a subtest that a step names; "" for nothing.
	Subtest func(step, test, sub string) string
}

// Row is a line of the table.
type Row struct {
	Section          string // "" if the row is about none
	Step             string // without the section's number
	Functions, Tests []string
}

func (r Row) String() string { return strings.TrimSpace(r.Section + " " + r.Step) }

var (
	columns = regexp.MustCompile(`^(.+?)(?: {2,}(\S.*?))? {2,}(\S.*)$`)
	number  = regexp.MustCompile(`^(-|(?:[A-F]\.)?[0-9]+(?:\.[0-9]+)*) (.+)$`)
)

// Rows reads the table. root is the module's.
func (t Trace) Rows(root fs.FS) ([]Row, error) {
	src, err := fs.ReadFile(root, path.Join(t.Dir, "doc.go"))
	if err != nil {
		return nil, err
	}
	_, table, found := strings.Cut(string(src), "\n// # Trace\n")
	if !found {
		return nil, fmt.Errorf("docs: %s/doc.go has no section Trace", t.Dir)
	}
	var out []Row
	var at, begun string // the section, and a row that goes on in the next line
	header := true
	for line := range strings.Lines(table) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		if !ok {
			continue
		}
		if begun != "" {
			line, begun = begun+" "+strings.TrimLeft(line, " "), ""
		}
		if strings.HasSuffix(line, ",") {
			begun = line
			continue
		}
		c := columns.FindStringSubmatch(strings.TrimLeft(line, " "))
		if c == nil {
			return nil, fmt.Errorf("docs: not a row of the table of %s: %q", t.Dir, line)
		}
		if header {
			if header = false; c[1] != "PROTOCOLS" || c[2] != "function" || c[3] != "test" {
				return nil, fmt.Errorf("docs: the table of %s begins with %q, want PROTOCOLS, function, test", t.Dir, line)
			}
			continue
		}
		r := Row{Section: at, Step: c[1], Tests: strings.Split(c[3], ", ")}
		if m := number.FindStringSubmatch(c[1]); m != nil && !strings.HasPrefix(line, " ") {
			at, r.Step = strings.TrimPrefix(m[1], "-"), m[2]
			r.Section = at
		}
		if c[2] != "" {
			r.Functions = strings.Split(c[2], ", ")
		}
		out = append(out, r)
	}
	if begun != "" {
		return nil, fmt.Errorf("docs: the table of %s ends with a comma: %q", t.Dir, begun)
	}
	return out, nil
}

// Hold fails the test for every fault of the table.
func (t Trace) Hold(tb testing.TB, root fs.FS) {
	tb.Helper()
	faults, err := t.Faults(root)
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range faults {
		tb.Error(f)
	}
}

// Faults lists what is wrong with the table: names that are not in the source, steps that are not on the page, parts of the page that have
// no row, and, if the table is to be whole, tests that it does not name.
func (t Trace) Faults(root fs.FS) ([]string, error) {
	rows, err := t.Rows(root)
	if err != nil {
		return nil, err
	}
	p, err := readPage(root)
	if err != nil {
		return nil, err
	}
	h := &holder{Trace: t, source: map[string]*inventory{}}
	if h.source[""], err = takeInventory(root, t.Dir); err != nil {
		return nil, err
	}
	for name, dir := range t.Packages {
		if h.source[name], err = takeInventory(root, dir); err != nil {
			return nil, err
		}
	}
	h.names(rows)
	h.steps(rows, p)
	return h.faults, nil
}

// holder collects the faults of one table.
type holder struct {
	Trace
	source map[string]*inventory
	faults []string
}

func (h *holder) fault(format string, a ...any) {
	h.faults = append(h.faults, fmt.Sprintf(format, a...))
}

// home is where a name of the table is declared.
func (h *holder) home(name string) (*inventory, string) {
	if pkg, rest, ok := strings.Cut(name, "."); ok && pkg != "" && h.source[pkg] != nil {
		return h.source[pkg], rest
	}
	return h.source[""], name
}

// names holds functions and tests to the source.
func (h *holder) names(rows []Row) {
	named := map[string]bool{}
	for _, r := range rows {
		for _, name := range r.Functions {
			if in, local := h.home(name); !in.functions[local] {
				h.fault("%s: no function %s", r, name)
			}
		}
		for _, name := range r.Tests {
			test, sub, _ := strings.Cut(name, "/")
			sub = strings.ReplaceAll(sub, "_", " ")
			in, local := h.home(test)
			words, ok := in.tests[local]
			named[test] = true
			switch {
			case !ok:
				h.fault("%s: no test %s", r, test)
			case sub != "" && !words[sub]:
				h.fault("%s: %s has no subtest %q", r, test, sub)
			case sub != "" && h.Subtest != nil:
				if wrong := h.Subtest(r.Step, test, sub); wrong != "" {
					h.fault("%s: %s", r, wrong)
				}
			}
		}
	}
	for test := range h.source[""].tests {
		if h.Whole && !named[test] {
			h.fault("%s is not in the table", test)
		}
	}
}

// steps holds the first column to the page.
func (h *holder) steps(rows []Row, p *page) {
	seen := map[string]bool{}
	for _, r := range rows {
		switch s := p.section(r.Section); {
		case seen[r.String()]:
			h.fault("two rows for %s", r)
		case r.Section != "" && s == nil:
			h.fault("%s: %s has no section %s", r, protocols, r.Section)
		case r.Section != "" && s.later:
			h.fault("%s: %s says that this is not in the build", r, protocols)
		}
		seen[r.String()] = true
	}
	told := func(section, item string) bool {
		return slices.ContainsFunc(rows, func(r Row) bool {
			return r.Section == section && (item == "" || r.Step == item || strings.HasPrefix(r.Step, item+" "))
		})
	}
	for _, want := range h.Sections {
		if p.section(want) == nil {
			h.fault("%s has no section %s", protocols, want)
		}
		for _, s := range p.sections {
			if !s.under(want) || s.later {
				continue
			}
			parent := slices.ContainsFunc(p.sections, func(o section) bool { return o.number != s.number && o.under(s.number) })
			if len(s.items) == 0 && !parent && !told(s.number, "") {
				h.fault("no row for %s", s.number)
			}
			for _, item := range s.items {
				if !told(s.number, item) {
					h.fault("no row for %s %s", s.number, item)
				}
			}
		}
	}
}

// inventory is what a package declares.
type inventory struct {
	functions map[string]bool            // in its source: name, or receiver.name
	tests     map[string]map[string]bool // in its tests: Test and Fuzz functions, and the strings of the file they stand in
}

func takeInventory(root fs.FS, dir string) (*inventory, error) {
	files, err := fs.Glob(root, path.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("docs: no source in %s: %v", dir, err)
	}
	v := &inventory{map[string]bool{}, map[string]map[string]bool{}}
	for _, name := range files {
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		words := stringsOf(f)
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case !strings.HasSuffix(name, "_test.go"):
				v.functions[receiver(fn)+fn.Name.Name] = true
			case fn.Recv == nil && (strings.HasPrefix(fn.Name.Name, "Test") || strings.HasPrefix(fn.Name.Name, "Fuzz")):
				v.tests[fn.Name.Name] = words
			}
		}
	}
	return v, nil
}

// stringsOf is every string literal of a file.
func stringsOf(f *ast.File) map[string]bool {
	words := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				words[s] = true
			}
		}
		return true
	})
	return words
}

// receiver is the name of a method's type and a point.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "."
		default:
			return "?."
		}
	}
}
