package vault

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

// MaxRecipients is the largest number of recovery recipients.
const MaxRecipients = 16

const (
	// recoveryVersion is the version of recoveryRecord and sessionRecord.
	recoveryVersion = 1
	// maxSealedSession bounds an age file of a session key, in bytes: a hybrid recipient takes about 1,600.
	maxSealedSession = 64 << 10
	sessionKeyLen    = 32
)

// recoveryRecord says who can recover. The root record pins it by its hash, so a recipient is added with the token only.
type recoveryRecord struct {
	Version    uint64     `cbor:"1,keyasint"`
	Vault      []byte     `cbor:"2,keyasint"`
	Wrapping   wrappingID `cbor:"3,keyasint"`
	Recipients []string   `cbor:"4,keyasint"` // ascending, distinct
}

// sessionRecord is the key of a session, sealed to the recipients: an age file (age-encryption.org/v1).
type sessionRecord struct {
	Version  uint64     `cbor:"1,keyasint"`
	Vault    []byte     `cbor:"2,keyasint"`
	Wrapping wrappingID `cbor:"3,keyasint"`
	Sealed   []byte     `cbor:"4,keyasint"`
}

// pairedDEK is how a DEK is stored where there is recovery: two ways to open it. The pointer pins both by hash.
type pairedDEK struct {
	Wrapped  []byte `cbor:"1,keyasint"` // by the KEK
	Session  []byte `cbor:"2,keyasint"` // hash of the session record
	Recovery []byte `cbor:"3,keyasint"` // nonce 12 | AES-256-GCM ciphertext 32 | tag 16 under the session key; AAD is recoveryAAD
}

// recovery is who can open the vault without the token.
type recovery struct {
	names      []string
	recipients []age.Recipient
	record     []byte
	canary     []byte // the canary's pairedDEK
}

// session is a symmetric key that seals DEKs for recovery from one opening of the vault to its end. Its owner wipes it.
type session struct {
	id  [sha256.Size]byte
	key *secret.Bytes
}

// parseRecipients reads age recipients, X25519 (age1…) or hybrid post-quantum (age1pq1…), and puts them in order. They are of
// one kind, for a session key is as safe as its weakest recipient.
func parseRecipients(list []string) ([]string, []age.Recipient, error) {
	if len(list) > MaxRecipients {
		return nil, nil, fmt.Errorf("vault: %d recovery recipients, at most %d: %w", len(list), MaxRecipients, ErrInvalid)
	}
	names := slices.Sorted(slices.Values(list))
	var out []age.Recipient
	hybrids := 0
	for i, name := range names {
		if isIdentity(name) {
			return nil, nil, fmt.Errorf("vault: recovery recipient %d is an officer's secret identity, which stays with the officer: "+
				"give its public half, age-keygen -y: %w", i+1, ErrInvalid)
		}
		if i > 0 && names[i-1] == name {
			return nil, nil, fmt.Errorf("vault: recovery recipient %q is named twice: %w", name, ErrInvalid)
		}
		r, hybrid, err := parseRecipient(name)
		if err != nil {
			return nil, nil, fmt.Errorf("vault: recovery recipient %q: give a public key age1… or age1pq1…: %w: %w", name, ErrInvalid, err)
		}
		if hybrid {
			hybrids++
		}
		out = append(out, r)
	}
	if hybrids != 0 && hybrids != len(out) {
		return nil, nil, fmt.Errorf("vault: recovery recipients age1… and age1pq1… together: the former would undo what the latter are for; "+
			"use one kind: %w", ErrInvalid)
	}
	return names, out, nil
}

// CheckRecipients is ErrInvalid for recipients that no vault can be sealed to.
func CheckRecipients(list []string) error {
	_, _, err := parseRecipients(list)
	return err
}

// isIdentity tells that a secret was given where its public half belongs. It must not be quoted.
func isIdentity(name string) bool {
	return strings.Contains(strings.ToUpper(name), "AGE-SECRET-KEY-")
}

func parseRecipient(name string) (r age.Recipient, hybrid bool, err error) {
	if strings.HasPrefix(name, "age1pq1") {
		r, err = age.ParseHybridRecipient(name)
		return r, true, err
	}
	r, err = age.ParseX25519Recipient(name)
	return r, false, err
}

// newRecovery is nil for no recipients.
func (v *Vault) newRecovery(list []string) (*recovery, error) {
	names, recipients, err := parseRecipients(list)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	record := canon.MustMarshal(recoveryRecord{Version: recoveryVersion, Vault: v.id[:], Wrapping: v.wrapping, Recipients: names})
	return &recovery{names: names, recipients: recipients, record: record}, nil
}

// beginRecovery sets up recovery for a new vault or wrapping, with a first session, and adds the records to the change.
func (v *Vault) beginRecovery(list []string, c *change) (err error) {
	if v.recovery, err = v.newRecovery(list); err != nil || v.recovery == nil {
		return err
	}
	v.sealer.recoverable = true
	c.put(v.wrapping.recoveryKey(), v.recovery.record)
	ses, stored, err := v.newSession()
	if err != nil {
		return err
	}
	v.session = ses
	c.put(v.wrapping.sessionKey(ses.id[:]), stored)
	return nil
}

// setCanary completes a new recovery.
func (r *recovery) setCanary(dek []byte) {
	if r != nil {
		r.canary = dek
	}
}

// recoveryHash is what the root record pins; nil without recovery.
func (v *Vault) recoveryHash() []byte {
	if v.recovery == nil {
		return nil
	}
	h := canon.Hash("mpcd/v1/vault/recovery", v.recovery.record, v.recovery.canary)
	return h[:]
}

// assert is ErrRecovery unless the recipients are those. Nil asserts nothing.
func (r *recovery) assert(list []string) error {
	if list == nil {
		return nil
	}
	names, _, err := parseRecipients(list)
	if err != nil {
		return err
	}
	var have []string
	if r != nil {
		have = r.names
	}
	if !slices.Equal(names, have) {
		return fmt.Errorf("vault: its recovery recipients are %q, configured are %q; correct the configuration, or rewrap the vault to "+
			"change them: %w", have, names, ErrRecovery)
	}
	return nil
}

// RecoveryRecipients are the age recipients who can recover the vault, ascending; none without recovery.
func (v *Vault) RecoveryRecipients() []string {
	if v.recovery == nil {
		return nil
	}
	return slices.Clone(v.recovery.names)
}

// readRecovery reads who can recover. It believes nothing: the root's MAC is checked next.
func (v *Vault) readRecovery(ctx context.Context, canaryDEK []byte) (*recovery, error) {
	b, err := v.store.Get(ctx, v.wrapping.recoveryKey())
	if err != nil {
		return nil, fmt.Errorf("vault: %w", missing(v.wrapping.recoveryKey(), err))
	}
	rec, err := decodeRecovery(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(rec.Vault, v.id[:]) || rec.Wrapping != v.wrapping {
		return nil, fmt.Errorf("vault: the recovery record is of another vault or wrapping: %w", ErrIntegrity)
	}
	names, recipients, err := parseRecipients(rec.Recipients)
	if err != nil || len(names) == 0 || !slices.Equal(names, rec.Recipients) {
		return nil, fmt.Errorf("vault: recovery record: %w", errors.Join(ErrIntegrity, err))
	}
	return &recovery{names: names, recipients: recipients, record: b, canary: canaryDEK}, nil
}

func decodeRecovery(b []byte) (*recoveryRecord, error) {
	r := new(recoveryRecord)
	if err := canon.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("vault: recovery record: %w: %w", ErrIntegrity, err)
	}
	if r.Version != recoveryVersion {
		return nil, fmt.Errorf("vault: recovery record of version %d, this program reads %d: %w", r.Version, recoveryVersion, ErrIntegrity)
	}
	return r, nil
}

func decodeSession(b []byte) (*sessionRecord, error) {
	r := new(sessionRecord)
	if err := canon.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("recovery session: %w: %w", ErrIntegrity, err)
	}
	if r.Version != recoveryVersion || len(r.Sealed) > maxSealedSession || !bytes.HasPrefix(r.Sealed, []byte("age-encryption.org/v1\n")) {
		return nil, fmt.Errorf("recovery session of version %d: not one that this program reads: %w", r.Version, ErrIntegrity)
	}
	return r, nil
}

func decodePairedDEK(b []byte) (*pairedDEK, error) {
	p := new(pairedDEK)
	if err := canon.Unmarshal(b, p); err != nil {
		return nil, fmt.Errorf("wrapped DEK: %w: %w", ErrIntegrity, err)
	}
	if len(p.Session) != sha256.Size || len(p.Recovery) != dekLen+bodyOverhead {
		return nil, fmt.Errorf("wrapped DEK: its recovery part is not one: %w", ErrIntegrity)
	}
	return p, nil
}

// sessionID is the hash of a stored session record.
func sessionID(stored []byte) [sha256.Size]byte {
	return canon.Hash("mpcd/v1/vault/recovery/session", stored)
}

// isSession tells whether a stored value is the session record its key names.
func (v *Vault) isSession(key, stored []byte) bool {
	id := sessionID(stored)
	return bytes.Equal(key, v.wrapping.sessionKey(id[:]))
}

// newSession makes a session key and seals it to the recipients.
func (v *Vault) newSession() (*session, []byte, error) {
	key := secret.New(sessionKeyLen)
	_, err := io.ReadFull(v.sealer.rand, key.Bytes())
	var sealed bytes.Buffer
	var w io.WriteCloser
	if err == nil {
		w, err = age.Encrypt(&sealed, v.recovery.recipients...)
	}
	if err == nil {
		_, err = w.Write(key.Bytes())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		key.Wipe()
		return nil, nil, fmt.Errorf("vault: seal a recovery session: %w", err)
	}
	stored := canon.MustMarshal(sessionRecord{Version: recoveryVersion, Vault: v.id[:], Wrapping: v.wrapping, Sealed: sealed.Bytes()})
	return &session{id: sessionID(stored), key: key}, stored, nil
}

// currentSession is the session for new records; nil without recovery. The first caller makes it, durable before it is used.
func (v *Vault) currentSession(ctx context.Context) (*session, error) {
	if v.recovery == nil {
		return nil, nil
	}
	v.sessionMu.Lock()
	defer v.sessionMu.Unlock()
	if v.session != nil {
		return v.session, nil
	}
	ses, stored, err := v.newSession()
	if err != nil {
		return nil, err
	}
	c := new(change)
	c.put(v.wrapping.sessionKey(ses.id[:]), stored)
	if err := v.group.Do(ctx, c); err != nil {
		ses.wipe()
		return nil, fmt.Errorf("keep a recovery session: %w", err)
	}
	v.session = ses
	return ses, nil
}

// pair returns the stored form of a DEK: as wrapped, or with the DEK sealed under the session too. A nil session is none.
func (s *session) pair(wrapped []byte, dek *secret.Bytes, header []byte) []byte {
	if s == nil {
		return wrapped
	}
	return canon.MustMarshal(pairedDEK{
		Wrapped: wrapped, Session: s.id[:], Recovery: s.cipher().Seal(nil, nil, dek.Bytes(), recoveryAAD(header)),
	})
}

// unpair opens the recovery part of a DEK; the caller owns it.
func (s *session) unpair(p *pairedDEK, header []byte) (*secret.Bytes, error) {
	dek := secret.New(dekLen)
	if _, err := s.cipher().Open(dek.Bytes()[:0], nil, p.Recovery, recoveryAAD(header)); err != nil {
		dek.Wipe()
		return nil, fmt.Errorf("the recovery part of the DEK: %w", ErrIntegrity)
	}
	return dek, nil
}

// cipher is AES-256-GCM with random nonces: at most 2³² DEKs a session (NIST SP 800-38D §8.3).
func (s *session) cipher() cipher.AEAD { return bodyCipher(s.key) }

func recoveryAAD(header []byte) []byte {
	h := canon.Hash("mpcd/v1/vault/recovery/dek", header)
	return h[:]
}

func (s *session) wipe() {
	if s != nil {
		s.key.Wipe()
	}
}
