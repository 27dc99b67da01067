package benchmarks

import (
	"flag"
	"testing"
	"time"
)

var (
	gate     = flag.Bool("gate", false, "measure, and fail below the floors")
	program  = flag.String("mpcd", "../bin/mpcd", "the program, for node figures")
	duration = flag.Duration("duration", 10*time.Second, "of each load")
)

// Goal: no figure is below its floor. Method: with -gate, measure everything and compare; without it, only that every target
// makes sense, because timing does not belong in tests.
func TestGate(t *testing.T) {
	seen := map[string]bool{}
	for _, target := range Targets {
		if seen[target.Name] || target.Aim <= 0 || target.Source == "" || (target.Floor > 0 && target.Misses(target.Aim, target.Floor)) {
			t.Errorf("target %+v: repeated, without aim or source, or with an aim below its floor", target)
		}
		seen[target.Name] = true
	}
	if !*gate {
		return
	}
	figures, err := AllEngines(t.Context(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{{3, 5}, {2, 3}} {
		f, err := Node(t.Context(), NodeOptions{Program: *program, Duration: *duration, Clients: 64}, c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		figures = append(figures, f...)
	}
	for _, f := range []func() ([]Figure, error){
		func() ([]Figure, error) { return PluginOverhead(t.Context(), *program, *duration) },
		func() ([]Figure, error) {
			return TokenNodes(t.Context(), NodeOptions{Program: *program, Duration: *duration, Clients: TokenClients}, 3, 5, func(string) {})
		},
	} {
		more, err := f()
		if err != nil {
			t.Fatal(err)
		}
		figures = append(figures, more...)
	}
	measured := 0
	for _, f := range figures {
		t.Logf("%s: %.3g %s (%s)", f.Name, f.Value, f.Unit, f.Note)
		if target, ok := Find(f.Name); ok && target.Floor > 0 {
			measured++
			if target.Misses(f.Value, target.Floor) {
				t.Errorf("%s: %.3g %s, floor %g", f.Name, f.Value, f.Unit, target.Floor)
			}
		}
	}
	floors := 0
	for _, target := range Targets {
		if target.Floor > 0 {
			floors++
		}
	}
	if measured != floors {
		t.Errorf("%d figures have a floor, %d of them were measured", floors, measured)
	}
}
