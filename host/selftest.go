package host

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// knownAnswer is a signature that somebody else made: the scheme must accept it, and refuse it for another message.
type knownAnswer struct {
	scheme            threshold.SchemeID
	source            string
	key, message, sig string
}

var knownAnswers = []knownAnswer{
	{
		threshold.FrostEd25519, "RFC 8032 §7.1, TEST 3",
		"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
		"af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
	},
	{
		threshold.FrostTaproot, "BIP 340, vector 1",
		"dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
		"243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
		"6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de33418906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a",
	},
	{
		dkls23.ID, "RFC 6979 with secp256k1 and SHA-256, key 1, \"Satoshi Nakamoto\"",
		"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
		"a0dc65ffca799873cbea0ac274015b9526505daaaed385155425f7337704883e",
		"934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
	},
}

// selfTest runs the known answers of this process's arithmetic; a node whose arithmetic is wrong must not start.
func selfTest() error {
	if got := sha256.Sum256([]byte("abc")); hex.EncodeToString(got[:]) != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		return errors.New("SHA-256 does not give the answer of FIPS 180-4")
	}
	if err := schemes.SelfTest(); err != nil {
		return err
	}
	tested := map[threshold.SchemeID]bool{}
	for _, k := range knownAnswers {
		if err := k.run(); err != nil {
			return fmt.Errorf("%s (%s): %w", k.scheme, k.source, err)
		}
		tested[k.scheme] = true
	}
	for _, s := range schemes.All() {
		if !tested[s.ID()] {
			return fmt.Errorf("%s has no known answer in this build", s.ID())
		}
	}
	return nil
}

func (k knownAnswer) run() error {
	s, err := schemes.ByID(k.scheme)
	if err != nil {
		return err
	}
	key, message, sig := unhex(k.key), unhex(k.message), unhex(k.sig)
	if err := s.Verify(key, nil, message, sig); err != nil {
		return fmt.Errorf("a right signature is refused: %w", err)
	}
	message[len(message)-1] ^= 1
	if s.Verify(key, nil, message, sig) == nil {
		return errors.New("a wrong signature is accepted")
	}
	return nil
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err) // our own constants
	}
	return b
}
