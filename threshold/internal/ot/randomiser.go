package ot

import (
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"hash"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// randomiser turns columns into scalars: SHA-256 over a key of this session and both salts, the transfer, the place and the column. These
// are 51 bytes, one block, which is padded here: 3 744 of these hashes are most of what a vector OLE costs, and the library's own padding
// and copying is a third of each. The digest is read from the state that crypto/sha256 saves; a test and the self-test hold it to Sum256.
type randomiser struct {
	key   [32]byte
	block [blockLen]byte
	sum   oneBlock
	state [savedLen]byte
}

// oneBlock is what crypto/sha256 gives.
type oneBlock interface {
	hash.Hash
	encoding.BinaryAppender
}

const (
	blockLen      = sha256.BlockSize
	offTransfer   = 32
	offPlace      = 34
	offColumn     = 35
	randomiserLen = 51
	savedLen      = 4 + digest + blockLen + 8 // magic, digest, buffer, length
)

func newRandomiser(session *[32]byte, saltA []byte) *randomiser {
	r := &randomiser{key: canon.Hash(tagRandomiser, session[:], saltA), sum: sha256.New().(oneBlock)}
	copy(r.block[:], r.key[:])
	r.block[randomiserLen] = 0x80 // FIPS 180-4, section 5.1.1
	binary.BigEndian.PutUint64(r.block[blockLen-8:], 8*randomiserLen)
	return r
}

func (r *randomiser) wipe() {
	r.sum.Reset()
	*r = randomiser{}
}

// scalar sets s = Hs("rand"; j, i, column).
func (r *randomiser) scalar(s *secp256k1.Scalar, j, i int, column element) {
	binary.BigEndian.PutUint16(r.block[offTransfer:], uint16(j))
	r.block[offPlace] = byte(i)
	column.put(r.block[offColumn:])
	r.sum.Reset()
	r.sum.Write(r.block[:])
	saved, _ := r.sum.AppendBinary(r.state[:0]) // it cannot fail
	s.SetBytesReduced(saved[4 : 4+digest])
}

// theta derives θ_1, θ_2 from all a~.
func (r *randomiser) theta(tilde []byte) (theta [ell]secp256k1.Scalar) {
	seed := canon.Hash(tagTheta, r.key[:], tilde)
	for i := range theta {
		h := canon.Hash(tagThetaHalf, seed[:], []byte{byte(i)})
		theta[i].SetBytesReduced(h[:])
	}
	return theta
}

// mu hashes μ_1 .. μ_416.
func (r *randomiser) mu(mu []byte) [digest]byte { return canon.Hash(tagMu, r.key[:], mu) }
