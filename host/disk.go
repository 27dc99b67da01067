package host

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// Disk is what a node keeps on disk, opened.
type Disk struct {
	Store *badgerstore.Store
	Vault *vault.Vault
}

// failed gives the reason why store or vault write nothing any more: what they hold is known only when they are opened anew, so the node
// ends, and started again is as its disk says. It gives none once ctx has ended.
func (d *Disk) failed(ctx context.Context, why chan<- error) {
	select {
	case <-d.Store.Failed():
		why <- d.Store.Writable()
	case <-d.Vault.Failed():
		why <- d.Vault.Failure()
	case <-ctx.Done():
	}
}

// Close closes the vault and then the store.
func (d *Disk) Close() error {
	var errs []error
	if d.Vault != nil {
		errs = append(errs, d.Vault.Close())
	}
	return errors.Join(append(errs, d.Store.Close())...)
}

// OpenDisk opens store and vault with the tokens, which must stay open meanwhile, and sees to it that whoever can recover the vault can
// open the store. With existing it never makes new ones. The caller holds the Lock.
func (t *Tokens) OpenDisk(ctx context.Context, existing bool) (*Disk, error) {
	return t.openDisk(ctx, existing, func(key *secret.Bytes, v *vault.Vault) error {
		officers := v.RecoveryRecipients()
		if len(officers) == 0 {
			return nil
		}
		if len(t.config.HSM.Recovery) == 0 {
			t.options.Log().Warn("the vault can be recovered by others, and hsm.recovery does not say who they must be", "recipients", officers)
		}
		slot, err := t.slot()
		if err != nil {
			return err
		}
		// Nobody can tell from a sealed key to whom it is sealed, so it is sealed anew at every start: a rewrap that was cut short,
		// or somebody with the disk, may have left it to others or to none.
		return t.config.keyFile().keep(ctx, key, officers, slot)
	})
}

// openDisk opens store and vault, and lets look see the store's key.
func (t *Tokens) openDisk(ctx context.Context, existing bool, look func(*secret.Bytes, *vault.Vault) error) (*Disk, error) {
	c := t.config
	if _, err := os.Stat(c.storeDir()); existing && errors.Is(err, os.ErrNotExist) {
		return nil, &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("node %s has no vault in %s", c.Node, c.DataDir),
			Do: "check data_dir and that its disk is mounted; on a new host run `mpcd node enroll` first"}
	}
	key, err := t.StoreKey(ctx)
	if err != nil {
		return nil, fault.Doing("open the store's key", err)
	}
	defer key.Wipe()
	d := &Disk{}
	if d.Store, err = openStore(c, key, t.options, t.crash); err != nil {
		return nil, err
	}
	vc, err := t.vaultConfig(d.Store, existing)
	if err == nil {
		d.Vault, err = vault.Open(ctx, vc)
	}
	if err == nil {
		err = look(key, d.Vault)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}
