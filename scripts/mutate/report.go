package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// report is the outcome of one run.
type report struct {
	results         []result
	listed          int    // mutants in the list
	seed            string // of a sample
	commit, machine string
	begun           time.Time
	took            time.Duration
}

// String is one line, and what went wrong below it.
func (r result) String() string {
	var by []string
	for _, k := range r.by {
		by = append(by, k.pkg+" "+k.test)
	}
	s := fmt.Sprintf("%-10s %5.1fs  %s", r.verdict, r.took.Seconds(), r.id())
	switch r.verdict {
	case killed:
		return s + "  " + strings.Join(by, ", ")
	case equivalent:
		return s + "  " + r.note
	}
	return s + "\n    for: " + r.why + "\n    " + strings.ReplaceAll(r.note, "\n", "\n    ")
}

// write writes every mutant's line, the table of the subjects, and where and when it was.
func (r report) write(w io.Writer) error {
	var b strings.Builder
	for _, x := range r.results {
		fmt.Fprintln(&b, x)
	}
	fmt.Fprintln(&b)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "subject\trun\tkilled\tsurvived\ttimed out\terrors\tequivalent\t")
	line := func(name, subject string) {
		n := r.count(subject)
		ran := n[killed] + n[survived] + n[timedOut] + n[wrong]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, ran, n[killed], n[survived], n[timedOut], n[wrong], n[equivalent])
	}
	seen := map[string]bool{}
	for _, x := range r.results {
		if !seen[x.subject] {
			seen[x.subject] = true
			line(x.subject, x.subject)
		}
	}
	line("all", "")
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%d of %d mutants in %.0f s, %s\n", len(r.results), r.listed, r.took.Seconds(),
		r.begun.UTC().Format("2006-01-02 15:04 UTC"))
	if r.seed != "" {
		fmt.Fprintf(&b, "a sample, by the seed %q\n", r.seed)
	}
	fmt.Fprintf(&b, "%s\ncommit %s\n", r.machine, r.commit)
	_, err := io.WriteString(w, b.String())
	return err
}

// count counts the verdicts of a subject, or of all.
func (r report) count(subject string) map[verdict]int {
	n := map[verdict]int{}
	for _, x := range r.results {
		if subject == "" || x.subject == subject {
			n[x.verdict]++
		}
	}
	return n
}

// failure is nil if every mutant was killed or is equivalent.
func (r report) failure() error {
	n := r.count("")
	if n[survived]+n[timedOut]+n[wrong] == 0 {
		return nil
	}
	return fmt.Errorf("%d mutants survived, %d timed out, %d are wrong", n[survived], n[timedOut], n[wrong])
}
