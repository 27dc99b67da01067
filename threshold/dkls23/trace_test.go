package dkls23

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// traced are the packages that the table of doc.go names, and where they are.
var traced = map[string]string{
	"": ".", "ot": "../internal/ot", "threshold": "..", "canon": "../../internal/canon", "transport": "../../appliance/transport", "appliance": "../../appliance",
}

// inventory is what a package declares.
type inventory struct {
	functions map[string]bool            // in its source: name, or receiver.name
	tests     map[string]map[string]bool // in its tests: Test and Fuzz functions, and the strings of the file they stand in
}

func takeInventory(dir string) (*inventory, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no source in %s: %v", dir, err)
	}
	v := &inventory{map[string]bool{}, map[string]map[string]bool{}}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		words := map[string]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil {
					words[s] = true
				}
			}
			return true
		})
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

// traceRow is a line of the table.
type traceRow struct {
	step             string
	functions, tests []string
}

var columns = regexp.MustCompile(`^(.+?)(?: {2,}(\S.*?))? {2,}(\S.*)$`)

// traceTable reads the table below "# Trace" in the package's documentation.
func traceTable(src string) (out []traceRow, err error) {
	_, table, found := strings.Cut(src, "\n// # Trace\n")
	if !found {
		return nil, fmt.Errorf("doc.go has no section Trace")
	}
	for line := range strings.Lines(table) {
		line, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "//\t")
		if !ok {
			continue
		}
		c := columns.FindStringSubmatch(strings.TrimLeft(line, " "))
		if c == nil {
			return nil, fmt.Errorf("not a row of the table: %q", line)
		}
		r := traceRow{step: c[1], tests: strings.Split(c[3], ", ")}
		if c[2] != "" {
			r.functions = strings.Split(c[2], ", ")
		}
		out = append(out, r)
	}
	return out, nil
}

// faults lists what is wrong with a table: names that are not in the source, checks that have no row, and tests of this package that it
// does not name.
func faults(table []traceRow, source map[string]*inventory) (out []string) {
	fault := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	home := func(name string) (*inventory, string) {
		if pkg, rest, ok := strings.Cut(name, "."); ok && pkg != "" && source[pkg] != nil {
			return source[pkg], rest
		}
		return source[""], name
	}
	rows, named := map[string]int{}, map[string]bool{}
	for _, r := range table {
		rows[r.step]++
		for _, name := range r.functions {
			if in, local := home(name); !in.functions[local] {
				fault("%s: no function %s", r.step, name)
			}
		}
		for _, name := range r.tests {
			test, sub, _ := strings.Cut(name, "/")
			in, local := home(test)
			words, ok := in.tests[local]
			sub = strings.ReplaceAll(sub, "_", " ")
			switch {
			case !ok:
				fault("%s: no test %s", r.step, test)
			case sub != "" && !words[sub]:
				fault("%s: %s has no subtest %q", r.step, test, sub)
			case test == "TestLies" && sub != "" && strings.HasPrefix(r.step, "C"):
				if i := slices.IndexFunc(lies, func(l lie) bool { return l.name == sub }); i < 0 || lies[i].check != r.step {
					fault("%s: the lie %q is not caught by this check", r.step, sub)
				}
			}
			named[test] = true
		}
	}
	want := []string{"A.2 suite 1", "A.3.1 pair setup", "A.3.2 gadget", "A.3.3 R0 OPEN", "R1", "R2", "R3 checks", "A.3.4 C1", "A.3.5 O1, single use", "A.3.6 blame", "A.3.7 refresh"}
	for n := 2; n <= 19; n++ {
		want = append(want, fmt.Sprintf("C%d", n))
	}
	for _, step := range want {
		if rows[step] != 1 {
			fault("%d rows for %s, want 1", rows[step], step)
		}
	}
	for test := range source[""].tests {
		if !named[test] {
			fault("%s is not in the table", test)
		}
	}
	return out
}

// Goal: the table of doc.go, from a step of PROTOCOLS to its function and test, is complete and true. Method: read it and the source: every
// function and test it names exists, every check has a row, every test of this package is named; a table damaged in each way is found out.
func TestTrace(t *testing.T) {
	src, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	table, err := traceTable(string(src))
	if err != nil {
		t.Fatal(err)
	}
	if len(table) < 60 || table[0].step != "PROTOCOLS" {
		t.Fatalf("%d rows, the first %v", len(table), table[0])
	}
	table = table[1:]
	source := map[string]*inventory{}
	for name, dir := range traced {
		if source[name], err = takeInventory(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range faults(table, source) {
		t.Error(f)
	}

	at := func(step string) int { return slices.IndexFunc(table, func(r traceRow) bool { return r.step == step }) }
	for want, change := range map[string]func(c []traceRow) []traceRow{
		"C15: no function request.none": func(c []traceRow) []traceRow { c[at("C15")].functions = []string{"request.none"}; return c },
		"C7: no function ot.Reply":      func(c []traceRow) []traceRow { c[at("C7")].functions = []string{"ot.Reply"}; return c },
		"C7: no test TestNone": func(c []traceRow) []traceRow {
			c[at("C7")].tests = append(c[at("C7")].tests[:0:0], "TestNone")
			return c
		},
		`C7: TestLies has no subtest "none"`: func(c []traceRow) []traceRow {
			c[at("C7")].tests = []string{"TestLies/none"}
			return c
		},
		`C8: the lie "first row of U" is not caught by this check`: func(c []traceRow) []traceRow {
			c[at("C8")].tests = []string{"TestLies/first_row_of_U"}
			return c
		},
		"0 rows for C19, want 1": func(c []traceRow) []traceRow { return slices.Delete(c, at("C19"), at("C19")+1) },
		"TestOutsideLibraries is not in the table": func(c []traceRow) []traceRow {
			return slices.DeleteFunc(c, func(r traceRow) bool { return slices.Contains(r.tests, "TestOutsideLibraries") })
		},
	} {
		if got := faults(change(slices.Clone(table)), source); !slices.Contains(got, want) {
			t.Errorf("not found: %s, but %q", want, got)
		}
	}
}
