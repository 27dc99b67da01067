// Goal: nobody adds a branch or an index on a share, a nonce or an OLE output by accident. Method: package consttime walks the syntax of
// the files that compute with them; every function that branches is listed with what on, which must be public.
package dkls23

import (
	"os"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1/consttime"
)

var branchesAllowed = map[string]string{
	"Scheme.Combine":     "form and order of shares, which are public by then",
	"Scheme.NewSigner":   "scheme of the share's record",
	"Scheme.VerifyShare": "form of a share",
	"binding.equal":      "the request",
	"consistent":         "whether C11 or C12 holds",
	"decodeShare":        "form of a share",
	"judgeOpening":       "whether C3 and C9 hold of a broadcast",
	"pair.close":         "state of the pair",
	"pair.enter":         "state of the pair and number of its users",
	"pair.judge":         "kind of an error",
	"pair.leave":         "number of users",
	"pair.refusal":       "state of the pair",
	"pair.use":           "state of the pair",
	"pair.zeroShare":     "order of the parties",
	"preparedOf":         "public part of a presignature",
	"presigning.answer":  "two public points",
	"presigning.begin":   "whether we observe",
	"presigning.peer":    "number of a party",
	"presigning.receive": "lengths; whether C11 and C12 hold",
	"presigning.sum":     "order of the signers; whether C13 holds; whether the presignature is bound",
	"request.signature":  "the sums, which are public, and whether C15 holds",
	"requestOf":          "the request",
	"round1.Advance":     "whether we observe; numbers of parties",
	"round1.Check":       "whether we observe",
	"round1.Erase":       "whether the round was ended",
	"round2.Check":       "whether we observe; number of a party",
	"secrets.Burn":       "state of the presignature",
	"secrets.reserve":    "state of the presignature",
	"secrets.settle":     "state of the presignature",
	"secrets.take":       "state of the presignature",
	"signer.SignShare":   "the request and whether it is what was agreed on",
	"usable":             "r of a public point",
}

// publicFiles compute with nothing secret, or only move it.
var publicFiles = []string{"agree.go", "bytes.go", "ecdsa.go", "hd.go", "judge.go", "keyshare.go", "presign.go", "pairstate.go",
	"scheme.go", "setup.go", "stream.go"}

// publicNames count entries, signers and bytes, wherever they stand as an index.
var publicNames = []string{"i"}

func TestNoBranchOnSecrets(t *testing.T) {
	breaches, err := consttime.Check(os.DirFS("."), consttime.Rules{Allowed: branchesAllowed, PublicFiles: publicFiles,
		PublicNames: publicNames})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}
