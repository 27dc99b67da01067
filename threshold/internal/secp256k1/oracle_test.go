package secp256k1

import (
	"math/big"
	"math/rand"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
)

// Counts of the differential tests: together 10⁶ inputs of field and scalar operations and 2·10⁴ of group operations.
const (
	fieldInputs      = 500_000
	scalarInputs     = 500_000
	inversionInputs  = 10_000
	groupLawInputs   = 14_000
	baseMultInputs   = 3_000
	pointMultInputs  = 1_500
	vartimeInputs    = 1_500
	edgePointMembers = 40
)

var (
	fieldP = fromHex("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")
	orderN = fromHex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	two256 = new(big.Int).Lsh(big.NewInt(1), 256)
)

func fromHex(s string) *big.Int {
	x, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic("not hex: " + s)
	}
	return x
}

// edges returns integers below 2²⁵⁶ at which carries and reductions change: around 0, the modulus and its half, 2²⁵⁶, the limbs'
// borders, all ones in each limb alone, and the complement of the modulus.
func edges(modulus *big.Int) []*big.Int {
	var out []*big.Int
	around := func(x *big.Int) {
		for d := int64(-2); d <= 2; d++ {
			y := new(big.Int).Add(x, big.NewInt(d))
			if y.Sign() >= 0 && y.Cmp(two256) < 0 {
				out = append(out, y)
			}
		}
	}
	for _, x := range []*big.Int{
		new(big.Int), modulus, new(big.Int).Rsh(modulus, 1), two256, new(big.Int).Sub(two256, modulus),
		new(big.Int).Lsh(new(big.Int).Sub(two256, modulus), 1), new(big.Int).Sqrt(modulus),
		splitLambda.big(), beta.big(), new(big.Int).Sub(modulus, splitLambda.big()),
	} {
		around(x)
	}
	for _, bit := range []uint{1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130, 191, 192, 193, 254, 255} {
		around(new(big.Int).Lsh(big.NewInt(1), bit))
	}
	for limb := range uint(4) {
		out = append(out, new(big.Int).Lsh(new(big.Int).SetUint64(1<<64-1), 64*limb))
	}
	return out
}

// inputs yields every pair of edges and then random pairs, in which runs of zeros and ones are frequent; count in all.
func inputs(t *testing.T, count int, modulus *big.Int, use func(x, y *big.Int)) {
	t.Helper()
	e := edges(modulus)
	if count < len(e)*len(e) {
		t.Fatalf("%d inputs do not cover the %d pairs of edges", count, len(e)*len(e))
	}
	for _, x := range e {
		for _, y := range e {
			use(x, y)
		}
	}
	rng := rand.New(rand.NewSource(1))
	for range count - len(e)*len(e) {
		use(runs(rng), runs(rng))
	}
}

// runs returns a random integer below 2²⁵⁶; half of the time whole bytes of it are 00 or ff.
func runs(rng *rand.Rand) *big.Int {
	var b [32]byte
	rng.Read(b[:])
	if pattern := rng.Uint64(); pattern&1 == 1 {
		for i := range b {
			pattern = pattern>>1 | pattern<<63
			if pattern&1 == 1 {
				b[i] = -byte(pattern >> 1 & 1)
			}
		}
	}
	return new(big.Int).SetBytes(b[:])
}

func limbsOfBig(x *big.Int) [4]uint64 {
	var b [32]byte
	return limbsOf(x.FillBytes(b[:]))
}

func limbsToBig(x [4]uint64) *big.Int {
	var b [32]byte
	putLimbs(&b, &x)
	return new(big.Int).SetBytes(b[:])
}

func (z *FieldElement) big() *big.Int { return new(big.Int).SetBytes(z.Bytes()) }
func (s *Scalar) big() *big.Int       { return new(big.Int).SetBytes(s.Bytes()) }

func scalarOfBig(x *big.Int) *Scalar {
	var b [32]byte
	return new(Scalar).SetBytesReduced(x.FillBytes(b[:]))
}

// decredScalar and decredPoint carry values to the other implementation, by bytes.
func decredScalar(s *Scalar) *secp256k1.ModNScalar {
	var d secp256k1.ModNScalar
	d.SetByteSlice(s.Bytes())
	return &d
}

func decredPoint(t *testing.T, p *Point) *secp256k1.JacobianPoint {
	t.Helper()
	var j secp256k1.JacobianPoint
	if p.IsIdentity() == 1 {
		return &j
	}
	key, err := secp256k1.ParsePubKey(p.UncompressedBytes())
	if err != nil {
		t.Fatalf("decred refuses a point of ours: %v", err)
	}
	key.AsJacobian(&j)
	return &j
}

// decredBytes is our 33-byte encoding of a point of the other implementation.
func decredBytes(j *secp256k1.JacobianPoint) []byte {
	if j.X.IsZero() && j.Y.IsZero() || j.Z.IsZero() {
		return make([]byte, 33)
	}
	a := *j
	a.ToAffine()
	return secp256k1.NewPublicKey(&a.X, &a.Y).SerializeCompressed()
}
