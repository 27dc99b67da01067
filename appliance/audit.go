package appliance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Audit is the append-only, hash-chained record of what this node did and refused. Append returns when the entries are
// durable; concurrent calls share one fsync. It never holds a secret: facts are names, hashes and counts.
type Audit struct {
	log   *durable.Log
	node  string
	clock func() time.Time
	group *durable.Group[[]*AuditEntry]

	mu   sync.Mutex
	seq  uint64
	head [32]byte
}

// auditGroupMax bounds the entries of one fsync.
const auditGroupMax = 8192

// OpenAudit opens or begins the log at path and verifies its chain.
func OpenAudit(path, node string, clock func() time.Time) (*Audit, error) {
	log, err := durable.OpenLog(path, durable.LogConfig{})
	if err != nil {
		return nil, err
	}
	a := &Audit{log: log, node: node, clock: clock}
	err = a.walk(func(e AuditEntry, hash [32]byte) bool {
		a.seq, a.head = e.Seq, hash
		return true
	})
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("audit log %s: %w", path, err)
	}
	a.group = durable.NewGroup(auditGroupMax, func(es []*AuditEntry) int { return len(es) }, a.commit)
	return a, nil
}

// VerifyAudit reads the log at path and returns the number of entries and the hash of the last; an error names the first bad one.
func VerifyAudit(path string) (n uint64, head [32]byte, err error) {
	a, err := OpenAudit(path, "", time.Now)
	if err != nil {
		return 0, head, err
	}
	defer a.Close()
	return a.seq, a.head, nil
}

// Event is what happened, before it has a number.
type Event struct {
	Name  string
	Facts map[string]string
}

// Append records events, in this order, and returns when they are durable.
func (a *Audit) Append(ctx context.Context, events ...Event) error {
	now := a.clock().UnixMilli()
	es := make([]*AuditEntry, len(events))
	for i, e := range events {
		es[i] = &AuditEntry{Time: now, Node: a.node, Event: e.Name, Facts: e.Facts}
	}
	if err := a.group.Do(ctx, es); err != nil {
		return &problem.Error{Code: problem.Integrity, Message: "the audit log cannot be written, so nothing may be done", Next: "check disk space and the file's owner", Err: err}
	}
	return nil
}

func (a *Audit) commit(groups [][]*AuditEntry) error {
	a.mu.Lock()
	seq, head := a.seq, a.head
	a.mu.Unlock()
	var records [][]byte
	for _, g := range groups {
		for _, e := range g {
			seq++
			e.Seq, e.Prev = seq, head
			b := canon.MustMarshal(e)
			head = auditHash(b)
			records = append(records, b)
		}
	}
	if _, err := a.log.AppendBatch(context.Background(), records); err != nil {
		return err
	}
	a.mu.Lock()
	a.seq, a.head = seq, head
	a.mu.Unlock()
	return nil
}

func auditHash(entry []byte) [32]byte { return canon.Hash("mpcd/v1/audit", entry) }

var errAuditChain = errors.New("the chain of hashes is broken: entries were changed, removed or reordered")

// walk reads entries in order and checks the chain.
func (a *Audit) walk(f func(e AuditEntry, hash [32]byte) bool) error {
	var head [32]byte
	var seq uint64
	for r, err := range a.log.Records(1) {
		if err != nil {
			return err
		}
		var e AuditEntry
		if err := canon.Unmarshal(r.Data, &e); err != nil {
			return fmt.Errorf("entry %d: %w", seq+1, err)
		}
		seq++
		if e.Seq != seq || e.Prev != head {
			return fmt.Errorf("entry %d: %w", seq, errAuditChain)
		}
		head = auditHash(r.Data)
		if !f(e, head) {
			return nil
		}
	}
	return nil
}

// Entries returns up to n entries after seq.
func (a *Audit) Entries(after uint64, n int) ([]AuditEntry, error) {
	var out []AuditEntry
	err := a.walk(func(e AuditEntry, _ [32]byte) bool {
		if e.Seq > after {
			out = append(out, e)
		}
		return len(out) < n
	})
	return out, err
}

// Head is the number and hash of the last durable entry.
func (a *Audit) Head() (uint64, [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seq, a.head
}

// Close ends the log.
func (a *Audit) Close() error { return a.log.Close() }
