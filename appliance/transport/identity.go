package transport

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hpke"
	"fmt"
	"io"

	"github.com/luxfi/mpcd/internal/secret"
)

// The HPKE suite of RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.
var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

// HPKEKeyLen is the length of Peer.HPKE in bytes.
const HPKEKeyLen = 32

// Identity is what a node proves itself with.
type Identity struct {
	Node NodeID
	// Sign returns the Ed25519 signature, 64 bytes, of msg (RFC 8032, not prehashed), or nil if it cannot; msg is always a
	// 32-byte canon.Hash under a tag of this package, or a cosignature's (C2SP tlog-cosignature), which is longer and begins with its name. It
	// is called concurrently.
	Sign func(msg []byte) []byte
	// SignWitness returns the ML-DSA-44 signature, 2,420 bytes, of msg (FIPS 204, with no context), or nil if it cannot; msg is a 32-byte
	// canon.Hash or a cosignature's, as of Sign. It is called concurrently.
	SignWitness func(msg []byte) []byte
	// WitnessKey is what verifies that, WitnessKeyLen bytes.
	WitnessKey []byte
	// Agree is the X25519 private key to the node's Peer.HPKE: what is private is encrypted to it, and the keys of pairs come from it.
	Agree ecdh.KeyExchanger
}

// Peer is a node as its roster pins it.
type Peer struct {
	Node NodeID
	// Identity verifies the node's signatures, 32 bytes.
	Identity ed25519.PublicKey
	// HPKE is the node's X25519 public key, HPKEKeyLen bytes.
	HPKE []byte
	// WitnessKey verifies how the node cosigns checkpoints beside Identity, WitnessKeyLen bytes. No envelope goes by it.
	WitnessKey []byte
}

// Peers is the roster: nobody else is heard. It may contain the node itself.
type Peers map[NodeID]Peer

// NewIdentity makes an identity with its keys in memory, from 64 bytes of rand, and the Peer to put into rosters.
func NewIdentity(node NodeID, rand io.Reader) (Identity, Peer, error) {
	if err := CheckName("node", string(node)); err != nil {
		return Identity{}, Peer{}, err
	}
	var seed [ed25519.SeedSize + 32]byte
	defer clear(seed[:])
	if _, err := io.ReadFull(rand, seed[:]); err != nil {
		return Identity{}, Peer{}, fmt.Errorf("transport: identity of %s: %w", node, err)
	}
	agree, err := deriveX25519(seed[ed25519.SeedSize:])
	if err != nil {
		return Identity{}, Peer{}, fmt.Errorf("transport: identity of %s: %w", node, err)
	}
	witness, pub, err := newWitness(seed[:ed25519.SeedSize])
	if err != nil {
		return Identity{}, Peer{}, fmt.Errorf("transport: identity of %s: %w", node, err)
	}
	key := ed25519.NewKeyFromSeed(seed[:ed25519.SeedSize])
	id := Identity{Node: node, Sign: func(msg []byte) []byte { return ed25519.Sign(key, msg) }, SignWitness: witness, WitnessKey: pub,
		Agree: agree}
	return id, Peer{Node: node, Identity: key.Public().(ed25519.PublicKey), HPKE: agree.PublicKey().Bytes(), WitnessKey: pub}, nil
}

// deriveX25519 is DeriveKeyPair of RFC 9180 §7.1.3.
func deriveX25519(seed []byte) (*ecdh.PrivateKey, error) {
	k, err := kem.DeriveKeyPair(seed)
	if err != nil {
		return nil, err
	}
	b, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(b)
	return ecdh.X25519().NewPrivateKey(b)
}

// check refuses what would only fail later, on some message.
func (id Identity) check() error {
	if err := CheckName("node", string(id.Node)); err != nil {
		return err
	}
	if id.Sign == nil || id.Agree == nil {
		return fmt.Errorf("transport: identity of %s lacks a key", id.Node)
	}
	if id.Agree.Curve() != ecdh.X25519() {
		return fmt.Errorf("transport: identity of %s: the key to agree by is not X25519", id.Node)
	}
	return nil
}
