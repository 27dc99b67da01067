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

// Child is a key below the wallet key.
type Child struct {
	PublicKey []byte   // 33 bytes, compressed SEC 1
	ChainCode [32]byte // of the child
	// Tweaks make a signature of the wallet key one of the child: they go into SignRequest. None for the empty path.
	Tweaks []threshold.Tweak
}

// Derive follows a path of unhardened indexes below the wallet key by BIP 32's public derivation (CKDpub). A hardened index,
// 2³¹ and above, has no public derivation and is refused.
func Derive(key threshold.KeyInfo, path []uint32) (Child, error) {
	if len(path) > maxTweaks {
		return Child{}, errTweakCount
	}
	var point secp256k1.Point
	if _, err := point.SetBytes(key.GroupKey); err != nil {
		return Child{}, fmt.Errorf("dkls23: group key: %w", err)
	}
	c := Child{PublicKey: point.Bytes(), ChainCode: key.ChainCode}
	var tau secp256k1.Scalar
	for _, index := range path {
		if index >= hardened {
			return Child{}, fmt.Errorf("dkls23: index %d' is hardened: nobody holds the private key that it needs; use indexes below 2^31", index-hardened)
		}
		mac := hmac.New(sha512.New, c.ChainCode[:])
		mac.Write(c.PublicKey)
		mac.Write(binary.BigEndian.AppendUint32(nil, index))
		sum := mac.Sum(nil)
		var step secp256k1.Scalar
		if _, err := step.SetBytes(sum[:32]); err != nil {
			return Child{}, errChild
		}
		point.Add(&point, new(secp256k1.Point).ScalarBaseMult(&step))
		if point.IsIdentity() == 1 {
			return Child{}, errChild
		}
		tau.Add(&tau, &step)
		c.PublicKey, c.ChainCode = point.Bytes(), [32]byte(sum[32:])
	}
	if len(path) > 0 {
		if tau.IsZero() == 1 {
			return Child{}, errChild
		}
		c.Tweaks = []threshold.Tweak{{T: [32]byte(tau.Bytes())}}
	}
	return c, nil
}
