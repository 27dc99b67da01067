package docs

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// module is the source that these tests are about.
func module() fs.FS { return os.DirFS("../..") }

// Goal: whoever follows a citation of PROTOCOLS finds the section. Method: every "PROTOCOLS" with a number, in source, documents and
// scripts, also where a comment breaks the line; a module with a citation that points nowhere is found out.
func TestCitations(t *testing.T) {
	faults, count, err := Citations(module())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	if count < 35 {
		t.Errorf("%d citations found, there are more: the test looks in the wrong place", count)
	}
	text := func(s string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(strings.ReplaceAll(s, "PAGE", "PROTO"+"COLS"))}
	}
	bad := fstest.MapFS{
		protocols: text("## 1 One\n### 1.2 Two\n## A\n"),
		"a.go":    text("package a // as PAGE 1.2 says, and PAGE\n\t// A.3.6 too\n"),
		"b.md":    text("PAGE 1.20, PAGE.md, of PAGE"),
	}
	faults, count, err = Citations(bad)
	want := []string{"a.go cites", "b.md cites"}
	if err != nil || count != 3 || !slices.EqualFunc(faults, want, strings.HasPrefix) {
		t.Errorf("%d, %q, %v", count, faults, err)
	}
}

// Goal: an operator who reads the name of a check in an abort finds it on the page. Method: every name that the engine's source gives an
// abort; a module with one that the page has not is found out.
func TestChecks(t *testing.T) {
	faults, count, err := Checks(module())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	if count < 30 {
		t.Errorf("%d checks found, there are more: the test looks in the wrong place", count)
	}
	bad := fstest.MapFS{
		protocols: {Data: []byte("### 1.2 Two\n- **C1**: one\n")},
		"threshold/a/a.go": {Data: []byte(`package a
const checkD = "d"
var _ = Abort{Check: "a"}
var _ = threshold.Fault(threshold.Ban, "b", nil)
var _ = x.judge(nil, "C1", "c")
`)},
	}
	faults, count, err = Checks(bad)
	if err != nil || count != 5 || len(faults) != 4 {
		t.Errorf("%d, %q, %v", count, faults, err)
	}
}

// Goal: no protocol of the engine is without its table. Method: every package below threshold that has a round, or signs, has the section
// Trace, and its TestTrace holds it.
func TestEveryProtocolHasItsTable(t *testing.T) {
	dirs, err := fs.Glob(module(), "threshold/*/doc.go")
	if err != nil {
		t.Fatal(err)
	}
	dirs = append(dirs, "threshold/doc.go", "threshold/internal/ot/doc.go")
	n := 0
	for _, name := range dirs {
		dir := path.Dir(name)
		if slices.Contains([]string{"threshold/thresholdtest", "threshold/schemes"}, dir) { // a network for tests, and a list
			continue
		}
		n++
		if _, err := (Trace{Dir: dir}).Rows(module()); err != nil {
			t.Error(err)
		}
		in, err := takeInventory(module(), dir)
		if err != nil || in.tests["TestTrace"] == nil {
			t.Errorf("%s has no TestTrace: %v", dir, err)
		}
	}
	if n < 5 {
		t.Errorf("%d packages found", n)
	}
}

// Goal: a table that is not complete and true is found out. Method: a module whose table is both, then damaged in each way.
func TestTraceFaults(t *testing.T) {
	const page = "## 1 One\n\n### 1.1 Hash\n\n### 1.2 Open\n\n- **C1**: one\n- **C2**, **C3**: two\n\n## 2 Later (not in this build)\n"
	const table = `// Package p does it.
//
// # Trace
//
//	PROTOCOLS      function          test
//	1.1 hash       q.Hash            q.TestHash
//	1.2 C1         f, t.m            TestA/first_case
//	  C2           u.m               TestA, FuzzB
//	  C3 with it                     TestA
//	- this table                     TestTrace
package p
`
	good := map[string]string{
		protocols: page, "p/doc.go": table,
		"p/p.go":      "package p\ntype t int\ntype u[R any] struct{}\nfunc f() {}\nfunc (t) m() {}\nfunc (*u[R]) m() {}\n",
		"p/p_test.go": "package p\nfunc TestA() { _ = \"first case\" }\nfunc FuzzB() {}\nfunc TestTrace() {}\n",
		"q/q.go":      "package q\nfunc Hash() {}\n", "q/q_test.go": "package q\nfunc TestHash() {}\n",
	}
	for name, c := range map[string]struct {
		file, old, new string
		want           string // "" for none
	}{
		"none":              {},
		"a row of two":      {"p/doc.go", "TestA, FuzzB", "TestA,\n//\t                                 FuzzB", ""},
		"in the next line":  {"p/doc.go", "TestA, FuzzB", "TestA,\n//\t                                 FuzzC", "1.2 C2: no test FuzzC"},
		"function":          {"p/doc.go", "f, t.m", "f, t.x", "1.2 C1: no function t.x"},
		"another's":         {"p/doc.go", "q.Hash ", "q.Hush ", "1.1 hash: no function q.Hush"},
		"test":              {"p/doc.go", "TestA, FuzzB", "TestA, FuzzC", "1.2 C2: no test FuzzC"},
		"subtest":           {"p/doc.go", "first_case", "last_case", `1.2 C1: TestA has no subtest "last case"`},
		"missing row":       {"p/doc.go", "//\t  C2           u.m               TestA, FuzzB\n", "", "no row for 1.2 C2"},
		"missing section":   {"p/doc.go", "//\t1.1 hash       q.Hash            q.TestHash\n", "", "no row for 1.1"},
		"twice":             {"p/doc.go", "  C2  ", "  C1  ", "two rows for 1.2 C1"},
		"no such section":   {"p/doc.go", "\t1.1 hash", "\t1.7 hash", "1.7 hash: docs/PROTOCOLS.md has no section 1.7"},
		"later":             {"p/doc.go", "\t1.1 hash", "\t2 hash  ", "2 hash: docs/PROTOCOLS.md says that this is not in the build"},
		"item on the page":  {protocols, "**C3**", "**C4**", "no row for 1.2 C4"},
		"a test left out":   {"p/p_test.go", "func FuzzB() {}", "func FuzzB() {}\nfunc TestC() {}", "TestC is not in the table"},
		"a function gone":   {"p/p.go", "func f() {}", "", "1.2 C1: no function f"},
		"subtest's opinion": {"p/doc.go", "first_case", "judged", "1.2 C1: judged"},
	} {
		t.Run(name, func(t *testing.T) {
			m := fstest.MapFS{}
			for file, src := range good {
				if file == c.file {
					if !strings.Contains(src, c.old) {
						t.Fatalf("%s has no %q", file, c.old)
					}
					src = strings.Replace(src, c.old, c.new, 1)
				}
				m[file] = &fstest.MapFile{Data: []byte(src)}
			}
			m["p/more_test.go"] = &fstest.MapFile{Data: []byte("package p\n")}
			tr := Trace{Dir: "p", Packages: map[string]string{"q": "q"}, Sections: []string{"1"}, Whole: true}
			if c.want == "1.2 C1: judged" {
				m["p/p_test.go"].Data = append(m["p/p_test.go"].Data, `var _ = "judged"`...)
				tr.Subtest = func(_, _, sub string) string { return sub }
			}
			faults, err := tr.Faults(m)
			if err != nil {
				t.Fatal(err)
			}
			if (c.want == "") != (len(faults) == 0) || c.want != "" && !slices.Contains(faults, c.want) {
				t.Errorf("faults %q, want %q", faults, c.want)
			}
		})
	}
	for name, table := range map[string]string{
		"no table":   "// Package p.\npackage p\n",
		"no header":  strings.Replace(table, "PROTOCOLS ", "STEP      ", 1),
		"no columns": strings.Replace(table, "1.1 hash       q.Hash            q.TestHash", "1.1 hash", 1),
		"no more":    strings.Replace(table, "TestTrace\n", "TestTrace,\n", 1),
	} {
		m := fstest.MapFS{protocols: {Data: []byte(page)}, "p/doc.go": {Data: []byte(table)}}
		if _, err := (Trace{Dir: "p"}).Rows(m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, page := range map[string]string{"two sections": "## 1 a\n## 1 b\n", "none": "# title\n"} {
		if _, err := readPage(fstest.MapFS{protocols: {Data: []byte(page)}}); err == nil {
			t.Errorf("page with %s: taken", name)
		}
	}
}

// Goal: a test that a page names, as what shows a claim, is there and runs, and so does its subtest. Method: every TestX and FuzzX of the
// pages against the functions of the module's tests; what follows a slash against the texts of the test's package, of packages for tests,
// and the names of scripts.
func TestNamedTestsAreThere(t *testing.T) {
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\([tf] \*testing\.[TF]\)`)
	name := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)((?:/[^`]+)?)`")
	texts := map[string]string{}      // of the tests of a directory; "" of all packages for tests
	declared := map[string][]string{} // test: its directories
	named, subtests := map[string]string{}, map[[2]string]string{}
	err := fs.WalkDir(module(), ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && (d.Name() == "bin" || len(file) > 1 && strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return err
		}
		if path.Ext(file) != ".go" && path.Ext(file) != ".md" {
			return nil
		}
		b, err := fs.ReadFile(module(), file)
		dir := path.Dir(file)
		switch {
		case strings.HasSuffix(file, "_test.go"):
			for _, m := range function.FindAllSubmatch(b, -1) {
				declared[string(m[1])] = append(declared[string(m[1])], dir)
			}
			texts[dir] += string(b)
			return err
		case path.Ext(file) == ".go":
			if strings.HasSuffix(dir, "test") {
				texts[""] += string(b)
			}
			return err
		}
		for _, m := range name.FindAllSubmatch(b, -1) {
			named[string(m[1])] = file
			for _, sub := range strings.Split(string(m[1])+string(m[2]), "/")[1:] {
				subtests[[2]string{string(m[1]), sub}] = file
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for x, file := range named {
		if declared[x] == nil {
			t.Errorf("%s names %s, which is nowhere", file, x)
		}
	}
	for x, file := range subtests {
		text := `"` + strings.ReplaceAll(x[1], "_", " ") + `"`
		runs := func(dir string) bool {
			_, err := fs.Stat(module(), path.Join(dir, "testdata", x[1]+".txtar"))
			return err == nil || strings.Contains(texts[dir], text)
		}
		if x[1] != "…" && !strings.Contains(texts[""], text) && !slices.ContainsFunc(declared[x[0]], runs) {
			t.Errorf("%s names %s/%s, which does not run", file, x[0], x[1])
		}
	}
	if len(named) < 100 {
		t.Errorf("%d tests are named, there are more: the test looks in the wrong place", len(named))
	}
}
