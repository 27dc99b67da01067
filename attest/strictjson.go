package attest

import (
	"fmt"

	"github.com/luxfi/mpcd/internal/canon"
)

// MaxJSON is the largest receipt or roster this package reads, in bytes.
const MaxJSON = 4 << 20

// unmarshalStrict reads JSON as canon.UnmarshalJSON does, up to MaxJSON. ErrMalformed.
func unmarshalStrict(b []byte, v any) error {
	if len(b) > MaxJSON {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMalformed, len(b), MaxJSON)
	}
	if err := canon.UnmarshalJSON(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
