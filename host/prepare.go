package host

import (
	"context"
	"os"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
)

// Prepared is a node that has all that it needs to be enrolled, open.
type Prepared struct {
	*Tokens
	Identity transport.Identity
	Peer     transport.Peer // its public half
	vault    *vault.Vault
	options  Options
	opened   closers
}

// Record puts on record that an operator prepared the node.
func (p *Prepared) Record(ctx context.Context, name string, facts map[string]string) {
	note(ctx, p.config, p.options, p.vault, name, facts)
}

// Close closes what is open, and lets go of the data directory.
func (p *Prepared) Close() error { return p.opened.Close() }

// Prepare makes what a new node needs, in its token and its data directory: keys, the store's key, store and vault, and in it the
// identity. What is there is kept, so it may be repeated.
func Prepare(ctx context.Context, c Config, o Options) (*Prepared, error) {
	o = o.withDefaults()
	p := &Prepared{options: o}
	err := p.prepare(ctx, c, o)
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Prepared) prepare(ctx context.Context, c Config, o Options) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	held, err := Lock(c)
	if err := p.opened.keep(held, err); err != nil {
		return err
	}
	if err := c.checkSource(); err != nil {
		return err
	}
	if err := markFormat(c); err != nil {
		return fault.Doing("mark the data directory's format", err)
	}
	p.Tokens, err = OpenTokens(ctx, c, o)
	if err := p.opened.keep(p.Tokens, err); err != nil {
		return fault.Doing("open the token", err)
	}
	if _, err := p.MakeKeys(ctx); err != nil {
		return fault.Doing("make the keys in the token", err)
	}
	slot, err := p.slot()
	if err == nil {
		err = c.keyFile().create(ctx, o.Rand, c.HSM.Recovery, slot)
	}
	if err != nil {
		return fault.Doing("make the store's key", err)
	}
	disk, err := p.OpenDisk(ctx, false)
	if err := p.opened.keep(disk, err); err != nil {
		return fault.Doing("make the vault", err)
	}
	p.vault = disk.Vault
	p.Identity, p.Peer, err = makeIdentity(ctx, c.Node, disk.Vault, o.Rand)
	return fault.Doing("make the identity", err)
}
