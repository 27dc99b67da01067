package dkls23

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/internal/docs"
)

// Goal: the table of doc.go, from a step of PROTOCOLS to its function and test, is complete and true. Method: hold it to the page and the
// source; what a row of a check names among the lies is caught by that check.
func TestTrace(t *testing.T) {
	docs.Trace{
		Dir: "threshold/dkls23",
		Packages: map[string]string{"ot": "threshold/internal/ot", "threshold": "threshold", "canon": "internal/canon",
			"transport": "appliance/transport", "appliance": "appliance"},
		Sections: []string{"A.2", "A.3"},
		Whole:    true,
		Subtest: func(step, test, sub string) string {
			if test != "TestLies" || step[0] != 'C' {
				return ""
			}
			if i := slices.IndexFunc(lies, func(l lie) bool { return l.name == sub }); i < 0 || lies[i].check != step {
				return fmt.Sprintf("the lie %q is not caught by this check", sub)
			}
			return ""
		},
	}.Hold(t, os.DirFS("../.."))
}
