package dkls23

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// hardened is the first index that needs the private key (BIP 32).
const hardened = 1 << 31

var errChild = errors.New("dkls23: this index has no child key (probability 2^-127); use the next one")

// Derive implements threshold.Deriver: it follows a path of unhardened indexes below the key by BIP 32's public derivation (CKDpub).
// pub has 33 bytes (compressed SEC 1). A hardened index, 2³¹ and above, has no public derivation and is refused.
func (Scheme) Derive(key threshold.KeyInfo, path []uint32) (pub []byte, chain [32]byte, tweaks []threshold.Tweak, err error) {
	none := [32]byte{}
	if len(path) > maxTweaks {
		return nil, none, nil, errTweakCount
	}
	var point secp256k1.Point
	if _, err := point.SetBytes(key.GroupKey); err != nil {
		return nil, none, nil, fmt.Errorf("dkls23: group key: %w", err)
	}
	pub, chain = point.Bytes(), key.ChainCode
	var tau secp256k1.Scalar
	for _, index := range path {
		if index >= hardened {
			return nil, none, nil, fmt.Errorf("dkls23: index %d' is hardened: nobody holds the private key that it needs; use indexes below 2^31",
				index-hardened)
		}
		mac := hmac.New(sha512.New, chain[:])
		mac.Write(pub)
		mac.Write(binary.BigEndian.AppendUint32(nil, index))
		sum := mac.Sum(nil)
		var step secp256k1.Scalar
		if _, err := step.SetBytes(sum[:32]); err != nil {
			return nil, none, nil, errChild
		}
		point.Add(&point, new(secp256k1.Point).ScalarBaseMult(&step))
		if point.IsIdentity() == 1 {
			return nil, none, nil, errChild
		}
		tau.Add(&tau, &step)
		pub, chain = point.Bytes(), [32]byte(sum[32:])
	}
	if len(path) > 0 {
		if tau.IsZero() == 1 {
			return nil, none, nil, errChild
		}
		tweaks = []threshold.Tweak{{T: [32]byte(tau.Bytes())}}
	}
	return pub, chain, tweaks, nil
}
