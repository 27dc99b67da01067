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
	what := flag.String("only", "engine,node,gate,overload", "which figures: engine, node, gate, overload, hsm")
	mpcd := flag.String("mpcd", "bin/mpcd", "the program, for all but engine figures")
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
	if strings.Contains(what, "gate") {
		fmt.Fprintf(os.Stderr, "measuring what judging costs, %s a load\n", o.Duration)
		f, err := benchmarks.Gate(ctx, o, 3, 5)
		if err != nil {
			return err
		}
		all = append(all, f...)
	}
	if strings.Contains(what, "overload") {
		fmt.Fprintf(os.Stderr, "measuring overload, %s a load\n", o.Duration)
		f, err := benchmarks.Overload(ctx, o, 2, 3)
		if err != nil {
			return err
		}
		all = append(all, f...)
	}
	var tokens []benchmarks.TokenFigures
	if strings.Contains(what, "hsm") {
		var f []benchmarks.Figure
		var err error
		if tokens, f, err = hsm(ctx, o); err != nil {
			return err
		}
		all = append(all, f...)
	}
	fmt.Println(benchmarks.Machine())
	if tokens != nil {
		if err := benchmarks.PrintTokens(os.Stdout, tokens); err != nil {
			return err
		}
		fmt.Println()
	}
	return benchmarks.Print(os.Stdout, all)
}

// hsm measures every token by itself, the process border, and clusters on three kinds of token. A load on a token takes a tenth of one on
// nodes.
func hsm(ctx context.Context, o benchmarks.NodeOptions) ([]benchmarks.TokenFigures, []benchmarks.Figure, error) {
	tell := func(what string) { fmt.Fprintln(os.Stderr, "measuring", what) }
	tokens, err := benchmarks.Tokens(ctx, o.Program, o.Duration/10, tell)
	if err != nil {
		return nil, nil, err
	}
	tell("the driver process")
	figures, err := benchmarks.PluginOverhead(ctx, o.Program, o.Duration/3)
	if err != nil {
		return nil, nil, err
	}
	o.Clients = benchmarks.TokenClients
	f, err := benchmarks.TokenNodes(ctx, o, 3, 5, tell)
	return tokens, append(figures, f...), err
}
