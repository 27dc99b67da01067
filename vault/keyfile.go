package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/secret"
)

const (
	sealedKeyVersion = 2
	sealedKeyNoSum   = 1 // the version before, whose names nothing held
	// SealedKeyLen is the length of a key that SealKey seals, in bytes.
	SealedKeyLen = 32
	// MaxKeySlots is the largest number of tokens a key is sealed to: the old and the new while a node moves.
	MaxKeySlots = 4
	// MaxSealedKey is the largest sealed key, in bytes; read no more of its file.
	MaxSealedKey = 128 << 10
)

// KeySlot is a token that opens a sealed key.
type KeySlot struct {
	Wrapper hsm.KeyWrapper
	KEK     string
}

// sealedKey is a key that must be open before the vault can be: the store's. It is kept in a file, wrapped once for each way
// to open it.
type sealedKey struct {
	Version  uint64      `cbor:"1,keyasint"`
	Slots    []sealedFor `cbor:"2,keyasint"`
	Recovery []byte      `cbor:"3,keyasint,omitempty"` // age file of hash of the binding (32) | key (32)
	Sum      []byte      `cbor:"4,keyasint,omitempty"` // of all else: a damaged name is not believed
}

// sum is the hash that Sum has.
func (k sealedKey) sum() []byte {
	k.Sum = nil
	h := canon.Hash("mpcd/v1/vault/sealed-key/sum", canon.MustMarshal(k))
	return h[:]
}

type sealedFor struct {
	KEK      string `cbor:"1,keyasint"`
	Wrapped  []byte `cbor:"2,keyasint"`           // AAD is the binding
	Provider string `cbor:"3,keyasint,omitempty"` // of the KEK, for the error message alone
}

// SealKey seals a key of SealedKeyLen bytes, bound to aad, so that each slot opens it and each age recipient does; none for no
// recovery. Every slot is proved by opening it. To move a node, write the file for both tokens, Rewrap the vault, write the file
// for the new one: at every moment the token that opens the vault opens the file.
func SealKey(ctx context.Context, key *secret.Bytes, aad []byte, recovery []string, slots ...KeySlot) ([]byte, error) {
	if key.Len() != SealedKeyLen || len(slots) < 1 || len(slots) > MaxKeySlots {
		return nil, fmt.Errorf("vault: seal a key: %d bytes for %d tokens; %d bytes for 1 to %d are allowed: %w", key.Len(), len(slots),
			SealedKeyLen, MaxKeySlots, ErrInvalid)
	}
	k := sealedKey{Version: sealedKeyVersion}
	for _, s := range slots {
		wrapped, err := s.Wrapper.Wrap(ctx, s.KEK, key.Bytes(), aad)
		if err != nil {
			return nil, fmt.Errorf("vault: seal a key with KEK %q: %w", s.KEK, err)
		}
		back, err := s.Wrapper.Unwrap(ctx, s.KEK, wrapped, aad)
		if err != nil {
			return nil, fmt.Errorf("vault: seal a key: KEK %q does not open what it wrapped: %w", s.KEK, err)
		}
		same := key.Equal(back)
		secret.Wipe(back)
		if !same {
			return nil, fmt.Errorf("vault: seal a key: KEK %q gives back another: %w", s.KEK, ErrIntegrity)
		}
		k.Slots = append(k.Slots, sealedFor{s.KEK, wrapped, s.provider()})
	}
	_, recipients, err := parseRecipients(recovery)
	if err != nil {
		return nil, err
	}
	if len(recipients) > 0 {
		if k.Recovery, err = sealToRecipients(key, aad, recipients); err != nil {
			return nil, fmt.Errorf("vault: seal a key: %w", err)
		}
	}
	k.Sum = k.sum()
	sealed := canon.MustMarshal(k)
	if len(sealed) > MaxSealedKey {
		return nil, fmt.Errorf("vault: sealed key of %d bytes, at most %d: %w", len(sealed), MaxSealedKey, ErrTooLarge)
	}
	return sealed, nil
}

func sealToRecipients(key *secret.Bytes, aad []byte, recipients []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipients...)
	if err != nil {
		return nil, err
	}
	binding := keyBinding(aad)
	if _, err := w.Write(binding[:]); err != nil {
		return nil, err
	}
	if _, err := w.Write(key.Bytes()); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func keyBinding(aad []byte) [32]byte { return canon.Hash("mpcd/v1/vault/sealed-key", aad) }

func decodeSealedKey(b []byte) (*sealedKey, error) {
	k := new(sealedKey)
	if err := canon.Unmarshal(b, k); err != nil {
		return nil, fmt.Errorf("vault: sealed key: %w: %w", ErrIntegrity, err)
	}
	if k.Version != sealedKeyNoSum && k.Version != sealedKeyVersion || len(k.Slots) < 1 || len(k.Slots) > MaxKeySlots {
		return nil, fmt.Errorf("vault: sealed key of version %d with %d slots, this program reads version %d with 1 to %d: %w",
			k.Version, len(k.Slots), sealedKeyVersion, MaxKeySlots, ErrIntegrity)
	}
	if k.Version == sealedKeyVersion && !bytes.Equal(k.Sum, k.sum()) {
		return nil, fmt.Errorf("vault: sealed key: its bytes do not add up: %w", ErrIntegrity)
	}
	return k, nil
}

// UnsealKey opens a sealed key with a token. The caller owns it. ErrWrongKEK if none of its slots is for this token's KEK, with
// the token's own reasons for those that name it: changed PCRs look like another token's slot to everybody but the TPM. A file
// that is a bare wrapped key, as nodes wrote before there were slots, is opened too.
func UnsealKey(ctx context.Context, sealed, aad []byte, with KeySlot) (*secret.Bytes, error) {
	k, err := decodeSealedKey(sealed)
	if err != nil {
		key, refusal, bare := with.unwrap(ctx, sealed, aad)
		if refusal != nil {
			return nil, fmt.Errorf("%w, nor does KEK %q of this token open it: %w: %w", err, with.KEK, ErrWrongKEK, refusal)
		}
		return key, bare
	}
	var names []string
	cause := ErrWrongKEK
	for _, s := range k.Slots {
		names = append(names, fmt.Sprintf("%q%s", s.KEK, of(s.Provider)))
		if s.KEK != with.KEK {
			continue
		}
		key, refusal, err := with.unwrap(ctx, s.Wrapped, aad)
		if refusal == nil {
			return key, err
		}
		cause = fmt.Errorf("%w: %w", cause, refusal)
	}
	is := "KEK " + strings.Join(names, ", ")
	if slices.ContainsFunc(k.Slots, func(f sealedFor) bool { return with.names(f.KEK, f.Provider) }) {
		is = "a key of the same name in another token of that kind"
	}
	return nil, fmt.Errorf("vault: the KEK %q%s does not open the sealed key, it is for %s: use that (if this is it, the file was "+
		"changed): %w", with.KEK, of(with.provider()), is, cause)
}

// names tells whether a KEK of that name, in a token of that kind, is the slot's; "" is any kind, as was written before kinds were.
func (s KeySlot) names(kek, provider string) bool {
	return s.KEK == kek && (provider == "" || provider == s.provider())
}

// SealedBy tells whether a sealed key is for a KEK of this name in a token of this kind. It opens nothing and asks nobody, so it believes
// the file. A bare wrapped key, which names nothing, is for any; so is what cannot be read.
func SealedBy(sealed []byte, with KeySlot) bool {
	k, err := decodeSealedKey(sealed)
	return err != nil || slices.ContainsFunc(k.Slots, func(f sealedFor) bool { return with.names(f.KEK, f.Provider) })
}

// WrappedBy tells whether the vault in the store, if there is one, is under a KEK of this name in a token of this kind. It opens nothing,
// so it believes the root record. ErrIntegrity if that cannot be read.
func WrappedBy(ctx context.Context, s Store, with KeySlot) (bool, error) {
	b, err := s.Get(ctx, []byte(rootKey))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := decodeRoot(b)
	return err == nil && with.names(r.KEK, r.Provider), err
}

// provider names the token for errors, where it has a name.
func (s KeySlot) provider() string {
	if p, ok := hsm.As[interface{ Provider() string }](s.Wrapper); ok && checkID(p.Provider()) == nil {
		return p.Provider()
	}
	return ""
}

// unwrap opens a wrapped key. A refusal is the token's word that it does not open this one: perhaps another does, which has a key of
// that name. An error is the end of it.
func (s KeySlot) unwrap(ctx context.Context, wrapped, aad []byte) (key *secret.Bytes, refusal, err error) {
	b, err := s.Wrapper.Unwrap(ctx, s.KEK, wrapped, aad)
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, hsm.ErrKeyType) || errors.Is(err, hsm.ErrNoKey) {
		return nil, err, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("vault: sealed key: %w", err)
	}
	key = secret.From(b)
	if key.Len() != SealedKeyLen {
		key.Wipe()
		return nil, nil, fmt.Errorf("vault: sealed key of another length: %w", ErrIntegrity)
	}
	return key, nil, nil
}

// KeyRecipients is the number of age recipients that a sealed key is sealed to besides its tokens; 0 for none. It opens nothing and
// asks nobody, so it believes the file. ErrIntegrity if that is no sealed key; a bare wrapped key is none either.
func KeyRecipients(sealed []byte) (int, error) {
	if len(sealed) > MaxSealedKey {
		return 0, fmt.Errorf("vault: sealed key of %d bytes, at most %d: %w", len(sealed), MaxSealedKey, ErrIntegrity)
	}
	k, err := decodeSealedKey(sealed)
	if err != nil || k.Recovery == nil {
		return 0, err
	}
	n, err := countRecipients(k.Recovery)
	if err != nil {
		return 0, fmt.Errorf("vault: sealed key: %w", err)
	}
	return n, nil
}

// countRecipients counts the stanzas in the header of an age file, one per recipient (age-encryption.org/v1).
func countRecipients(sealed []byte) (int, error) {
	header, err := age.ExtractHeader(bytes.NewReader(sealed))
	if err != nil {
		return 0, fmt.Errorf("age file: %w: %w", ErrIntegrity, err)
	}
	return bytes.Count(header, []byte("\n-> ")), nil // a stanza's body is base64: no other line begins so
}

// RecoverKey opens a sealed key with age identities. The caller owns it. ErrRecovery if it is for none of them. Whoever knows the
// recipients could have made what it opens: the key proves itself by what it opens next.
func RecoverKey(sealed, aad []byte, identities ...age.Identity) (*secret.Bytes, error) {
	k, err := decodeSealedKey(sealed)
	if err != nil {
		return nil, err
	}
	if k.Recovery == nil {
		return nil, fmt.Errorf("vault: the sealed key has no recovery recipients: %w", ErrRecovery)
	}
	b, err := openAge(k.Recovery, identities, 2*SealedKeyLen)
	if err != nil {
		return nil, fmt.Errorf("vault: sealed key: %w", err)
	}
	defer b.Wipe()
	binding := keyBinding(aad)
	if !bytes.Equal(b.Bytes()[:SealedKeyLen], binding[:]) {
		return nil, fmt.Errorf("vault: sealed key: it is of another node: %w", ErrIntegrity)
	}
	key := secret.New(SealedKeyLen)
	copy(key.Bytes(), b.Bytes()[SealedKeyLen:])
	return key, nil
}

// openAge opens an age file of exactly n bytes; the caller owns them. ErrRecovery if no identity is one of its recipients.
func openAge(sealed []byte, identities []age.Identity, n int) (*secret.Bytes, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("no identity is given: %w", ErrRecovery)
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fmt.Errorf("the identity is of none of the recovery recipients: %w", ErrRecovery)
	}
	if err != nil {
		return nil, fmt.Errorf("age file: %w: %w", ErrIntegrity, err)
	}
	b := secret.New(n + 1)
	defer b.Wipe()
	if got, err := io.ReadFull(r, b.Bytes()); got != n || !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("age file: not of %d bytes: %w", n, errors.Join(ErrIntegrity, err))
	}
	out := secret.New(n)
	copy(out.Bytes(), b.Bytes())
	return out, nil
}
