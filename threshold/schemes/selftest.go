package schemes

import (
	"github.com/luxfi/mpcd/threshold/internal/ot"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// SelfTest runs the known answers of the arithmetic beneath the schemes: curve, tables, hash to curve, oblivious transfer. A
// program whose machine fails it must not go on. It takes a few milliseconds.
func SelfTest() error {
	if err := secp256k1.SelfTest(); err != nil {
		return err
	}
	return ot.SelfTest()
}
