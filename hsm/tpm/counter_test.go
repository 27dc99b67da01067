package tpm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: a number that somebody wrote is not taken for a count. Method: with the owner's authorization tpm2-tools put an ordinary NV index
// in the place of the counter's, of the same size and with a number of their choice.
func TestCounterExchanged(t *testing.T) {
	const index = "0x0184d102" // of the counter of a stocked TPM
	s := emulator(t)
	must(t, stocked(t, s.URI()).Close())
	number := filepath.Join(t.TempDir(), "number")
	must(t, os.WriteFile(number, []byte{0, 0, 0, 0, 0, 0, 0, 1}, 0o600))
	tool(t, s, "tpm2_nvundefine", index)
	tool(t, s, "tpm2_nvdefine", index, "-C", "o", "-s", "8", "-a", "ownerwrite|ownerread|authread|no_da")
	tool(t, s, "tpm2_nvwrite", index, "-C", "o", "-i", number)
	tok := open(t, s.URI(), hsm.Options{})
	v, err := tok.Read(t.Context(), "count")
	expect(t, err, hsm.ErrKeyType, "is no counter")
	if v != 0 {
		t.Errorf("it reads %d", v)
	}
	_, err = tok.Increment(t.Context(), "count")
	expect(t, err, hsm.ErrKeyType, "is no counter")
}
