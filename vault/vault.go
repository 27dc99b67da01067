package vault

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
)

// Config says where a vault is and what opens it.
type Config struct {
	// Store holds the records, all under keys that begin with "vault/". The caller closes it, after the vault.
	Store Store
	// Wrapper is the token, KEK the ID of its key of type hsm.KeyAESWrap (or what the driver offers in its place).
	Wrapper hsm.KeyWrapper
	KEK     string
	// Node is the name of this node; records of another node do not open.
	Node string
	// Existing refuses to make a new vault where there is none: ErrNotFound. Set it once a node has been enrolled.
	Existing bool
	// Clock tells the time of creation; nil means time.Now.
	Clock func() time.Time
	// Rand makes DEKs; nil means crypto/rand.
	Rand io.Reader
}

// Vault keeps key shares and small secrets. It is safe for concurrent use; calls for one id wait for each other, and
// concurrent writes for different ids share one durable write.
type Vault struct {
	store  Store
	sealer sealer
	kek    string
	node   string
	clock  func() time.Time
	id     [16]byte
	keys   *macKeys
	locks  refLocks
	group  *durable.Group[*change]
	purges *durable.Group[Purger]
	broken error // set and read by commit, one at a time

	mu     sync.Mutex
	state  state
	erased [][]byte // keys of wrapped DEKs that Purge has still to drive out
}

// KeyShareVault is the name the seed documents give it.
type KeyShareVault = Vault

// Open opens the vault in the store, or makes a new one if the store holds nothing of a vault. It asks the token to open the
// canary, so a wrong KEK, another token and another node are found here: ErrWrongKEK. Then it reads the state of every id and
// holds it against the root record: ErrIntegrity if anything was changed, removed or put back. It never repairs.
func Open(ctx context.Context, c Config) (*Vault, error) {
	if c.Store == nil || c.Wrapper == nil || c.KEK == "" {
		return nil, fmt.Errorf("vault: a store, a token that wraps keys and a KEK are needed: no key, no start: %w", ErrInvalid)
	}
	if err := checkID(c.Node); err != nil {
		return nil, fmt.Errorf("vault: node name: %w", err)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	v := &Vault{
		store: c.Store, sealer: sealer{wrapper: c.Wrapper, kek: c.KEK, rand: c.Rand}, kek: c.KEK, node: c.Node, clock: c.Clock,
	}
	v.group = durable.NewGroup(maxGroupWeight, (*change).weight, v.commit)
	v.purges = durable.NewGroup(1<<10, func(Purger) int { return 1 }, v.purge)
	b, err := c.Store.Get(ctx, []byte(rootKey))
	if errors.Is(err, ErrNotFound) {
		err = v.create(ctx, c.Existing)
	} else if err == nil {
		err = v.unlock(ctx, b)
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

var canary = ref{kindCanary, "canary"}

// create makes the vault key, seals it in the canary and writes the first root.
func (v *Vault) create(ctx context.Context, existing bool) error {
	fresh, err := isFresh(ctx, v.store)
	if err != nil {
		return err
	}
	if !fresh {
		return fmt.Errorf("vault: the root record is missing, but records are there; restore this node from its backup: %w", ErrIntegrity)
	}
	if existing {
		return fmt.Errorf("vault: none here, though node %s has been set up: is the data directory mounted? Restore it from its backup otherwise: %w", v.node, ErrNotFound)
	}
	vaultKey := secret.New(32)
	defer vaultKey.Wipe()
	for _, b := range [][]byte{v.id[:], vaultKey.Bytes()} {
		if _, err := io.ReadFull(v.sealer.rand, b); err != nil {
			return fmt.Errorf("vault: no randomness: %w", err)
		}
	}
	if v.keys, err = deriveKeys(vaultKey); err != nil {
		return err
	}
	e, err := v.sealer.seal(ctx, v.newHeader(canary, Meta{Created: v.clock()}), vaultKey.Bytes())
	if err != nil {
		return fmt.Errorf("vault: make the canary: %w", err)
	}
	k := canary.keys(0)
	return v.group.Do(ctx, &change{puts: []Pair{{k.header, e.header}, {k.dek, e.dek}, {k.body, e.body}}})
}

// unlock opens the canary with the token and checks everything against the root.
func (v *Vault) unlock(ctx context.Context, stored []byte) error {
	r, err := decodeRoot(stored)
	if err != nil {
		return err
	}
	if r.Node != v.node {
		return fmt.Errorf("vault: it belongs to node %q, this is node %q; start with the right --node or data directory: %w", r.Node, v.node, ErrWrongKEK)
	}
	if r.KEK != v.kek {
		return fmt.Errorf("vault: it was sealed with KEK %q, configured is %q; configure the former: %w", r.KEK, v.kek, ErrWrongKEK)
	}
	v.id = [16]byte(r.Vault)
	e, err := v.getEnvelope(ctx, canary.keys(0))
	if err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	if _, err := v.parseHeader(e.header, canary, 0); err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	vaultKey, err := v.sealer.open(ctx, e)
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, hsm.ErrNoKey) || errors.Is(err, hsm.ErrKeyType) {
		return fmt.Errorf("vault: this token's KEK %q does not open the vault of node %q: insert the token it was made with (if that is this one, the canary was changed: restore the data directory): %w: %w",
			v.kek, v.node, ErrWrongKEK, err)
	}
	if err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	defer vaultKey.Wipe()
	if v.keys, err = deriveKeys(vaultKey); err != nil {
		return err
	}
	return v.checkRoot(ctx, r)
}

// Close waits for the write in progress and wipes the keys. The vault must not be used afterwards. It does not close the Store.
func (v *Vault) Close() error {
	return v.group.Idle(func() error {
		v.broken = ErrClosed
		if v.keys != nil {
			v.keys.wipe()
		}
		return nil
	})
}
