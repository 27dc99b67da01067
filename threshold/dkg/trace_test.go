package dkg

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/internal/docs"
)

// Goal: the table of doc.go, from a step of PROTOCOLS to its function and test, is complete and true. Method: hold it to page and source.
func TestTrace(t *testing.T) {
	docs.Trace{
		Dir: "threshold/dkg",
		Packages: map[string]string{"canon": "internal/canon", "threshold": "threshold", "poly": "threshold/internal/poly",
			"group": "threshold/internal/group"},
		Sections: []string{"B.3", "B.4"},
	}.Hold(t, os.DirFS("../.."))
}
