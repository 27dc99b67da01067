package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// Goal: the list is whole: every mutant finds its place once and names a test that exists. Method: the edits and the names against the
// tree, nothing run, so that whoever moves code learns at once which line of the list has to go with it.
func TestList(t *testing.T) {
	tree := os.DirFS("../..")
	all, err := readList(os.DirFS("list"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if _, err := m.apply(tree); err != nil {
			t.Errorf("%s: %v", m.id(), err)
		}
		for _, k := range m.by {
			if err := k.exists(tree); err != nil {
				t.Errorf("%s: %v", m.id(), err)
			}
		}
	}
}

// fixture is a module of two functions, with one mutant of each kind in its list.
func fixture(t *testing.T) options {
	return options{root: "testdata/module", list: "list", parallel: 2, limit: 10 * time.Second, progress: t.Output()}
}

// Goal: each kind of mutant gets its verdict, and only a test that began and failed kills. Method: run the fixture whole.
func TestVerdicts(t *testing.T) {
	type outcome struct {
		verdict verdict
		note    string
	}
	want := map[string]outcome{
		"no-sum":             {killed, ""},
		"two-lines":          {killed, ""},
		"two-edits":          {killed, ""},
		"panics":             {killed, ""},
		"limit":              {survived, "sum TestSum passes"},
		"one-of-two-notices": {survived, "sum TestCount passes"},
		"does-not-compile":   {wrong, "undefined: m"},
		"before-the-test":    {wrong, "ended before TestSum began"},
		"nowhere":            {wrong, "stands nowhere"},
		"twice":              {wrong, "stands in 2 places"},
		"as-it-was":          {wrong, "is not changed"},
		"hangs":              {timedOut, "ran for 10s"},
		"program":            {killed, ""},
		"no-difference":      {equivalent, "addition commutes"},
	}
	o := fixture(t)
	all, err := readList(os.DirFS("testdata/module/list"))
	if err != nil {
		t.Fatal(err)
	}
	results, err := newRunner(o).all(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(want) {
		t.Fatalf("%d results, want %d", len(results), len(want))
	}
	for _, r := range results {
		if w := want[r.name]; r.verdict != w.verdict || !strings.Contains(r.note, w.note) {
			t.Errorf("%v\nwant %s: %s", r, w.verdict, w.note)
		}
	}
}

// Goal: what is not as it should be fails the run, what is does not, and the report tells all of it. Method: run parts of the fixture.
func TestReport(t *testing.T) {
	for _, c := range []struct{ name, only, failure string }{
		{"killed and equivalent", "no-sum|panics|no-difference", ""},
		{"survived", "no-sum|limit", "1 mutants survived, 0 timed out, 0 are wrong"},
		{"wrong", "nowhere|twice", "0 mutants survived, 0 timed out, 2 are wrong"},
		{"none", "no such name", "no mutant of 14"},
		{"expression", "(", "-run"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := fixture(t)
			o.only = c.only
			var out bytes.Buffer
			err := run(t.Context(), o, &out)
			if c.failure == "" && err != nil || c.failure != "" && (err == nil || !strings.Contains(err.Error(), c.failure)) {
				t.Fatalf("got %v, want %q", err, c.failure)
			}
			for name := range strings.SplitSeq(c.only, "|") {
				if out.Len() > 0 && !strings.Contains(out.String(), "sum/"+name) {
					t.Errorf("no word of %s in\n%s", name, &out)
				}
			}
		})
	}
}

// Goal: a test that fails, skips or is not there without any mutant ends the run. Method: such a test beside a mutant of the fixture.
func TestUnchangedMustPass(t *testing.T) {
	for test, want := range map[string]string{
		"TestFails":          "nothing changed: exit status 1",
		"TestSkips":          "TestSkips did not run and pass",
		"TestSum/no-such":    "TestSum/no-such did not run and pass",
		"TestIsNot":          "TestIsNot did not run and pass",
		"TestSum/posit.*":    "did not run and pass",
		"TestCount/anything": "did not run and pass",
	} {
		m := &mutant{subject: "s", name: "n", in: "sum", by: []killer{{"sum", test}}}
		if _, err := newRunner(fixture(t)).all(t.Context(), []*mutant{m}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", test, err, want)
		}
	}
}

// Goal: a list that cannot mean what it says is refused, by its line or its mutant. Method: one slip each.
func TestParse(t *testing.T) {
	const good = "mutant a\nfor: b\nin: c\nby: d TestE\n- f\n+ g\n"
	for _, c := range []struct{ name, text, want string }{
		{"good", good, ""},
		{"comment", "# x\n\n" + good, ""},
		{"deletion", strings.Replace(good, "+ g", "+", 1), ""},
		{"no mutant", "for: b\n", "line 1: stands before"},
		{"no reason", strings.Replace(good, "for: b\n", "", 1), "mutant a: it needs a name"},
		{"no place", strings.Replace(good, "in: c\n", "", 1), "mutant a: it needs a name"},
		{"no killer", strings.Replace(good, "by: d TestE\n", "", 1), `either "by:"`},
		{"equivalent and killer", good + "equivalent: x\n", `either "by:"`},
		{"test without package", strings.Replace(good, "d TestE", "TestE", 1), "wants a package and a test"},
		{"no edit", strings.Replace(good, "- f\n+ g\n", "", 1), "changes nothing"},
		{"no new text", strings.Replace(good, "+ g\n", "", 1), "in place of the old text"},
		{"no old text", strings.Replace(good, "- f\n", "", 1), "before any - line"},
		{"empty old text", strings.Replace(good, "- f\n", "-\n", 1), "are empty"},
		{"unknown line", good + "because: x\n", `"because: x" is no line`},
		{"twice", good + good, "two mutants are named a"},
	} {
		_, err := readList(fstest.MapFS{"s.txt": {Data: []byte(c.text)}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := readList(fstest.MapFS{}); err == nil {
		t.Error("an empty directory is a list")
	}
}

// Goal: a sample is the seed's alone, has the size asked for and no equivalents. Method: choose twice by one seed and once by another.
func TestSample(t *testing.T) {
	all, err := readList(os.DirFS("testdata/module/list"))
	if err != nil {
		t.Fatal(err)
	}
	names := func(seed string) string {
		ms := choose(all, regexp.MustCompile(""), 5, seed)
		if len(ms) != 5 {
			t.Fatalf("%d chosen, want 5", len(ms))
		}
		var out []string
		for _, m := range ms {
			if m.equivalent != "" {
				t.Errorf("%s is not run and is in the sample", m.name)
			}
			out = append(out, m.name)
		}
		return strings.Join(out, " ")
	}
	first, again, other := names("a"), names("a"), names("b")
	if first != again || first == other {
		t.Error("the sample does not follow the seed")
	}
	if n := len(choose(all, regexp.MustCompile(""), 99, "a")); n != len(all)-1 {
		t.Errorf("%d of %d chosen", n, len(all)-1)
	}
}

// Goal: a whole list is tried a part at a time: first what never was, then what was longest ago; what was found of the others stays, and
// what the list has no more goes. Method: two parts of the fixture's list, with a file between them.
func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "last.txt")
	all := []*mutant{{subject: "a", name: "one"}, {subject: "a", name: "two"}, {subject: "a", name: "three"}}
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for i, want := range []string{"one", "two", "three", "one"} {
		k, err := readKept(path)
		if err != nil {
			t.Fatal(err)
		}
		next := k.next(all, 1)
		if next[0].name != want {
			t.Errorf("run %d is of %s, want %s", i, next[0].name, want)
		}
		r := report{results: []result{{mutant: next[0], verdict: killed}}, commit: "5e40f8f2ca89", begun: day.AddDate(0, 0, i)}
		if err := k.write(path, all, r); err != nil {
			t.Fatal(err)
		}
	}
	k, err := readKept(path)
	if err != nil || len(k) != 3 || k.day(all[0]) != "2026-01-05" || k.day(all[1]) != "2026-01-03" {
		t.Errorf("%v, %v", k, err)
	}
	if err := k.write(path, all[1:], report{begun: day}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), "a/one") || !strings.Contains(string(b), "2 mutants: 2 killed, 0 not tried yet") {
		t.Errorf("%s, %v", b, err)
	}
}
