package vault

import (
	"bytes"
	"context"
	"fmt"

	"filippo.io/age"

	"github.com/luxfi/mpcd/internal/secret"
)

// officer opens DEKs with age identities in place of the token. It keeps the session keys it opened, until wiped.
type officer struct {
	v          *Vault
	identities []age.Identity
	sessions   map[string]*session
}

func (v *Vault) newOfficer(identities []age.Identity) *officer {
	return &officer{v: v, identities: identities, sessions: map[string]*session{}}
}

func (o *officer) wipe() {
	for _, s := range o.sessions {
		s.wipe()
	}
}

// unwrap is an unwrapper.
func (o *officer) unwrap(ctx context.Context, e envelope) (*secret.Bytes, error) {
	p, err := decodePairedDEK(e.dek)
	if err != nil {
		return nil, err
	}
	s, err := o.open(ctx, p.Session)
	if err != nil {
		return nil, err
	}
	return s.unpair(p, e.header)
}

// open opens the session with that ID.
func (o *officer) open(ctx context.Context, id []byte) (*session, error) {
	if s := o.sessions[string(id)]; s != nil {
		return s, nil
	}
	r, err := o.v.readSession(ctx, id)
	if err != nil {
		return nil, err
	}
	key, err := openAge(r.Sealed, o.identities, sessionKeyLen)
	if err != nil {
		return nil, err
	}
	s := &session{id: [32]byte(id), key: key}
	o.sessions[string(id)] = s
	return s, nil
}

// readSession reads the record of a session and holds it against its ID.
func (v *Vault) readSession(ctx context.Context, id []byte) (*sessionRecord, error) {
	k := v.wrapping.sessionKey(id)
	b, err := v.store.Get(ctx, k)
	if err != nil {
		return nil, missing(k, err)
	}
	if !v.isSession(k, b) {
		return nil, fmt.Errorf("recovery session %x was changed: %w", id, ErrIntegrity)
	}
	r, err := decodeSession(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r.Vault, v.id[:]) || r.Wrapping != v.wrapping {
		return nil, fmt.Errorf("recovery session %x is of another vault or wrapping: %w", id, ErrIntegrity)
	}
	return r, nil
}

// openWithOfficer opens an existing vault with age identities, without its token and its counter. The node is read from the root
// record, and believed once the record's MAC has been checked.
func openWithOfficer(ctx context.Context, s Store, identities []age.Identity) (*Vault, *officer, error) {
	b, err := s.Get(ctx, []byte(rootKey))
	if err != nil {
		return nil, nil, fmt.Errorf("vault: root record: %w", err)
	}
	r, err := decodeRoot(b)
	if err != nil {
		return nil, nil, err
	}
	if r.Recovery == nil {
		return nil, nil, fmt.Errorf("vault: it has no recovery recipients: only KEK %q%s opens it: %w", r.KEK, of(r.Provider), ErrRecovery)
	}
	v := &Vault{store: s, node: r.Node, kek: r.KEK, provider: r.Provider}
	v.startGroups()
	o := v.newOfficer(identities)
	if err := v.unlockWith(ctx, r, o.unwrap); err != nil {
		o.wipe()
		v.Close()
		return nil, nil, err
	}
	return v, o, nil
}

// CheckRecovery proves of every record what can be proven of its recovery copy. Without identities: it is there, well-formed,
// pinned by its pointer, and its session is sealed to as many recipients as the vault has. With the identity of a recovery
// officer, for a drill: it opens the record. The token is not asked. All findings are joined. ErrRecovery if the vault has no
// recovery.
func (v *Vault) CheckRecovery(ctx context.Context, identities ...age.Identity) error {
	if v.recovery == nil {
		return fmt.Errorf("vault: it has no recovery recipients; rewrap it with some, or it is lost with its token: %w", ErrRecovery)
	}
	o := v.newOfficer(identities)
	defer o.wipe()
	return v.eachSealed(ctx, func(r ref, e envelope) error {
		if r == canary && !bytes.Equal(e.dek, v.recovery.canary) {
			return fmt.Errorf("wrapped DEK was changed: %w", ErrIntegrity)
		}
		return o.check(ctx, e)
	})
}

// check proves one record.
func (o *officer) check(ctx context.Context, e envelope) error {
	if len(o.identities) == 0 {
		p, err := decodePairedDEK(e.dek)
		if err != nil {
			return err
		}
		return o.inspect(ctx, p.Session)
	}
	dek, err := o.unwrap(ctx, e)
	if err != nil {
		return err
	}
	defer dek.Wipe()
	plain, err := openBody(dek, e)
	if err != nil {
		return err
	}
	plain.Wipe()
	return nil
}

// inspect looks at a session without opening it, once.
func (o *officer) inspect(ctx context.Context, id []byte) error {
	if _, ok := o.sessions[string(id)]; ok {
		return nil
	}
	r, err := o.v.readSession(ctx, id)
	if err != nil {
		return err
	}
	n, err := countRecipients(r.Sealed)
	if err != nil {
		return fmt.Errorf("recovery session %x: %w", id, err)
	}
	if want := len(o.v.recovery.names); n != want {
		return fmt.Errorf("recovery session %x is sealed to %d recipients, the vault has %d: %w", id, n, want, ErrRecovery)
	}
	o.sessions[string(id)] = nil
	return nil
}
