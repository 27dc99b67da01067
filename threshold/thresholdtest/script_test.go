package thresholdtest_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/threshold/schemes"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden traces")

// Goal: what goes over the wire and what comes of it changes only on purpose. Method: golden traces; go test -rewrite makes
// them anew, and the change is read in the diff.
func TestGoldenTraces(t *testing.T) {
	for _, s := range schemes.All() {
		got, err := thresholdtest.Script(s, 1)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join("testdata", string(s.ID())+".trace")
		if *rewrite {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: the ceremonies differ from %s; if that is meant, run go test ./threshold/thresholdtest -run TestGoldenTraces "+
				"-rewrite and read the diff", s.ID(), name)
		}
	}
}
