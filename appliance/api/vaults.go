package api

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
)

// vaultPattern is the form of a vault's name, vaultMax its most characters.
const (
	vaultPattern = "^[A-Za-z0-9._:-]+$"
	vaultMax     = 128
)

// CheckVault refuses a name that no vault has. "" is for wallets of no vault, as in an authority's grants.
func CheckVault(name string) error {
	if len(name) > vaultMax || name != "" && !vaultForm.MatchString(name) {
		return fmt.Errorf("%q is no name of a vault: 1 to %d of letters, digits, and . _ : -", clip(name), vaultMax)
	}
	return nil
}

var vaultForm = regexp.MustCompile(vaultPattern)

// backend is the node, as whoever asks may see it.
func (s *server) backend(ctx context.Context) Backend {
	if c := callOf(ctx); c.vaults != nil {
		return within{s.Backend, c.vaults}
	}
	return s.Backend
}

// within is a node for a caller of some vaults. What is of others is not there: the answers are those for what nobody has. It embeds no
// Backend, so that a method added to it cannot be forgotten here.
type within struct {
	node   Backend
	vaults []string
}

var _ Backend = within{}

func (w within) has(vault string) bool { return slices.Contains(w.vaults, vault) }

// hidden is the one answer for what is not there and for what is of another vault.
func hidden(what string) error {
	return &problem.Error{Code: problem.NotFound, Message: "there is no such " + what + ", or none in the vaults of who asks",
		Next: "check the name, and the vaults that your token is for"}
}

// hide answers in the same words where the node itself has found nothing.
func hide(what string, err error) error {
	if problem.As(err).Code == problem.NotFound {
		return hidden(what)
	}
	return err
}

func (w within) Wallet(ctx context.Context, name string) (*appliance.Wallet, error) {
	x, err := w.node.Wallet(ctx, name)
	if err != nil {
		return nil, hide("wallet", err)
	}
	if !w.has(x.Group) {
		return nil, hidden("wallet")
	}
	return x, nil
}

func (w within) Keygen(ctx context.Context, r appliance.KeygenRequest) (*appliance.Wallet, error) {
	if err := w.permits(r.Group); err != nil {
		return nil, err
	}
	return w.node.Keygen(ctx, r)
}

// permits refuses to make a wallet in another vault.
func (w within) permits(vault string) error {
	if !w.has(vault) {
		return &problem.Error{Code: problem.Denied, Message: "the caller is let in for some vaults, and this is none of them",
			Next: "name one of the vaults that your token is for, or ask who grants them"}
	}
	return nil
}

// visible fails for a wallet of another vault.
func (w within) visible(ctx context.Context, wallet string) error {
	_, err := w.Wallet(ctx, wallet)
	return err
}

func (w within) Sign(ctx context.Context, r appliance.SignRequest) (*appliance.Signature, error) {
	if err := w.visible(ctx, r.WalletID); err != nil {
		return nil, err
	}
	return w.node.Sign(ctx, r)
}

func (w within) Refresh(ctx context.Context, r appliance.RefreshRequest) (*appliance.Wallet, error) {
	if err := w.visible(ctx, r.WalletID); err != nil {
		return nil, err
	}
	return w.node.Refresh(ctx, r)
}

func (w within) ProveThreshold(ctx context.Context, wallet string) (*appliance.Wallet, error) {
	if err := w.visible(ctx, wallet); err != nil {
		return nil, err
	}
	return w.node.ProveThreshold(ctx, wallet)
}

func (w within) Derive(ctx context.Context, wallet string, path []uint32) (*appliance.Child, error) {
	if err := w.visible(ctx, wallet); err != nil {
		return nil, err
	}
	return w.node.Derive(ctx, wallet, path)
}

func (w within) Wallets(ctx context.Context, p appliance.Page) ([]appliance.Wallet, string, error) {
	p.Vaults = w.vaults
	return w.node.Wallets(ctx, p)
}

// Receipt shows that of a signature by a wallet of the vaults: every signer has held the vault in the intent against the key's record.
func (w within) Receipt(ctx context.Context, id string) (*attest.Receipt, error) {
	r, err := w.node.Receipt(ctx, id)
	if err != nil {
		return nil, hide("receipt", err)
	}
	if !w.has(r.Intent.Vault) {
		return nil, hidden("receipt")
	}
	return r, nil
}

func (w within) Operation(ctx context.Context, session string) (*appliance.Operation, error) {
	o, err := w.node.Operation(ctx, session)
	if err != nil {
		return nil, hide("operation", err)
	}
	if !w.has(o.Vault()) {
		return nil, hidden("operation")
	}
	return o, nil
}

func (w within) Operations(ctx context.Context, state appliance.OperationState) ([]appliance.Operation, error) {
	all, err := w.node.Operations(ctx, state)
	return slices.DeleteFunc(all, func(o appliance.Operation) bool { return !w.has(o.Vault()) }), err
}

func (w within) Later(ctx context.Context, r appliance.Request) (*appliance.Operation, error) {
	wallet, vault := r.About()
	err := w.permits(vault)
	if wallet != "" {
		err = w.visible(ctx, wallet)
	}
	if err != nil {
		return nil, err
	}
	return w.node.Later(ctx, r)
}

// Follow tells only that something has changed; what it is, Operation shows to who may see it.
func (w within) Follow(session string) (<-chan struct{}, func()) { return w.node.Follow(session) }

func (w within) Approve(ctx context.Context, session string, x attest.Approval) (*appliance.Operation, error) {
	if _, err := w.Operation(ctx, session); err != nil {
		return nil, err
	}
	return w.node.Approve(ctx, session, x)
}

func (w within) Cancel(ctx context.Context, session string, signature []byte) (*appliance.Operation, error) {
	if _, err := w.Operation(ctx, session); err != nil {
		return nil, err
	}
	return w.node.Cancel(ctx, session, signature)
}

// Freeze freezes the vaults and their wallets: who is let in for some does not stop the others.
func (w within) Freeze(ctx context.Context, r appliance.FreezeRequest) (*appliance.FreezeState, error) {
	switch {
	case r.Scope == attest.ScopeWallet:
		if err := w.visible(ctx, r.Name); err != nil {
			return nil, err
		}
	case r.Scope != attest.ScopeVault || !w.has(r.Name):
		return nil, &problem.Error{Code: problem.Denied, Message: "the caller is let in for some vaults, and would freeze more",
			Next: "freeze your vaults, each by itself, or ask who keeps the cluster"}
	}
	return w.node.Freeze(ctx, r)
}

// Freezes lists those of the vaults, of their wallets, and of the cluster, which stop them too.
func (w within) Freezes(ctx context.Context) ([]appliance.FreezeState, error) {
	all, err := w.node.Freezes(ctx)
	return slices.DeleteFunc(all, func(x appliance.FreezeState) bool {
		return x.Freeze.Scope != attest.ScopeCluster && !w.own(ctx, x.Freeze)
	}), err
}

// own tells whether a freeze is of one of the vaults, or of a wallet of theirs.
func (w within) own(ctx context.Context, f attest.Freeze) bool {
	return f.Scope == attest.ScopeVault && w.has(f.Name) || f.Scope == attest.ScopeWallet && w.visible(ctx, f.Name) == nil
}

func (w within) Thaw(ctx context.Context, id attest.Hash, words []attest.AuthoritySignature) (*appliance.FreezeState, error) {
	all, err := w.node.Freezes(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, func(x appliance.FreezeState) bool { return x.Freeze.Digest() == id && w.own(ctx, x.Freeze) }) {
		return nil, hidden("freeze")
	}
	return w.node.Thaw(ctx, id, words)
}

func (w within) Audit(context.Context, appliance.Page) ([]audit.Entry, string, error) {
	return nil, "", &problem.Error{Code: problem.Denied, Message: "the audit log is of all vaults, and the caller is let in for some",
		Next: "ask with a token of an auditor that has no vaults"}
}

func (w within) Checkpoints(ctx context.Context) ([]appliance.Checkpoint, error) {
	return w.node.Checkpoints(ctx)
}

func (w within) Nodes() []appliance.NodeStatus  { return w.node.Nodes() }
func (w within) Readiness() appliance.Readiness { return w.node.Readiness() }
func (w within) Version() string                { return w.node.Version() }
