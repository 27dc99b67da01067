package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// record is the audit log of a running node, with what keeps others from replacing it: checkpoints signed by the token, and its head in the
// vault, whose commits a token may count and so are few, and in the store.
type record struct {
	*audit.Log
	vault    *vault.Vault
	store    vault.Store
	verifier audit.Verifier
	sign     func(message []byte) ([]byte, error)
	log      *slog.Logger

	mu     sync.Mutex // held while the head is signed or kept
	signed uint64     // entries under the last checkpoint
	kept   uint64     // entries under the head in the store
}

const (
	// signedEvery is how often the token signs the head of a log that grew, and the store keeps it.
	signedEvery = time.Minute
	// sealTimeout bounds a signature, and what is written when a node stops.
	sealTimeout = 10 * time.Second
	// headSecret is the name of the head in the vault.
	headSecret = "audit-head"
	// headKey is where the store has it.
	headKey = "main/audit-head"
	// headVersion is the version of keptHead.
	headVersion = 2
)

// keptHead is the head of the audit log as vault and store keep it.
type keptHead struct {
	Version uint8 `cbor:"1,keyasint"`
	Head    audit.Head
}

// openRecord opens the audit log and holds it against the heads in the vault and in its store.
func openRecord(ctx context.Context, c Config, v *vault.Vault, s vault.Store, by audit.Verifier, sign func([]byte) ([]byte, error),
	o Options) (*record, error) {
	head, err := readHead(ctx, v)
	if err != nil {
		return nil, err
	}
	minute, err := readMinute(ctx, s)
	if err != nil {
		return nil, err
	}
	log, err := openLog(c, o, head, minute)
	if err != nil {
		return nil, err
	}
	if n := log.Torn(); n > 0 {
		o.Log.Warn("the end of the audit log was torn by a crash, before anything in it was acknowledged; it is kept beside the log",
			"bytes", n, "kept", c.AuditPath()+".torn")
	}
	return &record{Log: log, vault: v, store: s, verifier: by, sign: sign, log: o.Log}, nil
}

// openLog opens the log, which must have grown from heads that it had.
func openLog(c Config, o Options, heads ...audit.Head) (*audit.Log, error) {
	marks := make([]audit.Option, len(heads))
	for i, h := range heads {
		marks[i] = audit.Mark(h)
	}
	return audit.Open(c.AuditPath(), string(c.Node), o.Clock, marks...)
}

func readHead(ctx context.Context, v *vault.Vault) (audit.Head, error) {
	b, err := v.GetSecret(ctx, headSecret)
	if errors.Is(err, vault.ErrNotFound) {
		return audit.Head{}, nil
	}
	if err != nil {
		return audit.Head{}, err
	}
	defer b.Wipe()
	return parseHead(b.Bytes())
}

func parseHead(b []byte) (audit.Head, error) {
	var kept keptHead
	if err := canon.UnmarshalVersion(b, headVersion, &kept); err != nil {
		return audit.Head{}, problem.Unreadable("the head of the audit log", problem.Restore, err)
	}
	return kept.Head, nil
}

// readMinute reads the head in the store.
func readMinute(ctx context.Context, s vault.Store) (audit.Head, error) {
	b, err := s.Get(ctx, []byte(headKey))
	if errors.Is(err, vault.ErrNotFound) {
		return audit.Head{}, nil
	}
	if err != nil {
		return audit.Head{}, err
	}
	return parseHead(b)
}

// event puts on record what the host tells, beside the node.
func (r *record) event(ctx context.Context, name string, facts map[string]string) {
	if err := r.Append(ctx, audit.Event{Name: name, Facts: facts}); err != nil {
		r.log.Error("not on record", "event", name, "error", err)
	}
}

// token puts on record that a token is used which was not seen before.
func (r *record) token(ctx context.Context, t api.SeenToken) {
	roles := slices.DeleteFunc(slices.Clone(t.Roles), func(x api.Role) bool { return !slices.Contains(api.Roles(), x) })
	facts := map[string]string{"requester": t.Requester, "roles": fmt.Sprint(roles), "until": t.Until.UTC().Format(time.RFC3339)}
	if t.ID != "" {
		facts["jti"] = t.ID
	}
	if t.Vaults != nil {
		facts["vaults"] = fmt.Sprintf("%q", t.Vaults)
	}
	r.event(context.WithoutCancel(ctx), "api.token", facts)
}

// mark keeps the head in the vault, by one commit.
func (r *record) mark(ctx context.Context) error {
	return r.vault.PutSecret(ctx, headSecret, canon.MustMarshal(keptHead{headVersion, r.Head()}))
}

// keep keeps the head in the store, if the log grew.
func (r *record) keep(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	head := r.Head()
	if head.Size == r.kept {
		return nil
	}
	err := r.store.Batch(ctx, []vault.Pair{{Key: []byte(headKey), Value: canon.MustMarshal(keptHead{headVersion, head})}}, nil)
	if err == nil {
		r.kept = head.Size
	}
	return err
}

// checkpoint has the token sign the head, if the log grew.
func (r *record) checkpoint() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	head := r.Head()
	if head.Size == r.signed {
		return nil
	}
	b, err := audit.SignHead(head, r.verifier, r.sign)
	if err == nil {
		err = r.KeepCheckpoint(b)
	}
	if err == nil {
		r.signed = head.Size
	}
	return err
}

// keepSigned keeps heads in the store, and makes checkpoints, at once and from time to time, until ctx ends.
func (r *record) keepSigned(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := r.keep(ctx); err != nil {
			r.log.Warn("the head of the audit log was not kept in the store", "error", err)
		}
		if err := r.checkpoint(); err != nil {
			r.log.Warn("the head of the audit log was not signed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// seal is at the end of a run: the last entry is under a checkpoint, and in the vault.
func (r *record) seal(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sealTimeout)
	defer cancel()
	if err := errors.Join(r.checkpoint(), r.mark(ctx)); err != nil {
		r.log.Warn("the end of the audit log is not sealed", "error", err)
	}
}

// note puts on record what an operator did to a node that does not run, whose data directory is held. The log must be there, unless the
// vault is, which tells that there was none. Where it cannot be put on record, that is said: what was done cannot be undone.
func note(ctx context.Context, c Config, o Options, v *vault.Vault, name string, facts map[string]string) {
	err := appendTo(ctx, c, o, v, audit.Event{Name: name, Facts: facts})
	if errors.Is(err, os.ErrNotExist) {
		err = errors.New("the node has not run, so there is no audit log yet")
	}
	if err != nil {
		o.Log.Error("this is not on record", "event", name, "error", err)
	}
}

func appendTo(ctx context.Context, c Config, o Options, v *vault.Vault, e audit.Event) (err error) {
	var head audit.Head
	if v != nil {
		head, err = readHead(ctx, v)
	} else {
		_, err = os.Stat(c.AuditPath())
	}
	if err != nil {
		return err
	}
	log, err := openLog(c, o, head)
	if err != nil {
		return err
	}
	return errors.Join(log.Append(ctx, e), log.Close())
}
