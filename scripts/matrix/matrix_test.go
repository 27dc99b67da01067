package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
)

const document = "../../docs/HARDWARE.md"

func read(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Goal: the table in the document is what the suites see. Method: run the suites that take no time, and compare their rows; the heading
// is compared with that of a table of nothing, and every suite must have a row.
func TestTableIsTrue(t *testing.T) {
	_, table, _, err := cut(read(t))
	if err != nil {
		t.Fatal(err)
	}
	var heading strings.Builder
	if err := hsmtest.Table(&heading, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(table, heading.String()) {
		t.Errorf("the table has another heading; run `make matrix`")
	}
	t.Chdir("../..")
	have := rows(table)
	for _, s := range suites {
		if s.name != "" && have[s.name] == "" {
			t.Errorf("no row for %q; run `make matrix`", s.name)
		}
		if s.pkg != "./hsm/local" && s.pkg != "./hsm/gcpkms" {
			continue
		}
		records, err := s.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := hsmtest.Table(&b, records); err != nil {
			t.Fatal(err)
		}
		for name, want := range rows(b.String()) {
			if have[name] != want {
				t.Errorf("the table says\n%s\nthe suite sees\n%s\nrun `make matrix`", have[name], want)
			}
		}
	}
}

// Goal: every suite that is listed is there, and every test that runs the drivers' suite is listed. Method: look for the calls in the
// source of the drivers.
func TestSuitesAreThere(t *testing.T) {
	listed := map[string]bool{}
	for _, s := range suites {
		listed[s.pkg+" "+s.test] = true
	}
	notRows := map[string]bool{"./hsm/pkcs11 TestECDH": true} // a SoftHSM with mechanisms hidden
	paths, err := filepath.Glob("../../hsm/*/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	test := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	for _, path := range paths {
		pkg := "./hsm/" + filepath.Base(filepath.Dir(path))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		parts := test.Split(string(b), -1)[1:]
		for i, m := range test.FindAllStringSubmatch(string(b), -1) {
			name := pkg + " " + m[1]
			if !strings.Contains(parts[i], "hsmtest.Run(") || notRows[name] || pkg == "./hsm/hsmtest" {
				continue
			}
			if !listed[name] {
				t.Errorf("%s runs the suite and has no row", name)
			}
			delete(listed, name)
		}
	}
	for name := range listed {
		t.Errorf("%s does not run the suite", name)
	}
}

// Goal: the table is put where it belongs, and nowhere else. Method: documents with the two lines, without, and with too many.
func TestReplace(t *testing.T) {
	for doc, want := range map[string]string{
		"a\n" + begin + "old\n" + end + "b\n": "a\n" + begin + "new\n" + end + "b\n",
		begin + end:                           begin + "new\n" + end,
		"a\n":                                 "",
		begin + "old\n":                       "",
		end + begin:                           "",
		begin + "old\n" + end + begin + "old\n" + end: "",
	} {
		got, err := replace(doc, "new\n")
		if (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %q, %v", doc, got, err)
		}
	}
	got := rows("| token | x |\n|---|---|\n| a b | 1 |\n| c | 2 |\n")
	if len(got) != 2 || got["a b"] != "| a b | 1 |" || got["c"] != "| c | 2 |" {
		t.Errorf("rows %q", got)
	}
}

// Goal: what the document says that mpcd says, mpcd says. Method: the words in italics of the last table, cut where they vary, are looked
// for in our source.
func TestMessagesAreOurs(t *testing.T) {
	_, table, ok := strings.Cut(read(t), "## When something is wrong")
	if !ok {
		t.Fatal("no table of messages")
	}
	source := regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(production(t), "") // a long message stands on several lines
	said := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 || cells[0] == "| what is wrong" {
			continue
		}
		for _, m := range regexp.MustCompile(`\*([^*]+)\*`).FindAllStringSubmatch(cells[1], -1) {
			for _, part := range strings.Split(m[1], "…") {
				if said++; !strings.Contains(source, strings.TrimSpace(part)) {
					t.Errorf("%s\nnothing says %q", cells[0], part)
				}
			}
		}
	}
	if said < 40 {
		t.Errorf("%d messages found: the test looks in the wrong place", said)
	}
}

// production is the source of what may speak of tokens, without tests.
func production(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../../hsm", "../../vault", "../../host", "../../enrol", "../../cmd/mpcd"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			all.Write(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// Goal: the URIs and the settings in the document are read by mpcd. Method: the YAML blocks: each uri is parsed, each key looked for among
// the settings; the URIs that commands name are parsed.
func TestExamplesAreRead(t *testing.T) {
	doc := read(t)
	known := func(key string) bool {
		return slices.ContainsFunc(host.Settings, func(s host.Setting) bool { return s.Key == key })
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(doc, -1)
	if len(blocks) < 5 {
		t.Errorf("%d examples of configuration", len(blocks))
	}
	var uris []string
	for _, block := range blocks {
		var path []string
		for line := range strings.Lines(block[1]) {
			text := strings.TrimLeft(line, " ")
			key, value, _ := strings.Cut(strings.TrimSpace(text), ":")
			depth := (len(line) - len(text)) / 2
			path = append(path[:depth], key)
			if value = strings.TrimSpace(value); value == "" {
				continue
			}
			if name := strings.Join(path, "."); !known(name) {
				t.Errorf("no setting %s", name)
			}
			if key == "uri" {
				uris = append(uris, value)
			}
		}
	}
	for _, m := range regexp.MustCompile("`((?:hsm|limits|password)\\.[a-z_.]+)[:`]").FindAllStringSubmatch(doc, -1) {
		if !known(m[1]) {
			t.Errorf("no setting %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?:--to|hsm test) '([^']+)'`).FindAllStringSubmatch(doc, -1) {
		uris = append(uris, m[1])
	}
	if len(uris) < 8 {
		t.Errorf("%d URIs", len(uris))
	}
	for _, uri := range uris {
		if _, err := hsm.ParseURI(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
