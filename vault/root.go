package vault

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/luxfi/mpcd/internal/canon"
)

// root is the one record that stands for all pointers.
type root struct {
	Version uint64 `cbor:"1,keyasint"`
	Vault   []byte `cbor:"2,keyasint"` // 16 bytes, random
	Node    string `cbor:"3,keyasint"`
	KEK     string `cbor:"4,keyasint"` // for the error message; what counts is whether the KEK opens the canary
	Seq     uint64 `cbor:"5,keyasint"` // number of commits
	Count   uint64 `cbor:"6,keyasint"` // number of pointers
	MAC     []byte `cbor:"7,keyasint"` // over Vault, Node, Seq, Count and the digest of the pointers
}

// state is what the root says, in memory: the truth while the vault is open.
type state struct {
	seq, count uint64
	set        digest
}

func (v *Vault) rootMAC(s state) []byte {
	h := canon.NewHasher("mpcd/v1/vault/root", 5)
	h.Field(v.id[:])
	h.Field([]byte(v.node))
	h.Field(binary.BigEndian.AppendUint64(nil, s.seq))
	h.Field(binary.BigEndian.AppendUint64(nil, s.count))
	h.Field(s.set[:])
	sum := h.Sum()
	return v.keys.rootMAC(sum[:])
}

func (v *Vault) encodeRoot(s state) []byte {
	return canon.MustMarshal(root{
		Version: recordVersion, Vault: v.id[:], Node: v.node, KEK: v.kek, Seq: s.seq, Count: s.count, MAC: v.rootMAC(s),
	})
}

func decodeRoot(b []byte) (*root, error) {
	r := new(root)
	if err := canon.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("vault: root record: %w: %w", ErrIntegrity, err)
	}
	if r.Version != recordVersion || len(r.Vault) != 16 {
		return nil, fmt.Errorf("vault: root record of version %d, this program reads %d: %w", r.Version, recordVersion, ErrIntegrity)
	}
	return r, nil
}

// checkRoot reads all pointers and holds them against the root.
func (v *Vault) checkRoot(ctx context.Context, r *root) error {
	s := state{seq: r.Seq}
	pointerMAC := v.keys.newPointerMAC()
	err := v.store.Iterate(ctx, []byte(pointerPrefix), func(key, value []byte) error {
		if len(value) <= macLen {
			return fmt.Errorf("vault: %s: pointer of %d bytes: %w", key, len(value), ErrIntegrity)
		}
		pointerMAC.Reset()
		tag := value[len(value)-macLen:]
		if !hmac.Equal(pointerSum(pointerMAC, key, value[:len(value)-macLen]), tag) {
			return fmt.Errorf("vault: %s: changed outside the vault; restore this node from its backup: %w", key, ErrIntegrity)
		}
		s.count++
		s.set.toggle(v.keys, tag)
		return nil
	})
	if err != nil {
		return err
	}
	if r.Count != s.count {
		return fmt.Errorf("vault: %d ids where the root record counts %d: something was removed or put back; restore this node from its backup: %w",
			s.count, r.Count, ErrIntegrity)
	}
	if !hmac.Equal(r.MAC, v.rootMAC(s)) {
		return fmt.Errorf("vault: the ids do not fit the root record: one was put back from an earlier time; restore this node from its backup: %w", ErrIntegrity)
	}
	v.state = s
	return nil
}

// Version is the number of commits and the number of ids: an anchor for callers who want to notice that the whole directory was
// replaced by an older copy.
func (v *Vault) Version() (seq, ids uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state.seq, v.state.count
}

// isFresh tells whether the store has nothing of a vault.
func isFresh(ctx context.Context, s Store) (bool, error) {
	found := errors.New("found")
	err := s.Iterate(ctx, []byte(prefix), func(_, _ []byte) error { return found })
	if err == found {
		return false, nil
	}
	return err == nil, err
}
