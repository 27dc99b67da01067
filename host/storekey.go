package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// keyFile is where the key of a node's store lies, sealed: opened by the token and by those who can recover the vault. Where a password
// makes the key, there is only the copy for those.
type keyFile struct {
	path     string
	aad      []byte // binds what is sealed to its node
	password bool   // a password makes the key
}

func (c Config) keyFile() keyFile {
	h := canon.Hash("mpcd/v1/store-key", []byte(c.Cluster), []byte(c.Node))
	if c.Password.Provider == "hsm" {
		return keyFile{c.StoreKeyPath(), h[:], false}
	}
	return keyFile{c.RecoveryPath(), h[:], true}
}

// create makes the key of a new store; a key that is there is kept, and one that a password makes needs no making.
func (f keyFile) create(ctx context.Context, random io.Reader, recovery []string, slot vault.KeySlot) error {
	if f.password {
		return nil
	}
	if _, err := os.Lstat(f.path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	key := secret.New(badgerstore.KeyLen)
	defer key.Wipe()
	if _, err := io.ReadFull(random, key.Bytes()); err != nil {
		return err
	}
	return f.write(ctx, key, recovery, slot)
}

// write seals the key so that each slot and each recipient opens it.
func (f keyFile) write(ctx context.Context, key *secret.Bytes, recovery []string, slots ...vault.KeySlot) error {
	sealed, err := vault.SealKey(ctx, key, f.aad, recovery, slots...)
	if err != nil {
		return err
	}
	return durable.WriteFile(f.path, sealed, 0o600)
}

// keep leaves the key sealed as the vault is: by one token, to the recipients.
func (f keyFile) keep(ctx context.Context, key *secret.Bytes, recovery []string, slot vault.KeySlot) error {
	if f.password && len(recovery) == 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return f.write(ctx, key, recovery, slot)
}

// copyOfKey is what heals a file of a store's key that is lost or damaged. It is the one file of which a copy is as good, whatever the age:
// nothing but `mpcd hsm rewrap` seals the key to another token.
const copyOfKey = "put a copy of this one file back, which any backup of the data directory since the last `mpcd hsm rewrap` has, and no " +
	"other file: without it nobody opens the store"

// sealed reads the file.
func (f keyFile) sealed() ([]byte, error) {
	b, err := durable.ReadFile(f.path, vault.MaxSealedKey)
	if errors.Is(err, os.ErrNotExist) {
		err = fault.Usage("check data_dir and that its disk is mounted; if the file is lost, "+copyOfKey, "%w", err)
	}
	return b, err
}

// check fails where the token would be asked in vain, and does not ask it.
func (f keyFile) check() error {
	if f.password {
		return nil
	}
	b, err := f.sealed()
	if err != nil {
		return err
	}
	if _, err = vault.KeyRecipients(b); err != nil {
		return &fault.Error{Code: fault.CodeHSM, Err: fmt.Errorf("%s: %w", f.path, err), Do: "the file was changed: " + copyOfKey}
	}
	return nil
}

// unseal opens the key with the token.
func (f keyFile) unseal(ctx context.Context, slot vault.KeySlot) (*secret.Bytes, error) {
	sealed, err := f.sealed()
	if err != nil {
		return nil, err
	}
	key, err := vault.UnsealKey(ctx, sealed, f.aad, slot)
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, vault.ErrWrongKEK) || errors.Is(err, vault.ErrIntegrity) {
		return nil, &fault.Error{Code: fault.CodeHSM, Err: fmt.Errorf("%s, asked%s: %w", f.path, which(ctx, slot), err),
			Do: "set hsm.vault_uri and hsm.vault_key to where the vault is; if this is it, the file was changed: " + copyOfKey}
	}
	return key, err
}

// which tells a token from others of its kind, where it tells of itself.
func which(ctx context.Context, slot vault.KeySlot) string {
	t, ok := hsm.As[interface {
		Info(context.Context) (hsm.TokenInfo, error)
	}](slot.Wrapper)
	if !ok {
		return " a token"
	}
	i, err := t.Info(ctx)
	if err != nil {
		return " a token"
	}
	return strings.TrimSuffix(fmt.Sprintf(" the token %q, serial %s", i.Label, i.Serial), ", serial ")
}

// recover opens the key with an officer's identity.
func (f keyFile) recover(identities []age.Identity) (*secret.Bytes, error) {
	sealed, err := durable.ReadFile(f.path, vault.MaxSealedKey)
	if err != nil {
		return nil, err
	}
	key, err := vault.RecoverKey(sealed, f.aad, identities...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return key, nil
}

// recipients is how many can open the key without the token.
func (f keyFile) recipients() (int, error) {
	sealed, err := durable.ReadFile(f.path, vault.MaxSealedKey)
	if err != nil {
		return 0, err
	}
	return vault.KeyRecipients(sealed)
}

// ReadIdentities reads a file of age identities, of recovery officers.
func ReadIdentities(path string) ([]age.Identity, error) {
	b, err := durable.ReadFile(path, pemMax)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(b)
	ids, err := age.ParseIdentities(strings.NewReader(string(b)))
	if err != nil {
		return nil, fault.Usage("give the file that age-keygen wrote; decrypt it first if it has a passphrase",
			"%s holds no age identity: %w", path, err)
	}
	return ids, nil
}

// checkSource refuses a password.provider of another kind than the one that the store was made with, which nothing would be found by.
func (c Config) checkSource() error {
	there, salted, err := badgerstore.Salted(c.storeDir())
	if err != nil || !there {
		return nil // who opens the store says what is wrong with it
	}
	sealed := c.StoreKeyPath()
	if c.Password.Provider != "hsm" {
		sealed = filepath.Join(c.DataDir, storeKeyFile)
	}
	_, err = os.Lstat(sealed)
	switch {
	case c.Password.Provider == "hsm" && salted && errors.Is(err, os.ErrNotExist):
		return fault.Usage("set password.provider, and what belongs to it, to what they were when the node was enrolled",
			"password.provider is hsm, and the store in %s was made with a password, from another provider", c.storeDir())
	case c.Password.Provider != "hsm" && !salted && err == nil:
		return fault.Usage("set password.provider to hsm, and password.key_id to what it was when the node was enrolled",
			"password.provider is %s, and the store in %s was made with hsm: the token seals its key, %s", c.Password.Provider, c.storeDir(), sealed)
	}
	return nil
}

// StoreKey opens the key of the store, with the token or by the password. The caller wipes it.
func (t *Tokens) StoreKey(ctx context.Context) (*secret.Bytes, error) {
	c := t.config
	if err := c.checkSource(); err != nil {
		return nil, err
	}
	if c.Password.Provider == "hsm" {
		slot, err := t.slot()
		if err != nil {
			return nil, err
		}
		return c.keyFile().unseal(ctx, slot)
	}
	password, err := t.password(ctx)
	if errors.Is(err, hsm.ErrIntegrity) || errors.Is(err, hsm.ErrNoKey) {
		return nil, &fault.Error{Code: fault.CodeHSM, Err: err,
			Do: "compare password.key_id and password.uri with the key that sealed the password, and password.sealed with what it sealed"}
	}
	if err != nil {
		return nil, fault.Doing("password."+c.Password.Provider, err)
	}
	salt, err := badgerstore.Salt(c.storeDir())
	if err != nil {
		return nil, err
	}
	return badgerstore.KeyFromPassword(password, c.Password.Human, salt)
}
