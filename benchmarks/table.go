package benchmarks

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// The verdicts of Verdict.
const (
	Met    = "met"
	Missed = "missed" // the aim; the gate passes
	Failed = "FAILED" // below the floor
)

// Verdict judges a figure by its target, "" if it has none.
func (f Figure) Verdict() string {
	t, ok := Find(f.Name)
	switch {
	case !ok:
		return ""
	case t.Misses(f.Value, t.Floor):
		return Failed
	case t.Misses(f.Value, t.Aim):
		return Missed
	}
	return Met
}

// Print writes the figures beside their targets.
func Print(out io.Writer, figures []Figure) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tMEASURED\tTARGET\tVERDICT\tHOW")
	for _, f := range figures {
		target := ""
		if t, ok := Find(f.Name); ok {
			bound := "≤"
			if t.Higher {
				bound = "≥"
			}
			target = fmt.Sprintf("%s %g", bound, t.Aim)
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\n", f.Name, number(f.Value), f.Unit, target, f.Verdict(), f.Note)
	}
	return w.Flush()
}

// number has three digits, more only before the point.
func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
