//go:build !linux

package plugin

import (
	"fmt"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

type pinPage struct{}

func newPINPage(pin []byte) (*pinPage, error) {
	secret.Wipe(pin)
	return nil, fmt.Errorf("hsm plugin: %w: only Linux has files without a name; use pin-source=file:", hsm.ErrUnsupported)
}

func (*pinPage) source() string { return "" }

func (*pinPage) wipe() {}
