package threshold_test

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/internal/docs"
)

// Goal: the table of doc.go, from a step of PROTOCOLS to its function and test, is complete and true. Method: hold it to page and source.
func TestTrace(t *testing.T) {
	docs.Trace{
		Dir: "threshold",
		Packages: map[string]string{"canon": "internal/canon", "dkg": "threshold/dkg", "frost": "threshold/frost",
			"thresholdtest": "threshold/thresholdtest"},
		Sections: []string{"1.2", "1.3", "1.4", "1.6"},
	}.Hold(t, os.DirFS(".."))
}
