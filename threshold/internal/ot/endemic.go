package ot

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// The endemic oblivious transfer of Masny and Rindal (ePrint 2019/706, figure 8) on secp256k1, 128 at once: B gets two random keys for
// each, A the one of them that her choice bit names. A is the base receiver here, and the sender of the extension.

// oblivious is what A keeps between her message and the answer.
type oblivious struct {
	choice [baseOTs]byte // c, 0 or 1
	a      [baseOTs]secp256k1.Scalar
}

func (o *oblivious) wipe() { *o = oblivious{} }

// baseKeys are the keys of all transfers: for B both of each, for A the chosen one.
type baseKeys [baseOTs][seedLen]byte

// newOblivious makes A's message: R_{1-c} a random point that nobody knows the logarithm of, R_c = a·G - Hc_c(R_{1-c}). The bit c
// chooses by selection only; the spec's second hash, made so that the time does not tell c, has nothing to hide then.
func newOblivious(sid *[32]byte, rand io.Reader) (*oblivious, []byte, error) {
	o := new(oblivious)
	var choices [baseOTs / 8]byte
	if _, err := io.ReadFull(rand, choices[:]); err != nil {
		return nil, nil, randError(err)
	}
	other := make([]*secp256k1.Point, baseOTs)
	for i := range o.choice {
		o.choice[i] = choices[i/8] >> (i % 8) & 1
		if err := randomScalar(&o.a[i], rand); err != nil {
			return nil, nil, err
		}
		var sample [32]byte
		if _, err := io.ReadFull(rand, sample[:]); err != nil {
			return nil, nil, randError(err)
		}
		other[i] = new(secp256k1.Point).HashToCurve(sample[:], tagOblivious)
	}
	clear(choices[:])
	otherBytes := secp256k1.BatchBytes(other)

	chosen := make([]*secp256k1.Point, baseOTs)
	for i := range chosen {
		chosen[i] = new(secp256k1.Point).ScalarBaseMult(&o.a[i])
		chosen[i].Sub(chosen[i], endemicHash(sid, i, o.choice[i], otherBytes[i]))
	}
	chosenBytes := secp256k1.BatchBytes(chosen)

	msg := make([]byte, MsgSetup1Len)
	for i := range baseOTs {
		r0, r1 := pairOf(msg, i)
		selectBytes(r0, otherBytes[i], chosenBytes[i], o.choice[i])
		selectBytes(r1, chosenBytes[i], otherBytes[i], o.choice[i])
	}
	return o, msg, nil
}

// respondOblivious makes B's answer to msg1 into out, and both keys of every transfer.
func respondOblivious(sid *[32]byte, msg1, out []byte, rand io.Reader) (keys *[2]baseKeys, err error) {
	keys = new([2]baseKeys)
	t := make([]secp256k1.Scalar, 2*baseOTs)
	defer clear(t)
	answers := make([]*secp256k1.Point, 2*baseOTs)
	shared := make([]*secp256k1.Point, 2*baseOTs)
	for i := range baseOTs {
		r0, r1 := pairOf(msg1, i)
		for b, r := range [2][2][]byte{{r0, r1}, {r1, r0}} {
			p, err := new(secp256k1.Point).SetBytes(r[0])
			if err != nil {
				return nil, malformed("point R_%d of base transfer %d: %v", b, i, err)
			}
			p.Add(p, endemicHash(sid, i, byte(b), r[1]))
			if p.IsIdentity() == 1 {
				return nil, malformed("key share A_%d of base transfer %d is the identity", b, i)
			}
			k := 2*i + b
			if err := randomScalar(&t[k], rand); err != nil {
				return nil, err
			}
			answers[k] = new(secp256k1.Point).ScalarBaseMult(&t[k])
			shared[k] = p.ScalarMult(&t[k], p)
		}
	}
	answerBytes, sharedBytes := secp256k1.BatchBytes(answers), secp256k1.BatchBytes(shared)
	for i := range baseOTs {
		r0, r1 := pairOf(msg1, i)
		for b := range 2 {
			k := 2*i + b
			copy(out[k*point:], answerBytes[k])
			keys[b][i] = baseKey(sid, i, byte(b), r0, r1, answerBytes[k], sharedBytes[k])
			secret.Wipe(sharedBytes[k])
			shared[k].Wipe()
		}
	}
	return keys, nil
}

// finish makes A's keys of B's answer.
func (o *oblivious) finish(sid *[32]byte, msg1, answer []byte) (*baseKeys, error) {
	chosen := make([][point]byte, baseOTs)
	shared := make([]*secp256k1.Point, baseOTs)
	for i := range baseOTs {
		b0, b1 := pairOf(answer, i)
		p0, err := new(secp256k1.Point).SetBytes(b0)
		if err != nil {
			return nil, malformed("point B_0 of base transfer %d: %v", i, err)
		}
		p1, err := new(secp256k1.Point).SetBytes(b1)
		if err != nil {
			return nil, malformed("point B_1 of base transfer %d: %v", i, err)
		}
		selectBytes(chosen[i][:], b1, b0, o.choice[i])
		p1.Select(p1, p0, int(o.choice[i]))
		shared[i] = p1.ScalarMult(&o.a[i], p1)
	}
	keys := new(baseKeys)
	sharedBytes := secp256k1.BatchBytes(shared)
	for i := range baseOTs {
		r0, r1 := pairOf(msg1, i)
		keys[i] = baseKey(sid, i, o.choice[i], r0, r1, chosen[i][:], sharedBytes[i])
		secret.Wipe(sharedBytes[i])
		shared[i].Wipe()
	}
	clear(chosen)
	return keys, nil
}

// endemicHash is Hc_b(i, sid, r): every field has one length, so no two inputs meet.
func endemicHash(sid *[32]byte, i int, b byte, r []byte) *secp256k1.Point {
	var msg [32 + 2 + 1 + point]byte
	copy(msg[:], sid[:])
	binary.BigEndian.PutUint16(msg[32:], uint16(i))
	msg[34] = b
	copy(msg[35:], r)
	p := new(secp256k1.Point).HashToCurve(msg[:], tagPoint)
	clear(msg[:])
	return p
}

// baseKey is ρ_b, cut to the length of a seed.
func baseKey(sid *[32]byte, i int, b byte, r0, r1, answer, shared []byte) (key [seedLen]byte) {
	h := canon.Hash(tagKey, sid[:], index16(i), []byte{b}, r0, r1, answer, shared)
	copy(key[:], h[:])
	clear(h[:])
	return key
}

// pairOf returns the two points of transfer i in a message that begins with all pairs.
func pairOf(msg []byte, i int) (first, second []byte) {
	at := i * 2 * point
	return msg[at : at+point : at+point], msg[at+point : at+2*point : at+2*point]
}

// selectBytes copies a to dst if cond is 1 and b if it is 0; all have one length.
func selectBytes(dst, a, b []byte, cond byte) {
	for i := range dst {
		dst[i] = b[i] ^ (-cond & (a[i] ^ b[i]))
	}
}

func index16(i int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(i)) }

// randomScalar sets s to 48 random bytes modulo the order.
func randomScalar(s *secp256k1.Scalar, rand io.Reader) error {
	var b [48]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return randError(err)
	}
	_, _ = s.SetUniformBytes(b[:]) // the length is right
	clear(b[:])
	return nil
}

func randError(err error) error { return fmt.Errorf("ot: reading randomness: %w", err) }

func malformed(format string, a ...any) error {
	return fmt.Errorf("ot: %s: %w", fmt.Sprintf(format, a...), ErrMalformed)
}

func cheat(check string) error { return fmt.Errorf("ot: %s: %w", check, ErrCheat) }
