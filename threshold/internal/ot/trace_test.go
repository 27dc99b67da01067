package ot

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/internal/docs"
)

// Goal: the table of doc.go, from a step of PROTOCOLS to its function and test, is complete and true. Method: hold it to page and source.
func TestTrace(t *testing.T) {
	docs.Trace{Dir: "threshold/internal/ot", Sections: []string{"A.2", "A.3.2"}}.Hold(t, os.DirFS("../../.."))
}
