package vault

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/luxfi/mpcd/internal/secret"
)

// macKeys are derived from the vault key, which the canary record seals under the KEK: a fresh one for each wrapping, so that who
// could open the wrapping before makes no record of this one. They live as long as the vault is open.
type macKeys struct {
	pointer, member, root *secret.Bytes
}

func deriveKeys(vaultKey *secret.Bytes) (*macKeys, error) {
	k := new(macKeys)
	for label, p := range map[string]**secret.Bytes{"pointer": &k.pointer, "member": &k.member, "root": &k.root} {
		b, err := hkdf.Expand(sha256.New, vaultKey.Bytes(), "mpcd/v1/vault/mac/"+label, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("vault: derive keys: %w", err)
		}
		*p = secret.From(b)
	}
	return k, nil
}

func (k *macKeys) wipe() {
	k.pointer.Wipe()
	k.member.Wipe()
	k.root.Wipe()
}

func (k *macKeys) pointerMAC(key, body []byte) []byte {
	return pointerSum(k.newPointerMAC(), key, body)
}

func (k *macKeys) newPointerMAC() hash.Hash { return hmac.New(sha256.New, k.pointer.Bytes()) }

func (k *macKeys) rootMAC(sum []byte) []byte {
	h := hmac.New(sha256.New, k.root.Bytes())
	h.Write(sum)
	return h.Sum(nil)
}

func (k *macKeys) checkPointerMAC(key, body, mac []byte) bool {
	return hmac.Equal(k.pointerMAC(key, body), mac)
}

func pointerSum(h hash.Hash, key, body []byte) []byte {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(key)))
	h.Write(n[:])
	h.Write(key)
	h.Write(body)
	return h.Sum(nil)
}

// digest is the XOR of a keyed hash of every pointer's MAC: a hash of the set that is cheap to change (Clarke et al.,
// "Incremental Multiset Hash Functions", ASIACRYPT 2003, MSet-XOR-Hash). XOR is safe only while nobody sees the digest or
// its members, so neither is stored; the root holds a MAC of it.
type digest [sha256.Size]byte

func (d *digest) toggle(k *macKeys, tag []byte) {
	h := hmac.New(sha256.New, k.member.Bytes())
	h.Write(tag)
	subtle.XORBytes(d[:], d[:], h.Sum(nil))
}
