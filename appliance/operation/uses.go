package operation

import (
	"context"
	"errors"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Use is what a node has agreed to under a request ID, as coordinator or party: durable before it acts, so that one ID stands for one act
// whichever node is asked, also after a restart.
type Use struct {
	Version     uint8    `cbor:"1,keyasint"`
	Purpose     [32]byte `cbor:"2,keyasint"`           // hash of what is done
	Coordinator string   `cbor:"3,keyasint"`           // that asked last
	At          int64    `cbor:"4,keyasint"`           // ms
	Key         string   `cbor:"5,keyasint,omitempty"` // of a keygen: the wallet that came of it, once its share is about to be stored
	// Acts is how often this node has acted, or was about to, for each coordinator that had it act more than once.
	Acts map[string]int `cbor:"6,keyasint,omitempty"`
}

const useVersion = 1

// UsePrefix is what the keys of the records begin with.
const UsePrefix = "node/use/"

func useKey(id string) []byte { return []byte(UsePrefix + id) }

// Put is the record of a use, to be stored.
func (u Use) Put(id string) vault.Pair {
	u.Version = useVersion
	return vault.Pair{Key: useKey(id), Value: canon.MustMarshal(u)}
}

// Uses are the stored uses of request IDs.
type Uses struct{ store vault.Store }

// NewUses keeps them in a store, under keys that begin with UsePrefix.
func NewUses(s vault.Store) *Uses { return &Uses{s} }

// Get returns the use of a request ID, nil if there was none.
func (s *Uses) Get(ctx context.Context, id string) (*Use, error) {
	b, err := s.store.Get(ctx, useKey(id))
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseUse(id, b)
}

// ParseUse reads the record of a request ID.
func ParseUse(id string, stored []byte) (*Use, error) {
	var u Use
	if err := canon.UnmarshalVersion(stored, useVersion, &u); err != nil {
		return nil, problem.Unreadable("the use of session "+id, "use another session_id", err)
	}
	return &u, nil
}

// Forget removes the uses of request IDs that came to nothing.
func (s *Uses) Forget(ctx context.Context, ids ...string) error {
	keys := make([][]byte, len(ids))
	for i, id := range ids {
		keys[i] = useKey(id)
	}
	return s.store.Batch(ctx, nil, keys)
}

// Made notes which wallet a keygen is about to store a share of: whoever is asked again under the ID takes that one up.
func (s *Uses) Made(ctx context.Context, id, key string) error {
	u, err := s.Get(ctx, id)
	if err != nil || u == nil {
		return err
	}
	u.Key = key
	return s.store.Batch(ctx, []vault.Pair{u.Put(id)}, nil)
}
