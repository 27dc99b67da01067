// Command run measures the promised figures and prints them beside their targets.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/luxfi/mpcd/benchmarks"
)

func main() {
	what := flag.String("only", "engine,node", "which figures: engine, node")
	mpcd := flag.String("mpcd", "bin/mpcd", "the program, for node figures")
	duration := flag.Duration("duration", 30*time.Second, "of each load")
	clients := flag.Int("clients", 64, "concurrent clients of the sustained load")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *what, benchmarks.NodeOptions{Program: *mpcd, Duration: *duration, Clients: *clients}); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, what string, o benchmarks.NodeOptions) error {
	var all []benchmarks.Figure
	if strings.Contains(what, "engine") {
		for _, s := range benchmarks.Schemes() {
			fmt.Fprintln(os.Stderr, "measuring the engine:", s.ID())
			f, err := benchmarks.Engine(benchmarks.SchemeName(s.ID()), s)
			if err != nil {
				return err
			}
			all = append(all, f...)
		}
	}
	if strings.Contains(what, "node") {
		for _, c := range []struct{ t, n int }{{3, 5}, {2, 3}} {
			fmt.Fprintf(os.Stderr, "measuring %d nodes, %d-of-%d, %s a load\n", c.n, c.t, c.n, o.Duration)
			f, err := benchmarks.Node(ctx, o, c.t, c.n)
			if err != nil {
				return err
			}
			all = append(all, f...)
		}
	}
	fmt.Println(benchmarks.Machine())
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "FIGURE\tVALUE\tAIM\tRATIO\tHOW")
	for _, f := range all {
		aim, ratio := "", ""
		if t, ok := benchmarks.Find(f.Name); ok {
			aim = fmt.Sprintf("%g", t.Aim)
			ratio = fmt.Sprintf("%.2f", f.Value/t.Aim)
			if t.Misses(f.Value, t.Aim) {
				ratio += " missed"
			}
		}
		fmt.Fprintf(w, "%s\t%.3g %s\t%s\t%s\t%s\n", f.Name, f.Value, f.Unit, aim, ratio, f.Note)
	}
	return w.Flush()
}
