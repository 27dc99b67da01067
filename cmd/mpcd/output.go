package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// output is where a command writes: results to out, everything else to err.
type output struct {
	out, err io.Writer
	json     bool
	colour   bool // of err
}

// newOutput uses the process's streams. NO_COLOR (no-color.org) and a pipe end colours.
func newOutput() *output {
	_, no := os.LookupEnv("NO_COLOR")
	return &output{out: os.Stdout, err: os.Stderr, colour: !no && term.IsTerminal(int(os.Stderr.Fd()))}
}

// result writes v as JSON on one line, or by table for humans.
func (o *output) result(v any, table func(w io.Writer)) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(v)
	}
	w := tabwriter.NewWriter(o.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// report writes what a task found, if anything.
func (o *output) report(r *host.Report, err error) error {
	if err != nil || r == nil {
		return err
	}
	return o.result(r.Value, func(w io.Writer) {
		for _, x := range r.Rows {
			row(w, x[:]...)
		}
	})
}

// table writes the rows that an answer has.
func table[T any](rows func(T) [][]any) func(io.Writer, T) {
	return func(w io.Writer, v T) {
		for _, x := range rows(v) {
			row(w, x...)
		}
	}
}

// rows writes v, for humans as a table.
func (o *output) rows(v any, rows [][]any) error {
	return o.result(v, func(w io.Writer) { table(func(any) [][]any { return rows })(w, v) })
}

// options are for what a command opens by itself; its warnings from the level on go to stderr. A store that cannot be written ends it.
func (o *output) options(level string) host.Options {
	return host.Options{Release: release(), Log: host.NewLogger(o.err, host.ParseLevel(level), "text"), Crash: func(err error) {
		os.Exit(o.fail(&fault.Error{Code: fault.CodeStorage, Err: err, Do: "mend the disk, then repeat the command: it goes on from there"}))
	}}
}

// note writes a line of progress to stderr.
func (o *output) note(format string, a ...any) {
	fmt.Fprintf(o.err, format+"\n", a...)
}

// paint colours s for stderr, if that is wanted: "1" bold, "31" red, "32" green, "2" dim.
func (o *output) paint(code, s string) string {
	if !o.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// fail writes what is wrong, if anything, to stderr, and returns the exit code of its kind.
func (o *output) fail(err error) int {
	if err == nil {
		return 0
	}
	f := explain(err)
	why := problem.Plain(f.Err)
	if o.json {
		b, _ := json.Marshal(map[string]any{"error": map[string]any{"what": f.What, "why": why, "do": f.Do, "exit_code": f.Code}})
		fmt.Fprintf(o.err, "%s\n", b)
		return int(f.Code)
	}
	what := f.What
	if what == "" {
		what, why = why, ""
	}
	fmt.Fprintf(o.err, "%s %s\n", o.paint("31", "mpcd:"), seen(what))
	if why != "" {
		fmt.Fprintf(o.err, "  why: %s\n", seen(why))
	}
	fmt.Fprintf(o.err, "  do:  %s\n", seen(f.Do))
	return int(f.Code)
}

// seen is a text as a terminal may have it: in quotes and escaped where a peer, say, put what cannot be seen into it.
func seen(s string) string {
	if attest.Printable(s) {
		return s
	}
	return strconv.Quote(s)
}

// row writes cells of a table; text/tabwriter aligns them.
func row(w io.Writer, cells ...any) {
	for i, c := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		fmt.Fprint(w, seen(fmt.Sprint(c)))
	}
	fmt.Fprintln(w)
}
