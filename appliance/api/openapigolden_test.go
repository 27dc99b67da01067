package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/openapi.json anew")

const openAPIFile = "../../docs/openapi.json"

// Goal: what callers are promised changes only on purpose, and the change is seen. Method: the document that the code makes, without the
// program's version, against docs/openapi.json; every difference is named. -rewrite writes the file anew.
func TestOpenAPIFile(t *testing.T) {
	_, raw := openAPI(t)
	got := decodeJSON(t, raw)
	got.(map[string]any)["info"].(map[string]any)["version"] = "of the program"
	if *rewrite {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(got); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(openAPIFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatalf("%v; run go test ./appliance/api -run TestOpenAPIFile -rewrite", err)
	}
	changes := differences("", decodeJSON(t, b), got)
	for _, c := range changes[:min(len(changes), 40)] {
		t.Error(c)
	}
	if len(changes) > 0 {
		t.Errorf("%d changes to the API; if they are meant, tell them in CHANGELOG.md and run "+
			"go test ./appliance/api -run TestOpenAPIFile -rewrite", len(changes))
	}
}

// Goal: no kind of change goes unseen or is called by another's name. Method: a document and one change of each kind.
func TestDifferences(t *testing.T) {
	was := `{"a": 1, "b": {"c": [1, {"d": "x"}], "e": null}}`
	for is, want := range map[string]string{
		was: "",
		`{"a": 2, "b": {"c": [1, {"d": "x"}], "e": null}}`:          "changed /a: 1 → 2",
		`{"b": {"c": [1, {"d": "x"}], "e": null}}`:                  "gone /a: 1",
		`{"a": 1, "f": 0, "b": {"c": [1, {"d": "x"}], "e": null}}`:  "new /f: 0",
		`{"a": 1, "b": {"c": [1, {"d": "y"}], "e": null}}`:          `changed /b/c/1/d: "x" → "y"`,
		`{"a": 1, "b": {"c": [1], "e": null}}`:                      `gone /b/c/1: {"d":"x"}`,
		`{"a": 1, "b": {"c": [1, {"d": "x"}, [2]], "e": null}}`:     "new /b/c/2: [2]",
		`{"a": 1, "b": {"c": [1, {"d": "x"}]}}`:                     "gone /b/e: null",
		`{"a": 1, "b": {"c": {"0": 1, "1": {"d": 1}}, "e": null}}`:  `changed /b/c: [1,{"d":"x"}] → {"0":1,"1":{"d":1}}`,
		`{"a": "1", "b": {"c": [1, {"d": "x"}], "e": 0, "g": ""} }`: `changed /a: 1 → "1"; changed /b/e: null → 0; new /b/g: ""`,
	} {
		if got := strings.Join(differences("", decodeJSON(t, []byte(was)), decodeJSON(t, []byte(is))), "; "); got != want {
			t.Errorf("%s: %q, want %q", is, got, want)
		}
	}
}

func decodeJSON(t *testing.T, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// differences names what two JSON values differ in, by JSON pointer (RFC 6901, without its escapes), in order.
func differences(at string, was, is any) []string {
	a, b := members(was), members(is)
	_, list := was.([]any)
	if _, other := is.([]any); a == nil || b == nil || list != other {
		if before, after := text(was), text(is); before != after {
			return []string{fmt.Sprintf("changed %s: %s → %s", at, before, after)}
		}
		return nil
	}
	var out []string
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		before, had := a[k]
		after, has := b[k]
		switch {
		case !has:
			out = append(out, fmt.Sprintf("gone %s/%s: %s", at, k, text(before)))
		case !had:
			out = append(out, fmt.Sprintf("new %s/%s: %s", at, k, text(after)))
		default:
			out = append(out, differences(at+"/"+k, before, after)...)
		}
	}
	return out
}

// members are those of an object, or of a list by number; nil for what has none.
func members(v any) map[string]any {
	switch v := v.(type) {
	case map[string]any:
		return v
	case []any:
		out := make(map[string]any, len(v))
		for i, e := range v {
			out[strconv.Itoa(i)] = e
		}
		return out
	}
	return nil
}

// text is the JSON of a value.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
