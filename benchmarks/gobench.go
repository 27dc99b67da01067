package benchmarks

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// otPackage cannot be imported from here, on purpose: only threshold/ sees it. Its own benchmarks measure it.
const otPackage = "github.com/luxfi/mpcd/threshold/internal/ot"

// EngineTransfer runs the benchmarks of the oblivious transfer in a child, `go test`, which must find the module's source. benchtime is
// how long each runs, in the form of its flag.
func EngineTransfer(ctx context.Context, benchtime string) ([]Figure, error) {
	b, err := runGoBench(ctx, otPackage, "^Benchmark(VectorOLE|InnerProduct)$", benchtime)
	if err != nil {
		return nil, err
	}
	var out []Figure
	for _, f := range []struct{ name, bench, metric, unit, note string }{
		{"engine ecdsa vector OLE", "VectorOLE", "cpu-ms/op", "CPU-ms", "a party, for each peer and signature: once as Bob, once as Alice"},
		{"engine ecdsa inner product", "InnerProduct", "ours-cpu-us", "CPU-µs", "416 products of the gadget sum, reduced once"},
		{"engine ecdsa inner product, naive", "InnerProduct", "naive-cpu-us", "CPU-µs", "the same with decred's ModNScalar, Mul2 and Add"},
		{"engine ecdsa inner product, naive / ours", "InnerProduct", "x-naive", "×", "both in turns of a millisecond"},
	} {
		v, ok := b[f.bench][f.metric]
		if !ok {
			return nil, fmt.Errorf("benchmarks: %s: Benchmark%s tells no %s", otPackage, f.bench, f.metric)
		}
		out = append(out, Figure{f.name, v, f.unit, f.note})
	}
	return out, nil
}

// runGoBench runs benchmarks of one package. The child, and what it starts, dies with ctx.
func runGoBench(ctx context.Context, pkg, pattern, benchtime string) (map[string]map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", benchtime, pkg)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("benchmarks: go test %s: %w\n%s%s", pkg, err, out, errs.Bytes())
	}
	return parseGoBench(string(out)), nil
}

// parseGoBench reads the lines of `go test -bench`, "BenchmarkX-2 1000 12.5 ns/op 3 cpu-ms/op", into benchmark and unit. The
// form is golang.org/design/14313-benchmark-format; lines of another are not ours.
func parseGoBench(out string) map[string]map[string]float64 {
	all := map[string]map[string]float64{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(f[0], "Benchmark"), "-")
		metrics := map[string]float64{}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				metrics[f[i+1]] = v
			}
		}
		all[name] = metrics
	}
	return all
}
