// Command run measures the promised figures and prints them beside their targets.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
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
		f, err := benchmarks.AllEngines(ctx, func(what string) { fmt.Fprintln(os.Stderr, "measuring the engine:", what) })
		if err != nil {
			return err
		}
		all = append(all, f...)
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
	return benchmarks.Print(os.Stdout, all)
}
