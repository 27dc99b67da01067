// Goal: the walk finds each kind of branch and blames no plain loop. Method: one line of source each.
package consttime

import (
	"fmt"
	"testing"
	"testing/fstest"
)

// TestBranchIsSeen shows that the walk finds each kind.
func TestBranchIsSeen(t *testing.T) {
	const frame = "package p\nconst size = 2\nfunc f(x []uint64, y bool, i int) {\n%s\n}"
	check := func(body string) []string {
		dir := fstest.MapFS{"a.go": {Data: fmt.Appendf(nil, frame, body)}}
		found, err := Check(dir, Rules{PublicNames: []string{"i"}})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	for _, body := range []string{
		"if x[0] == 1 { x[1]++ }", "switch x[0] { case 1: x[1]++ }", "_ = x[0] < 2", "_ = y && y", "_ = x[x[0]]", "_ = x[0] / x[1]",
		"_ = x[0] % 3",
		"for x[0] > 1 { x[0]-- }", "for i := 0; y; i++ { x[0]-- }", "goto end; end:", "_ = x[:x[0]]", "x[0] /= 3", "_ = min(x[0], 3)",
		"for range x[0] {}",
		"if y { x[1]++ }", "if x == nil || y { x[1]++ }", "if len(x) == int(x[0]) { x[1]++ }", "k := x[0]; _ = x[k]", "_ = x[i+int(x[0])]",
		"_ = i / int(x[0])",
	} {
		if len(check(body)) == 0 {
			t.Errorf("not seen: %s", body)
		}
	}
	for _, body := range []string{
		"for i := range x { x[i] = x[1] }", "for i := 9; i >= 0; i-- { x[3] += x[i] }", "for j := 1; j < len(x); j++ {}",
		"_ = x[(i+1)*size-1]", "_ = x[i/size:i%size]", "if x == nil || len(x) != size { x[1]++ }", "for range size*2 {}",
		"for j := range size { x[j/2]++ }",
	} {
		if found := check(body); len(found) != 0 {
			t.Errorf("an innocent is blamed: %v", found)
		}
	}
}

// TestList shows that the list of exceptions is held to the source, both ways, and that tests and public files are not read.
func TestList(t *testing.T) {
	branch := &fstest.MapFile{Data: []byte("package p\nfunc (t *T) f(x bool) { if x { } }")}
	dir := fstest.MapFS{"a.go": branch, "a_test.go": branch, "public.go": branch}
	for _, c := range []struct {
		allowed map[string]string
		want    int
	}{
		{nil, 1},
		{map[string]string{"T.f": "x"}, 0},
		{map[string]string{"T.f": "x", "g": "y"}, 1},
	} {
		if got, err := Check(dir, Rules{Allowed: c.allowed, PublicFiles: []string{"public.go"}}); err != nil || len(got) != c.want {
			t.Errorf("%v: %q, %v", c.allowed, got, err)
		}
	}
	if _, err := Check(fstest.MapFS{"a.go": {Data: []byte("no Go")}}, Rules{}); err == nil {
		t.Error("a file that is no Go passes")
	}
}
