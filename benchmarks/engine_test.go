package benchmarks

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// Goal: what is measured works for every scheme, and no promised engine figure is missing. Method: one run of each measurement,
// with the engine's own checks; the names are held against the targets.
func TestEngine(t *testing.T) {
	names := map[string]bool{}
	for _, s := range schemes.All() {
		name := SchemeName(s)
		shares, err := EngineKey(s, 3, 5)
		if err != nil {
			t.Fatal(err)
		}
		if shares, err = EngineRefresh(s, shares); err != nil {
			t.Fatal(err)
		}
		p, ok := s.(PairedPooler)
		if !ok {
			if err := EngineSign(s, shares, 3); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := EngineSign(s, shares, 1); err == nil {
			t.Errorf("%s signs without its pair state", name)
		}
		e, err := NewEngineECDSA(p, shares)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Interactive(3); err != nil {
			t.Fatal(err)
		}
		pres, err := e.presign(3, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Presigned(pres, 0, 1); err != nil {
			t.Fatal(err)
		}
		if err := e.Presigned(pres, 1, 3); err != nil {
			t.Fatal(err)
		}
		if err := e.Presigned(pres, 2, 3); !errors.Is(err, threshold.ErrBurnt) {
			t.Errorf("a presignature is used twice: %v", err)
		}
		for _, m := range e.measurements() {
			names["engine "+name+" "+m.what+" 3-of-5"] = true
		}
	}
	for _, target := range Targets {
		if strings.HasPrefix(target.Name, "engine ecdsa sign") && !names[target.Name] {
			t.Errorf("nothing measures %q, but %v", target.Name, slices.Sorted(maps.Keys(names)))
		}
	}
}

// Goal: a figure is the time of f alone, per unit, without its first call. Method: a clock that prepare and f move.
func TestFigure(t *testing.T) {
	var now time.Duration
	clock := func() time.Duration { return now }
	first := true
	f, err := measurement{"x", 2, func() error { now += time.Minute; return nil }, func() error {
		if first {
			now += time.Minute
		}
		first = false
		now += 200 * time.Millisecond
		return nil
	}}.figure("name", clock)
	if want := (Figure{"name", 100, "CPU-ms", "10 runs, summed over the parties"}); err != nil || f != want {
		t.Errorf("%+v, %v, want %+v", f, err, want)
	}
	wrong := errors.New("wrong")
	for _, m := range []measurement{{"x", 1, func() error { return wrong }, nil}, {"x", 1, nil, func() error { return wrong }}} {
		if _, err := m.figure("name", clock); !errors.Is(err, wrong) {
			t.Errorf("%v", err)
		}
	}
}

// Goal: the oblivious transfer's benchmarks give every figure that is promised of them. Method: run each once, as a child; a
// cancelled run and a wrong package are errors.
func TestEngineTransfer(t *testing.T) {
	// The go command learns here that a cached result depends on them.
	if _, err := os.ReadFile("../threshold/internal/ot/bench_test.go"); err != nil {
		t.Fatal(err)
	}
	figures, err := EngineTransfer(t.Context(), "1x")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range figures {
		if f.Value <= 0 {
			t.Errorf("%+v", f)
		}
		if _, ok := Find(f.Name); ok {
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of the figures have a target, want 2: %+v", found, figures)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := EngineTransfer(ctx, "1x"); err == nil {
		t.Error("a cancelled run has figures")
	}
	if _, err := runGoBench(t.Context(), otPackage+"/none", ".", "1x"); err == nil || !strings.Contains(err.Error(), otPackage+"/none") {
		t.Errorf("%v", err)
	}
}

// Goal: only lines of benchmarks are read. Method: what `go test` printed, and damaged lines.
func TestParseGoBench(t *testing.T) {
	got := parseGoBench("goos: linux\nBenchmarkVectorOLE-2   \t    2107\t    639546 ns/op\t         0.5372 cpu-ms/op\t   62756 " +
		"B/op\nBenchmarkShort-2 12\n" +
		"Benchmark\nBenchmarkWord-2 1 x ns/op 3 y\nPASS\nok  \tpkg\t2.873s\n")
	want := map[string]map[string]float64{"VectorOLE": {"ns/op": 639546, "cpu-ms/op": 0.5372, "B/op": 62756}, "Word": {"y": 3}}
	if !maps.EqualFunc(got, want, maps.Equal) {
		t.Errorf("%v", got)
	}
}

// Goal: the table shows target and verdict, in both directions. Method: values on each side of a bound.
func TestPrint(t *testing.T) {
	for _, c := range []struct {
		name  string
		value float64
		want  string
	}{
		{"engine ecdsa sign 3-of-5", 8, Met}, {"engine ecdsa sign 3-of-5", 8.1, Failed},
		{"engine ecdsa pair setup 3-of-5", 900, Missed},
		{"node ed25519 3-of-5 sustained", 800, Met}, {"node ed25519 3-of-5 sustained", 799, Missed},
		{"node ed25519 3-of-5 sustained", 399, Failed},
		{"node ecdsa 3-of-5 sign p99", 121, Missed},
		{"engine of nobody", 1, ""},
	} {
		if got := (Figure{Name: c.name, Value: c.value}).Verdict(); got != c.want {
			t.Errorf("%s of %g: %q, want %q", c.name, c.value, got, c.want)
		}
	}
	var b bytes.Buffer
	if err := Print(&b, []Figure{{"engine ecdsa sign 3-of-5", 4.2712, "CPU-ms", "235 runs"}, {"node ed25519 3-of-5 sustained", 1270.4, "1/s",
		"64 clients"}}); err != nil {
		t.Fatal(err)
	}
	want := `FIGURE                         MEASURED     TARGET  VERDICT  HOW
engine ecdsa sign 3-of-5       4.27 CPU-ms  ≤ 8     met      235 runs
node ed25519 3-of-5 sustained  1270 1/s     ≥ 800   met      64 clients
`
	if b.String() != want {
		t.Errorf("\n%s", b.String())
	}
}
