// Goal: the walk finds each kind of branch and blames no plain loop. Method: one line of source each.
package consttime

import (
	"testing"
	"testing/fstest"
)

// TestBranchIsSeen shows that the walk finds each kind.
func TestBranchIsSeen(t *testing.T) {
	for _, body := range []string{
		"if x[0] == 1 { x[1]++ }", "switch x[0] { case 1: x[1]++ }", "_ = x[0] < 2", "_ = y && y", "_ = x[x[0]]", "_ = x[0] / x[1]", "_ = x[0] % 3",
		"for x[0] > 1 { x[0]-- }", "for i := 0; y; i++ { x[0]-- }", "goto end; end:", "_ = x[:x[0]]", "x[0] /= 3", "_ = min(x[0], 3)", "for range x[0] {}",
	} {
		source := "package p\nfunc f(x []uint64, y bool) {\n" + body + "\n}"
		if found, err := branches("x.go", []byte(source)); err != nil || len(found) == 0 {
			t.Errorf("not seen: %s", body)
		}
	}
	innocent := "package p\nfunc f(x *[4]uint64) { for i := range x { x[i] = x[1] }; for i := 9; i >= 0; i-- { x[3] += x[i] }; for j := 1; j < len(x); j++ {} }"
	if found, err := branches("x.go", []byte(innocent)); err != nil || len(found) != 0 {
		t.Errorf("an innocent loop is blamed: %v", found)
	}
}

// TestList shows that the list of exceptions is held to the source, both ways, and that tests and public files are not read.
func TestList(t *testing.T) {
	branch := &fstest.MapFile{Data: []byte("package p\nfunc (t *T) f(x bool) { if x { } }")}
	dir := fstest.MapFS{"a.go": branch, "a_test.go": branch, "public.go": branch}
	public := map[string]bool{"public.go": true}
	for _, c := range []struct {
		allowed map[string]string
		want    int
	}{
		{nil, 1},
		{map[string]string{"T.f": "x"}, 0},
		{map[string]string{"T.f": "x", "g": "y"}, 1},
	} {
		if got, err := Check(dir, c.allowed, public); err != nil || len(got) != c.want {
			t.Errorf("%v: %q, %v", c.allowed, got, err)
		}
	}
	if _, err := Check(fstest.MapFS{"a.go": {Data: []byte("no Go")}}, nil, nil); err == nil {
		t.Error("a file that is no Go passes")
	}
}
