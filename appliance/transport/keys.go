package transport

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	// keyLen is the length of an AES-256 key in bytes.
	keyLen = 32
	// keyUses is how many bodies one key encrypts before the sender encapsulates a fresh one: far below the 2^32 of NIST
	// SP 800-38D §8.3, and small enough that a key does not live for months.
	keyUses = 1 << 24
	// keysCached is how many decapsulated keys are kept per peer: the current one, and the last of a boot or rotation before.
	keysCached = 4
)

var errUndecryptable = errors.New("transport: body does not decrypt")

// hpkeInfo binds a key to its direction: the key from a to b is never the key from b to a.
func hpkeInfo(cluster string, from, to NodeID) []byte {
	h := canon.Hash(tagHPKE, []byte(cluster), []byte(from), []byte(to))
	return h[:]
}

// exporter is the part that hpke.Sender and hpke.Recipient share.
type exporter interface {
	Export(context string, length int) ([]byte, error)
}

// newGCM turns an HPKE context into the cipher of its direction, and wipes the exported key. The cipher's own key schedule
// cannot be wiped in Go; it dies with the reference.
func newGCM(e exporter) (cipher.AEAD, error) {
	key, err := e.Export(tagKey, keyLen)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// nonce is 4 zero bytes and the counter. The counter never repeats under one key: it only ever grows, by sealer.seal.
func nonce(count uint64) []byte {
	var n [12]byte
	binary.BigEndian.PutUint64(n[4:], count)
	return n[:]
}

// sealer encrypts to one peer. Its key is encapsulated on first use and after every keyUses bodies.
type sealer struct {
	pub  hpke.PublicKey
	info []byte

	mu    sync.Mutex
	gcm   cipher.AEAD
	enc   []byte
	count uint64
	uses  uint64 // 0 means keyUses
}

// next reserves a nonce and returns it with its key.
func (s *sealer) next() (gcm cipher.AEAD, enc []byte, count uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.uses
	if limit == 0 {
		limit = keyUses
	}
	if s.gcm == nil || s.count >= limit {
		enc, ctx, err := hpke.NewSender(s.pub, kdf, aead, s.info)
		if err != nil {
			return nil, nil, 0, err
		}
		gcm, err := newGCM(ctx)
		if err != nil {
			return nil, nil, 0, err
		}
		s.gcm, s.enc, s.count = gcm, enc, 0
	}
	s.count++
	return s.gcm, s.enc, s.count, nil
}

func (s *sealer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gcm, s.enc, s.count = nil, nil, 0
}

// opener decrypts what one peer encrypted to us. It is asked only for headers whose signature holds, so only the peer itself
// can make it decapsulate, and only its own keys are pushed out.
type opener struct {
	priv hpke.PrivateKey
	info []byte

	mu   sync.Mutex
	keys []openedKey // the most recently used first
}

type openedKey struct {
	enc [encLen]byte
	gcm cipher.AEAD
}

func (o *opener) open(enc []byte, count uint64, ciphertext, aad []byte) ([]byte, error) {
	gcm, err := o.key([encLen]byte(enc))
	if err != nil {
		return nil, errUndecryptable
	}
	plain, err := gcm.Open(nil, nonce(count), ciphertext, aad)
	if err != nil {
		return nil, errUndecryptable
	}
	return plain, nil
}

func (o *opener) key(enc [encLen]byte) (cipher.AEAD, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, k := range o.keys {
		if k.enc == enc {
			copy(o.keys[1:i+1], o.keys[:i])
			o.keys[0] = k
			return k.gcm, nil
		}
	}
	ctx, err := hpke.NewRecipient(enc[:], o.priv, kdf, aead, o.info)
	if err != nil {
		return nil, err
	}
	gcm, err := newGCM(ctx)
	if err != nil {
		return nil, err
	}
	if len(o.keys) < keysCached {
		o.keys = append(o.keys, openedKey{})
	}
	copy(o.keys[1:], o.keys)
	o.keys[0] = openedKey{enc: enc, gcm: gcm}
	return gcm, nil
}

func (o *opener) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.keys)
	o.keys = nil
}
