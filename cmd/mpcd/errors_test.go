package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/luxfi/mpcd/client/wire"
)

const (
	errorsPage   = "../../docs/ERRORS.md"
	errorsScript = "testdata/errors.txtar"
)

// failure is a row of docs/ERRORS.md.
type failure struct {
	name string
	says []string // pieces of the text, in order
	do   []string // of what to do
	code string   // exit code, or status and code of an answer
}

// failures reads the tables of docs/ERRORS.md.
func failures() (map[string]failure, error) {
	b, err := os.ReadFile(errorsPage)
	if err != nil {
		return nil, err
	}
	all := map[string]failure{}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| failure |") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		for i, c := range cells {
			cells[i] = strings.TrimSpace(c)
		}
		if len(cells) != 5 || cells[2] == "" {
			return nil, fmt.Errorf("%d cells: %s", len(cells), line)
		}
		f := failure{cells[0], pieces(cells[1]), pieces(cells[3]), cells[4]}
		if _, twice := all[f.name]; twice {
			return nil, fmt.Errorf("%s stands twice", f.name)
		}
		all[f.name] = f
	}
	return all, nil
}

// pieces are what a cell quotes, in italics; … in it stands for anything.
func pieces(cell string) []string {
	return strings.Split(strings.Trim(cell, "*"), "…")
}

// has tells whether the pieces stand in the text, in order.
func has(text string, pieces []string) bool {
	for _, p := range pieces {
		_, rest, found := strings.Cut(text, strings.TrimSpace(p))
		if !found {
			return false
		}
		text = rest
	}
	return true
}

// scriptRow provokes the failure of a row of docs/ERRORS.md by a command, and holds against the row what comes of it: exit code and error,
// or, of a command that asks a node, the problem on its stdout.
func scriptRow(ts *testscript.TestScript, _ bool, args []string) {
	all, err := failures()
	ts.Check(err)
	f, ok := all[args[0]]
	if !ok {
		ts.Fatalf("%s has no row %q", errorsPage, args[0])
	}
	err = ts.Exec(args[1], args[2:]...)
	code, text := 0, ts.ReadFile("stderr")
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	got := strconv.Itoa(code)
	said, do, _ := strings.Cut(text, "\n  do:  ")
	if strings.Contains(f.code, " ") {
		var p wire.Problem
		ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &p))
		got, said, do = fmt.Sprintf("%d %s", p.Status, p.Code), p.Detail, p.Next
	}
	if got != f.code || !has(said, f.says) || !has(do, f.do) {
		ts.Fatalf("row %q: got %s %q, do %q; want %+v", f.name, got, said, do, f)
	}
}

// Goal: docs/ERRORS.md is true: no failure stands there that is not provoked, and each has all its cells. Method: the rows of the page
// against the rows that the script runs, in which TestScripts provokes every one of them with the program.
func TestErrorsPage(t *testing.T) {
	all, err := failures()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(errorsScript)
	if err != nil {
		t.Fatal(err)
	}
	run := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^row '([^']*)' `).FindAllStringSubmatch(string(b), -1) {
		run[m[1]] = true
	}
	codes := map[string]bool{}
	for name, f := range all {
		if !run[name] {
			t.Errorf("%q is not provoked in %s", name, errorsScript)
		}
		if f.says[0] == "" || f.do[0] == "" {
			t.Errorf("%q has an empty cell", name)
		}
		codes[f.code] = true
	}
	for _, code := range []string{"2", "3", "4", "5", "6", "7", "8", "9"} {
		if !codes[code] {
			t.Errorf("no row ends with code %s", code)
		}
	}
	if len(all) < 50 {
		t.Errorf("%d rows", len(all))
	}
}
