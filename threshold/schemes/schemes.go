// Package schemes is the list of what this engine can sign with, and how requests name it. What a binary can do stands here, not in
// registrations.
package schemes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/frost"
)

// All returns every scheme of this build. Of one curve, the usual one stands first.
func All() []threshold.Scheme {
	return []threshold.Scheme{frost.Ed25519, dkls23.Scheme{}, frost.Taproot}
}

// ByID finds a scheme by its identifier.
func ByID(id threshold.SchemeID) (threshold.Scheme, error) {
	for _, s := range All() {
		if s.ID() == id {
			return s, nil
		}
	}
	return nil, fmt.Errorf("schemes: no scheme %q in this build, there are %v", id, ids())
}

// planned are the names of curves and protocols that are not in this build yet.
var planned = []string{"bls12-381", "bls", "cggmp21", "lss", "ringtail"}

// For finds the scheme that a request for a key names by curve and protocol; without a protocol it is the curve's usual one. No
// protocol is ever taken for another. The error is a *threshold.NoSchemeError.
func For(curve, protocol string) (threshold.Scheme, error) {
	name := protocol
	known := slices.Contains(planned, name)
	var curves, protocols []string
	for _, s := range All() {
		known = known || name == s.Protocol()
		if !slices.Contains(curves, s.Kind().Curve) {
			curves = append(curves, s.Kind().Curve)
		}
		switch {
		case s.Kind().Curve != curve:
		case name == s.Protocol() || name == "":
			return s, nil
		default:
			protocols = append(protocols, fmt.Sprintf("%s (%s)", s.Protocol(), s.Kind().Name))
		}
	}
	e := &threshold.NoSchemeError{Field: "protocol", Known: known}
	e.Next = "ask for protocol " + strings.Join(protocols, " or ") + ", or leave protocol out"
	if protocols == nil {
		e = &threshold.NoSchemeError{Field: "curve", Known: slices.Contains(planned, curve), Next: "use curve " + strings.Join(curves, " or ")}
		protocol = curve
	}
	switch {
	case !e.Known:
		e.What = fmt.Sprintf("%s %q is unknown", e.Field, protocol[:min(len(protocol), 32)])
	case e.Field == "curve":
		e.What = "curve " + curve + " is not in this build"
	default:
		e.What = fmt.Sprintf("protocol %s is not in this build for curve %s, and no other one answers in its name", protocol, curve)
	}
	return nil, e
}

func ids() []threshold.SchemeID {
	var out []threshold.SchemeID
	for _, s := range All() {
		out = append(out, s.ID())
	}
	return out
}
