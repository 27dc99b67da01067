package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// identitySecret is the name under which the vault keeps the 64 bytes that a node's identity and HPKE keys are made from.
const identitySecret = "identity"

// logger writes to stderr in the configured form.
func (c *config) logger() *slog.Logger {
	return newLogger(os.Stderr, c.LogLevel, c.LogFormat).With("node", string(c.Node))
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // checked when the configuration was read
	o := &slog.HandlerOptions{Level: l}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// lock takes the node's data directory, and with it the token, for this process.
func (c *config) lock() (io.Closer, error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, err
	}
	return c.lockExisting()
}

// lockExisting is lock for who makes no directory: it may be a place where nothing is mounted.
func (c *config) lockExisting() (io.Closer, error) {
	if _, err := os.Stat(c.DataDir); err != nil {
		return nil, fault.Usage("check data_dir and that its disk is mounted", "%w", err)
	}
	l, err := durable.LockFile(filepath.Join(c.DataDir, "LOCK"))
	if errors.Is(err, durable.ErrLocked) {
		return nil, &fault.Error{Code: fault.CodeUsage, Err: fmt.Errorf("node %s is running on %s: %w", c.Node, c.DataDir, err), Do: "stop it first, or ask it through its API"}
	}
	return l, err
}

// sealed is what a node keeps on disk, opened.
type sealed struct {
	store *badgerstore.Store
	vault *vault.Vault
}

func (s *sealed) Close() error {
	var errs []error
	if s.vault != nil {
		errs = append(errs, s.vault.Close())
	}
	return errors.Join(append(errs, s.store.Close())...)
}

// openVault opens store and vault with the token, and sees to it that whoever can recover the vault can open the store. With existing
// it never makes new ones.
func (c *config) openVault(ctx context.Context, t *tokens, existing bool, log *slog.Logger) (*sealed, error) {
	return c.openSealed(ctx, t, existing, log, func(key *secret.Bytes, v *vault.Vault) error {
		if len(v.RecoveryRecipients()) > 0 && len(c.HSM.Recovery) == 0 {
			log.Warn("the vault can be recovered by others, and hsm.recovery does not say who they must be", "recipients", v.RecoveryRecipients())
		}
		return c.keepRecovery(ctx, t, key, v.RecoveryRecipients())
	})
}

// openSealed opens store and vault, and lets look see the store's key.
func (c *config) openSealed(ctx context.Context, t *tokens, existing bool, log *slog.Logger, look func(*secret.Bytes, *vault.Vault) error) (*sealed, error) {
	if _, err := os.Stat(c.storeDir()); existing && errors.Is(err, os.ErrNotExist) {
		return nil, &fault.Error{Code: fault.CodeIntegrity, Err: fmt.Errorf("node %s has no vault in %s", c.Node, c.DataDir),
			Do: "check data_dir and that its disk is mounted; on a new host run `mpcd node enroll` first"}
	}
	key, err := c.storeKey(ctx, t)
	if err != nil {
		return nil, fault.Doing("open the store's key", err)
	}
	defer key.Wipe()
	s := &sealed{}
	if s.store, err = badgerstore.Open(badgerstore.Config{Dir: c.storeDir(), Key: key, Logger: log}); err != nil {
		return nil, err
	}
	vc, err := t.vaultConfig(s.store, existing)
	if err == nil {
		s.vault, err = vault.Open(ctx, vc)
	}
	if err == nil {
		err = look(key, s.vault)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// identity opens the node's identity from the vault.
func (c *config) identity(ctx context.Context, v *vault.Vault) (transport.Identity, transport.Peer, error) {
	seed, err := v.GetSecret(ctx, identitySecret)
	if err != nil {
		return transport.Identity{}, transport.Peer{}, fmt.Errorf("identity key: %w", err)
	}
	defer seed.Wipe()
	return transport.NewIdentity(c.Node, bytes.NewReader(seed.Bytes()))
}

// makeIdentity makes the identity of a new node in its vault; one that is there is kept.
func (c *config) makeIdentity(ctx context.Context, v *vault.Vault, rand io.Reader) (transport.Identity, transport.Peer, error) {
	id, peer, err := c.identity(ctx, v)
	if !errors.Is(err, vault.ErrNotFound) {
		return id, peer, err
	}
	seed := secret.New(64)
	defer seed.Wipe()
	if _, err := io.ReadFull(rand, seed.Bytes()); err != nil {
		return id, peer, err
	}
	if err := v.PutSecret(ctx, identitySecret, seed.Bytes()); err != nil {
		return id, peer, err
	}
	return c.identity(ctx, v)
}

// loadRoster reads the roster and holds it against what is pinned.
func (c *config) loadRoster() (*attest.SignedRoster, error) {
	if c.Roster == "" {
		return nil, fault.Usage("set roster in mpcd.yaml to the file that `mpcd node roster sign` wrote", "no roster is configured")
	}
	s, err := attest.LoadRoster(c.Roster)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, What: "roster", Err: err, Do: "fetch the roster from the operator again"}
	}
	if err := checkPin(s, c.RosterRoot); err != nil {
		return nil, err
	}
	if s.Roster.Cluster != c.Cluster {
		return nil, fault.Usage("use the roster of this cluster, or correct cluster", "the roster is of cluster %q, this node is of %q", s.Roster.Cluster, c.Cluster)
	}
	if _, err := s.Roster.Node(string(c.Node)); err != nil {
		return nil, fault.Usage("enrol the node, or correct node_id", "node %q is not in the roster", c.Node)
	}
	if c.Total != 0 && c.Total != len(s.Roster.Nodes) {
		return nil, fault.Usage("correct total_nodes, or use the right roster", "total_nodes is %d, the roster has %d nodes", c.Total, len(s.Roster.Nodes))
	}
	return s, nil
}

// checkPin holds a roster against a pin: the operator's public key in hex, or the roster's fingerprint.
func checkPin(s *attest.SignedRoster, pin string) error {
	switch {
	case pin == "":
		return fault.Usage("set roster_root to the operator's public key, which you got another way than the roster", "roster_root is not set: the roster would be its own witness")
	case strings.HasPrefix(pin, "r_"):
		if s.Fingerprint() != pin {
			return fmt.Errorf("%w: its fingerprint is %s, pinned is %s", attest.ErrRoster, s.Fingerprint(), pin)
		}
		return nil
	}
	root, err := parseRoot(pin)
	if err != nil {
		return err
	}
	return s.Verify(root)
}

// parseRoot reads an operator's public key.
func parseRoot(pin string) (ed25519.PublicKey, error) {
	b, err := wire.ParseHex(pin)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fault.Usage("give the operator's public key as 0x and 64 hex digits, or the fingerprint r_…", "roster root %q is neither", pin)
	}
	return ed25519.PublicKey(b), nil
}

// peers are the members of the roster for the transport.
func peers(r attest.Roster) transport.Peers {
	out := transport.Peers{}
	for _, m := range r.Nodes {
		id := transport.NodeID(m.ID)
		out[id] = transport.Peer{Node: id, Identity: ed25519.PublicKey(m.Identity), HPKE: m.Seal}
	}
	return out
}
