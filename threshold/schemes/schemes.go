// Package schemes is the list of what this engine can sign with. What a binary can do stands here, not in registrations.
package schemes

import (
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/frost"
)

// All returns every scheme of this build.
func All() []threshold.Scheme { return []threshold.Scheme{frost.Ed25519, frost.Taproot, DKLs23} }

// ByID finds a scheme by its identifier.
func ByID(id threshold.SchemeID) (threshold.Scheme, error) {
	for _, s := range All() {
		if s.ID() == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("schemes: no scheme %q in this build, there are %v", id, ids())
}

// For finds the scheme that a request names by curve, "ed25519" or "secp256k1", and protocol, "frost" or "" for the
// curve's usual one.
func For(curve, protocol string) (threshold.Scheme, error) {
	switch {
	case curve == "ed25519" && (protocol == "frost" || protocol == ""):
		return ByID(threshold.FrostEd25519)
	case curve == "secp256k1" && protocol == "frost":
		return ByID(threshold.FrostTaproot)
	case curve == "secp256k1" && (protocol == "" || protocol == "dkls23" || protocol == "lss"):
		return DKLs23, nil
	case curve == "secp256k1" && protocol == "cggmp21":
		return nil, fmt.Errorf("schemes: cggmp21 is not in this build; for ECDSA ask for protocol \"dkls23\", for Taproot keys (BIP-340) for \"frost\"")
	case curve != "ed25519" && curve != "secp256k1":
		return nil, fmt.Errorf("schemes: unknown curve %q, want ed25519 or secp256k1", curve)
	}
	return nil, fmt.Errorf("schemes: no protocol %q on curve %s in this build", protocol, curve)
}

func ids() []threshold.SchemeID {
	var out []threshold.SchemeID
	for _, s := range All() {
		out = append(out, s.ID())
	}
	return out
}
