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
	// Provider tells an operator which token that is, for the error message when another is given; at most MaxID bytes, no
	// secret. Empty means what the Wrapper's own method Provider says, if it has one.
	Provider string
	// Recovery are the age recipients (age1…, age1pq1…) who can open a new vault without the token, at most MaxRecipients, all
	// of one kind. In an existing vault they must be the ones it has, ErrRecovery otherwise; nil asserts nothing. Rewrap
	// changes them.
	Recovery []string
	// Counter anchors the vault in the token's counter CounterID, so that an older copy of the directory is found: ErrRollback.
	// A vault that is anchored does not open without its counter.
	Counter   hsm.MonotonicCounter
	CounterID string
	// Anchor lets an existing vault that has no anchor begin one, with a counter that is made for it. ErrRollback if the token
	// has that counter already: then the vault may be a copy from before it was anchored.
	Anchor bool
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
	store    Store
	sealer   sealer
	kek      string
	node     string
	clock    func() time.Time
	id       [16]byte
	keys     *macKeys
	wrapping wrappingID
	// rekeyed says that the wrapping has a vault key of its own, in a canary of its own; wrapping 0 needs no saying.
	rekeyed bool

	provider string
	counter  hsm.MonotonicCounter // nil without an anchor
	recovery *recovery            // nil without one

	sessionMu sync.Mutex
	session   *session // of recovery; made when first needed

	locks   refLocks
	group   *durable.Group[*change]
	purges  *durable.Group[Purger]
	failure durable.Failure // why nothing is written any more

	mu     sync.Mutex
	state  state
	erased [][]byte // keys of wrapped DEKs that Purge has still to drive out
}

// KeyShareVault is the name the seed documents give it.
type KeyShareVault = Vault

// Open opens the vault in the store, or makes a new one if the store holds nothing of a vault. It asks the token to open the
// canary, so a wrong KEK, another token and another node are found here: ErrWrongKEK. Then it reads the state of every id and
// holds it against the root record: ErrIntegrity if anything was changed, removed or put back; and the root record against the
// token's counter: ErrRollback. It never repairs; it removes what a Rewrap that was cut short left, and finishes the count of a
// commit that was.
func Open(ctx context.Context, c Config) (*Vault, error) {
	v, err := newVault(c)
	if err != nil {
		return nil, err
	}
	b, err := c.Store.Get(ctx, []byte(rootKey))
	if errors.Is(err, ErrNotFound) {
		err = v.create(ctx, c)
	} else if err == nil {
		err = v.enter(ctx, c, b)
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// newVault checks the configuration; nothing is read.
func newVault(c Config) (*Vault, error) {
	if c.Store == nil || c.Wrapper == nil || c.KEK == "" {
		return nil, fmt.Errorf("vault: a store, a token that wraps keys and a KEK are needed: no key, no start: %w", ErrInvalid)
	}
	if err := checkID(c.Node); err != nil {
		return nil, fmt.Errorf("vault: node name: %w", err)
	}
	if p, ok := hsm.As[interface{ Provider() string }](c.Wrapper); ok && c.Provider == "" {
		c.Provider = p.Provider()
	}
	if c.Provider != "" {
		if err := checkID(c.Provider); err != nil {
			return nil, fmt.Errorf("vault: name of the provider: %w", err)
		}
	}
	if c.Counter != nil {
		if err := checkID(c.CounterID); err != nil {
			return nil, fmt.Errorf("vault: name of the counter: %w", err)
		}
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	v := &Vault{
		store: c.Store, sealer: sealer{wrapper: c.Wrapper, kek: c.KEK, rand: c.Rand}, kek: c.KEK, node: c.Node, clock: c.Clock,
		provider: c.Provider, counter: c.Counter,
	}
	v.startGroups()
	return v, nil
}

func (v *Vault) startGroups() {
	v.group = durable.NewGroup(maxGroupWeight, (*change).weight, v.commit)
	v.purges = durable.NewGroup(1<<10, func(Purger) int { return 1 }, v.purge)
}

// enter opens an existing vault.
func (v *Vault) enter(ctx context.Context, c Config, stored []byte) error {
	if err := v.unlock(ctx, stored); err != nil {
		return err
	}
	if err := v.recovery.assert(c.Recovery); err != nil {
		return err
	}
	if err := v.checkAnchor(ctx, c); err != nil {
		return err
	}
	return v.tidy(ctx)
}

var canary = ref{kindCanary, "canary"}

// vaultKeyLen is the length of the vault key, in bytes.
const vaultKeyLen = 32

// beginWrapping makes the vault key of a new vault or wrapping, and from it the MAC keys, and adds the canary that seals it, and
// who can recover, to the change. The caller owns the vault key.
func (v *Vault) beginWrapping(ctx context.Context, recipients []string, c *change) (_ *secret.Bytes, err error) {
	if err := v.beginRecovery(recipients, c); err != nil {
		return nil, err
	}
	vaultKey := secret.New(vaultKeyLen)
	if _, err = io.ReadFull(v.sealer.rand, vaultKey.Bytes()); err == nil {
		v.keys, err = deriveKeys(vaultKey)
	}
	var e envelope
	if err == nil {
		e, err = v.sealer.seal(ctx, v.newHeader(canary, Meta{Epoch: v.canaryEpoch(), Created: v.clock()}), vaultKey.Bytes(), v.session)
	}
	if err != nil {
		vaultKey.Wipe()
		return nil, err
	}
	v.recovery.setCanary(e.dek)
	k := v.canaryKeys()
	c.put(k.header, e.header)
	c.put(k.dek, e.dek)
	c.put(k.body, e.body)
	return vaultKey, nil
}

// create writes a new vault.
func (v *Vault) create(ctx context.Context, c Config) error {
	fresh, err := isFresh(ctx, v.store)
	if err != nil {
		return err
	}
	if !fresh {
		return fmt.Errorf("vault: the root record is missing, but records are there: %w", ErrIntegrity)
	}
	if c.Existing {
		return fmt.Errorf("vault: none here, though node %s has been set up: is the data directory mounted? %w", v.node, ErrNotFound)
	}
	if _, err := io.ReadFull(v.sealer.rand, v.id[:]); err != nil {
		return fmt.Errorf("vault: no randomness: %w", err)
	}
	first := new(change)
	vaultKey, err := v.beginWrapping(ctx, c.Recovery, first)
	if err != nil {
		return fmt.Errorf("vault: make the canary: %w", err)
	}
	vaultKey.Wipe()
	if c.Counter != nil {
		value, err := readOrCreate(ctx, c.Counter, c.CounterID)
		if err != nil {
			return err
		}
		v.state.anchor = &anchor{c.CounterID, value}
	}
	return v.group.Do(ctx, first)
}

// unlock opens the canary with the token and checks everything against the root.
func (v *Vault) unlock(ctx context.Context, stored []byte) error {
	r, err := decodeRoot(stored)
	if err != nil {
		return err
	}
	if r.Node != v.node {
		return fmt.Errorf("vault: it belongs to node %q, this is node %q; start with the right --node or data directory: %w", r.Node,
			v.node, ErrWrongKEK)
	}
	if r.KEK != v.kek {
		return fmt.Errorf("vault: it is sealed with KEK %q%s, configured is %q; configure the former: %w", r.KEK, of(r.Provider),
			v.kek, ErrWrongKEK)
	}
	err = v.unlockWith(ctx, r, func(ctx context.Context, e envelope) (*secret.Bytes, error) { return v.sealer.unwrap(ctx, e) })
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, hsm.ErrNoKey) || errors.Is(err, hsm.ErrKeyType) {
		return fmt.Errorf("vault: the KEK %q of this token%s does not open the vault of node %q, sealed with KEK %q%s: use the token it was "+
			"sealed with (if that is this one, the canary was changed): %w: %w",
			v.kek, of(v.provider), v.node, r.KEK, of(r.Provider), ErrWrongKEK, err)
	}
	if v.provider == "" {
		v.provider = r.Provider
	}
	return err
}

func of(provider string) string {
	if provider == "" {
		return ""
	}
	return fmt.Sprintf(" of %q", provider)
}

// unwrapper opens the DEK of a record; the caller owns it.
type unwrapper func(context.Context, envelope) (*secret.Bytes, error)

// unlockWith opens the canary with whatever opens DEKs, and checks everything against the root.
func (v *Vault) unlockWith(ctx context.Context, r *root, unwrap unwrapper) error {
	v.id, v.wrapping, v.rekeyed, v.sealer.recoverable = [16]byte(r.Vault), r.Wrapping, r.Version == rootVersion, r.Recovery != nil
	e, err := v.getEnvelope(ctx, v.canaryKeys())
	if err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	if _, err := v.parseHeader(e.header, canary, v.canaryEpoch()); err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	if r.Recovery != nil {
		if v.recovery, err = v.readRecovery(ctx, e.dek); err != nil {
			return err
		}
	}
	dek, err := unwrap(ctx, e)
	if err != nil {
		return fmt.Errorf("vault: canary: %w", err)
	}
	defer dek.Wipe()
	vaultKey, err := openBody(dek, e)
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
		v.failure.Set(ErrClosed)
		if v.keys != nil {
			v.keys.wipe()
		}
		v.session.wipe()
		return nil
	})
}
