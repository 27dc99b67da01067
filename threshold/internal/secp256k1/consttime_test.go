// Goal: nobody adds a branch or an index on a secret by accident. Method: package consttime walks the syntax of every function that is
// not listed as public. What the compiler makes of it was read in the assembly; this test keeps the source such that it can be read.
package secp256k1

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1/consttime"
)

// branchesAllowed names the functions that may branch, and on what.
var branchesAllowed = map[string]string{
	"FieldElement.SetBytes":      "length; whether the bytes are canonical",
	"Scalar.SetBytes":            "length; whether the bytes are canonical",
	"Scalar.Invert":              "index into a table by the nibbles of n - 2",
	"Point.SetBytes":             "length and first byte",
	"Point.SetUncompressedBytes": "length, first byte, whether the bytes are a point",
	"Point.lift":                 "whether the bytes are a point",
	"mustBePoints":               "whether a caller forgot to make a point",
	"window5":                    "index of the window",
	"half.window4":               "index of the window",
	"rootOf":                     "a constant",
}

// publicFiles hold functions whose every input is public.
var publicFiles = []string{"vartime.go", "selftest.go"}

func TestNoBranchOnSecrets(t *testing.T) {
	breaches, err := consttime.Check(os.DirFS("."), consttime.Rules{Allowed: branchesAllowed, PublicFiles: publicFiles})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}
