package host

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/keyfile"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

// initiationTTL is how long what a node of dev signs for its callers holds.
const initiationTTL = time.Hour

// ReadAuthority reads a chain of authorities, and holds it against the operator's key.
func ReadAuthority(path string, root ed25519.PublicKey) (attest.AuthorityChain, error) {
	b, err := durable.ReadFile(path, attest.MaxJSON)
	if err != nil {
		return nil, err
	}
	c, err := attest.ParseAuthority(b, root)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, Err: fault.Doing(path, err), Do: "fetch the authority from the officers again"}
	}
	return c, nil
}

// readAuthority reads what authority names. There may be none yet, where the node has one of its own or the others send one.
func (c Config) readAuthority(roster *attest.SignedRoster) (attest.AuthorityChain, error) {
	if c.Authority == "" {
		return nil, nil
	}
	chain, err := ReadAuthority(c.Authority, ed25519.PublicKey(roster.Root))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return chain, fault.Doing("authority", err)
}

// loadAuthority tells the node who may ask, and in dev signs for who does not.
func (b *boot) loadAuthority(context.Context) (err error) {
	b.node.Authority, err = b.config.readAuthority(b.roster.Load())
	if err != nil || b.config.Initiator == "" {
		return err
	}
	if !b.config.Dev {
		return fault.Usage("take dev.initiator out of mpcd.yaml", "dev.initiator is set: a node that signs for whoever asks is for dev alone")
	}
	key, err := keyfile.Read(b.config.Initiator, nil)
	if err := b.opened.keep(key, err); err != nil {
		return fault.Usage("name the key file of an initiator, which only its owner may read", "dev.initiator: %w", err)
	}
	name, err := initiatorOf(b.node.Authority, key)
	if err != nil {
		return err
	}
	b.options.Log.Warn("dev: this node signs as an initiator whatever it is asked for", "initiator", name)
	b.node.Initiate = func(_ context.Context, in *attest.Intent) (err error) {
		in.Initiation, err = in.Initiate(name, time.UnixMilli(in.Created).Add(initiationTTL), key.Sign)
		return err
	}
	return nil
}

// initiatorOf is the name of the initiator that has a key.
func initiatorOf(c attest.AuthorityChain, key *keyfile.Key) (string, error) {
	der, err := attest.MarshalPublicKey(key.Public())
	if err != nil {
		return "", err
	}
	if len(c) > 0 {
		if i, ok := c[len(c)-1].Authority.InitiatorOf(der); ok {
			return i.Name, nil
		}
	}
	return "", fault.Usage("give the key of an initiator, or have the officers add it",
		"the authority has no initiator with the key of dev.initiator")
}

// takeUpAuthority has the node use the chain in the file, if it is longer than the one in use.
func (h *Host) takeUpAuthority(ctx context.Context) {
	c, err := h.config.readAuthority(h.roster.Load())
	if err == nil && c != nil {
		err = h.Node.TakeAuthority(ctx, c)
	}
	h.refused.Store(nil)
	if err != nil {
		h.refused.Store(&err)
		h.options.Log.Warn("the authority is not taken up", "file", h.config.Authority, "error", err)
	}
}

// authorityFile is the check that tells of an authority in the file that the node did not take up, and will not at its next start. The node
// goes on with the one that it has.
const authorityFile = "authority-file"

func (h *Host) fileCheck() []appliance.Check {
	why := h.refused.Load()
	if why == nil {
		return nil
	}
	next := "bring the file of the authority in force; the next start refuses this one"
	if p := problem.As(*why); p.Next != "" && p.Code == problem.Conflict {
		next = p.Next
	}
	return []appliance.Check{{Name: authorityFile, OK: true, Detail: (*why).Error(), Next: next}}
}

// checkAuthority tells what the start would say of the authority in the file and of the one that the node keeps, and returns the one that
// would be in force; nil where there is none yet.
func checkAuthority(ctx context.Context, c Config, s vault.Store, roster *attest.SignedRoster) (*attest.Authority, error) {
	chain, err := c.readAuthority(roster)
	if err != nil {
		return nil, err
	}
	return appliance.CheckAuthority(ctx, s, ed25519.PublicKey(roster.Root), c.Cluster, chain)
}

// SettleAuthority has a node that does not run go by the chain in a file, which parted from the one that it has used, as the operator says
// who has found out which the officers mean. It is put on record first, and the file that mpcd.yaml names has it too.
func SettleAuthority(ctx context.Context, c Config, o Options, path string) (chain attest.AuthorityChain, err error) {
	o = o.withDefaults()
	var opened closers
	defer func() { err = errors.Join(err, opened.Close()) }()
	held, err := Lock(c)
	if err := opened.keep(held, err); err != nil {
		return nil, err
	}
	roster, err := loadRoster(c)
	if err != nil {
		return nil, err
	}
	root := ed25519.PublicKey(roster.Root)
	if chain, err = ReadAuthority(path, root); err != nil {
		return nil, err
	}
	t, err := OpenTokens(ctx, c, o)
	if err := opened.keep(t, err); err != nil {
		return nil, err
	}
	disk, err := t.openDisk(ctx, true, func(*secret.Bytes, *vault.Vault) error { return nil })
	if err := opened.keep(disk, err); err != nil {
		return nil, err
	}
	err = appliance.SettleAuthority(ctx, disk.Store, root, c.Cluster, chain, func(facts map[string]string) error {
		return appendTo(ctx, c, o, disk.Vault, audit.Event{Name: "authority.settled", Facts: facts})
	})
	if err == nil && c.Authority != "" {
		err = durable.WriteFile(c.Authority, chain.JSON(), 0o644)
	}
	return chain, err
}
