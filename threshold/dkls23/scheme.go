package dkls23

import (
	"errors"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkg"
	"github.com/luxfi/mpcd/threshold/internal/group"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// ID is the scheme of this package.
const ID threshold.SchemeID = "dkls23-secp256k1"

// protocol is in the context of every session. Raise the number with any change of a message: parties of two versions then find out in
// OPEN and retry, instead of banning each other for messages they cannot read.
const protocol = string(ID) + "/1"

// Scheme is threshold ECDSA on secp256k1 by DKLs23. A group key is 33 bytes (compressed SEC 1), a message the 32-byte digest, a
// commitment 33 bytes (R_j), a signature share 64 bytes (w ‖ u), a signature 64 bytes (r ‖ s, big-endian, low s) with its
// recovery ID.
//
// The zero value makes and refreshes keys, observes, combines and verifies; presigning as a signer needs pair state: WithPairState.
type Scheme struct{ pairs *pairState }

var (
	_ threshold.Pairer  = Scheme{}
	_ threshold.Pooler  = Scheme{}
	_ threshold.Deriver = Scheme{}
	_ threshold.Judge   = Scheme{}
)

// ID implements threshold.Scheme.
func (Scheme) ID() threshold.SchemeID { return ID }

// Kind implements threshold.Scheme.
func (Scheme) Kind() threshold.Kind { return threshold.ECDSA }

// Protocol implements threshold.Scheme.
func (Scheme) Protocol() string { return "dkls23" }

// WithPairState implements threshold.Pairer.
func (Scheme) WithPairState(p threshold.PairState) (threshold.Scheme, error) {
	s, ok := p.(*pairState)
	if !ok {
		return nil, errors.New("dkls23: pair state of another scheme")
	}
	return Scheme{s}, nil
}

// ParsePairState implements threshold.Pairer.
func (Scheme) ParsePairState(b []byte) (threshold.PairState, error) {
	p, err := parsePairState(b)
	if err != nil {
		return nil, err // a nil *pairState would be no nil PairState
	}
	return p, nil
}

// MaxBatch implements threshold.Scheme.
func (Scheme) MaxBatch() int { return MaxBatch }

// String names the scheme, without its pair state.
func (Scheme) String() string { return string(ID) }

// Format is String for every verb: pair state is secret.
func (x Scheme) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, x.String()) }

func params() dkg.Params {
	return dkg.Params{Group: group.Secp256k1, Kind: threshold.ECDSA.ID}
}

// Keygen implements threshold.Scheme. It contains no oblivious transfer: pair state is the committee's, not the key's.
func (Scheme) Keygen(s threshold.Setup, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewKeygen(params(), s, rand)
}

// Refresh implements threshold.Scheme. The caller runs the pair setup again with it (PROTOCOLS A.3.7): a new key epoch under old pair
// state lets whoever steals that state unmask a share of the old epoch.
func (Scheme) Refresh(s threshold.Setup, share *threshold.KeyShare, rand io.Reader) (*threshold.Session[*threshold.KeyShare], error) {
	return dkg.NewRefresh(params(), s, share, rand)
}

// Verify implements threshold.Scheme. It takes signatures of 64 bytes with low s only.
func (s Scheme) Verify(groupKey []byte, tweaks []threshold.Tweak, message, sig []byte) error {
	_, err := s.RecoveryID(groupKey, tweaks, message, sig)
	return err
}

// RecoveryID implements threshold.Recoverer.
func (Scheme) RecoveryID(groupKey []byte, tweaks []threshold.Tweak, message, sig []byte) (int, error) {
	m, err := digestScalar(message)
	if err != nil {
		return 0, err
	}
	var key secp256k1.Point
	if _, err := key.SetBytes(groupKey); err != nil {
		return 0, fmt.Errorf("dkls23: group key: %w", err)
	}
	child, _, err := tweakedKey(&key, tweaks)
	if err != nil {
		return 0, err
	}
	if len(sig) != signatureLen {
		return 0, fmt.Errorf("dkls23: signature of %d bytes, want %d", len(sig), signatureLen)
	}
	var r, s secp256k1.Scalar
	if _, err := r.SetBytes(sig[:32]); err != nil {
		return 0, errVerify
	}
	if _, err := s.SetBytes(sig[32:]); err != nil || s.IsHigh() == 1 {
		return 0, errVerify
	}
	id, ok := recoveryID(child, m, &r, &s)
	if !ok {
		return 0, errVerify
	}
	return id, nil
}
