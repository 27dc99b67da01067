package ot

import (
	"crypto/sha256"
	"errors"
)

// The parameters of DKLs23 (ePrint 2023/765) and SoftSpokenOT (ePrint 2022/192), under the papers' symbols.
const (
	kappa   = 256                        // κ: bits of the group order
	lambdaC = 128                        // λ_c: computational security, bits of a seed, of Δ, of a column and of the check field
	lambdaS = 80                         // λ_s: statistical security of the gadget encoding, bits
	xi      = kappa + 2*lambdaS          // ξ: oblivious transfers in one vector OLE, 416
	ell     = 2                          // ℓ: inputs of Alice in one vector OLE
	rho     = 1                          // ρ: her check inputs
	width   = ell + rho                  // scalars in one transfer
	softK   = 2                          // k: bits of Δ in one tree of the punctured PRF
	trees   = lambdaC / softK            // 64
	leaves  = 1 << softK                 // of one tree, 4
	kept    = leaves - 1                 // leaves the punctured party knows
	baseOTs = lambdaC                    // base transfers of one setup, k for every tree
	rows    = lambdaC                    // of the extension matrix
	seedLen = lambdaC / 8                // of a leaf, bytes
	words   = (xi + 63) / 64             // 64-bit words of a row's data, 7, the last half used
	blocks  = (xi + 127) / 128           // elements of the check field in a row's data, 4, the last a quarter used
	scalar  = 32                         // bytes
	point   = 33                         // bytes, compressed
	digest  = sha256.Size                // bytes
	dataLen = xi / 8                     // of a row, 52 bytes
	rowLen  = dataLen + lambdaC/8        // with the mask of the check, 68 bytes
	halfH   = 2 * digest                 // of one h_x in the proof of the punctured PRF, 64 bytes
	treeLen = 2*seedLen + halfH + digest // corrections t_0, t_1, then t~ and s~: 128 bytes
)

// The lengths of the four messages, in bytes; there is no other.
const (
	MsgSetup1Len = baseOTs * 2 * point                     // A to B: R_0, R_1 of every base transfer, 8 448
	MsgSetup2Len = baseOTs*2*point + trees*treeLen         // B to A: B_0, B_1 of each, then the trees, 16 640
	Msg1Len      = saltLen + trees*rowLen + 16 + rows*16   // Bob to Alice: salt, U, x~, t~: 6 448
	Msg2Len      = saltLen + xi*width*scalar + scalar + 32 // Alice to Bob: salt, a~, η, hash of μ: 40 032
)

const saltLen = 32

// The tags of PROTOCOLS 1.1: transcript hashes, and the domain separation of hashing to the curve.
const (
	tagSetup      = "mpcd/v1/ot/setup"
	tagKey        = "mpcd/v1/ot/key"
	tagPoint      = "mpcd/v1/ot/endemic-secp256k1_XMD:SHA-256_SSWU_RO_"
	tagOblivious  = "mpcd/v1/ot/endemic-sample-secp256k1_XMD:SHA-256_SSWU_RO_"
	tagExpand     = "mpcd/v1/ot/pprf-expand"
	tagProofLeaf  = "mpcd/v1/ot/pprf-proof-leaf"
	tagProofTree  = "mpcd/v1/ot/pprf-proof-tree"
	tagSession    = "mpcd/v1/ot/session"
	tagChi        = "mpcd/v1/ot/chi"
	tagChiHalf    = "mpcd/v1/ot/chi-half"
	tagRandomiser = "mpcd/v1/ot/randomiser"
	tagTheta      = "mpcd/v1/ot/theta"
	tagThetaHalf  = "mpcd/v1/ot/theta-scalar"
	tagMu         = "mpcd/v1/ot/mu"
	tagGadget     = "mpcd/v1/ot/gadget"
)

// Errors of what a peer sent. Every error that blames the peer wraps exactly one of them.
var (
	// ErrCheat is a failed check C6, C7 or C8 of PROTOCOLS A.3.4. Each such failure may tell the peer something of our secrets, so the
	// peer is banned, for as long as the pair state lives, before it learns of the failure.
	ErrCheat = errors.New("the peer failed a check that no honest peer fails: ban it until a new pair setup")
	// ErrMalformed is a wrong length, point or scalar (C3, C4, C5).
	ErrMalformed = errors.New("malformed message")
	// ErrSpent is our own mistake: an object of one use was used again, or after Wipe.
	ErrSpent = errors.New("ot: this state is spent or wiped: start anew")
)

// redacted is what every verb of fmt prints of a secret state.
const redacted = "[redacted oblivious-transfer state]"
