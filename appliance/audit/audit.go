// Package audit is the node's record of what it did and refused: an append-only file of entries, chained by hashes, each durable before
// the act it speaks of. It never holds a secret: facts are names, hashes and counts. Opening it verifies the whole chain.
package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Log is an open audit log. Append returns when the entries are durable; concurrent calls share one fsync.
type Log struct {
	log   *durable.Log
	node  string
	clock func() time.Time
	group *durable.Group[[]*Entry]
	room  durable.Room // new work stops at it; what is under way is written as long as the disk takes it

	mu   sync.Mutex
	seq  uint64
	head [32]byte
	err  error // of the last write
}

// groupMax bounds the entries of one fsync.
const groupMax = 8192

// An Option changes how a log is opened.
type Option func(*Log)

// Free is who tells the free space on the disk of a directory, in bytes; the file system if it is not given.
func Free(f func(dir string) (int64, error)) Option { return func(a *Log) { a.room.Free = f } }

// Open opens or begins the log at path and verifies its chain.
func Open(path, node string, clock func() time.Time, options ...Option) (*Log, error) {
	log, err := durable.OpenLog(path, durable.LogConfig{})
	if err != nil {
		return nil, err
	}
	a := &Log{log: log, node: node, clock: clock, room: durable.Room{Dir: filepath.Dir(path), Least: roomLeast}}
	for _, o := range options {
		o(a)
	}
	err = a.walk(func(e Entry, hash [32]byte) bool {
		a.seq, a.head = e.Seq, hash
		return true
	})
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("audit log %s: %w", path, err)
	}
	a.group = durable.NewGroup(groupMax, func(es []*Entry) int { return len(es) }, a.commit)
	return a, nil
}

// Verify reads the log at path and returns the number of entries and the hash of the last; an error names the first bad one.
func Verify(path string) (n uint64, head [32]byte, err error) {
	a, err := Open(path, "", time.Now)
	if err != nil {
		return 0, head, err
	}
	defer a.Close()
	return a.seq, a.head, nil
}

// Entry is one line of the log.
type Entry struct {
	Version uint8             `json:"-" cbor:"1,keyasint"`   // of the stored form; the first began with Seq
	Seq     uint64            `json:"seq" cbor:"2,keyasint"` // from 1
	Time    int64             `json:"time_ms" cbor:"3,keyasint"`
	Node    string            `json:"node" cbor:"4,keyasint"`
	Event   string            `json:"event" cbor:"5,keyasint"`
	Facts   map[string]string `json:"facts,omitempty" cbor:"6,keyasint,omitempty"`
	Prev    [32]byte          `json:"-" cbor:"7,keyasint"` // hash of the entry before; zero for the first
}

// version is the version of Entry.
const version = 2

// Event is what happened, before it has a number.
type Event struct {
	Name  string
	Facts map[string]string
}

// roomLeast is what must be free on the log's disk before anything more is recorded, in bytes: some 30,000 entries, so that what is under
// way can still tell how it ended.
const roomLeast = 8 << 20

// Writable returns why nothing can be recorded now, nil if something may. A log heals by itself when its disk does.
func (a *Log) Writable() error {
	if err := a.room.Check(); err != nil {
		return err
	}
	return a.log.Writable()
}

// Append records events, in this order, and returns when they are durable. What cannot be written is of code problem.Storage.
func (a *Log) Append(ctx context.Context, events ...Event) error {
	now := a.clock().UnixMilli()
	es := make([]*Entry, len(events))
	for i, e := range events {
		es[i] = &Entry{Version: version, Time: now, Node: a.node, Event: e.Name, Facts: e.Facts}
	}
	if err := a.group.Do(ctx, es); err != nil {
		return problem.Unwritten(fmt.Errorf("audit log: %w", err))
	}
	return nil
}

func (a *Log) commit(groups [][]*Entry) error {
	a.mu.Lock()
	seq, head := a.seq, a.head
	a.mu.Unlock()
	var records [][]byte
	for _, g := range groups {
		for _, e := range g {
			seq++
			e.Seq, e.Prev = seq, head
			b := canon.MustMarshal(e)
			head = hashOf(b)
			records = append(records, b)
		}
	}
	_, err := a.log.AppendBatch(context.Background(), records)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err = err; err == nil {
		a.seq, a.head = seq, head
	}
	return err
}

// Err is the error of the last write, nil if it was made.
func (a *Log) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func hashOf(entry []byte) [32]byte { return canon.Hash("mpcd/v1/audit", entry) }

var errChain = errors.New("the chain of hashes is broken: entries were changed, removed or reordered")

// walk reads entries in order and checks the chain.
func (a *Log) walk(f func(e Entry, hash [32]byte) bool) error {
	var head [32]byte
	var seq uint64
	for r, err := range a.log.Records(1) {
		if err != nil {
			return err
		}
		var e Entry
		err := canon.UnmarshalVersion(r.Data, version, &e)
		var other *canon.VersionError
		if errors.As(err, &other) {
			return fmt.Errorf("entry %d is %w", seq+1, other)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", seq+1, err)
		}
		seq++
		if e.Seq != seq || e.Prev != head {
			return fmt.Errorf("entry %d: %w", seq, errChain)
		}
		head = hashOf(r.Data)
		if !f(e, head) {
			return nil
		}
	}
	return nil
}

// Entries returns up to n entries after seq.
func (a *Log) Entries(after uint64, n int) ([]Entry, error) {
	var out []Entry
	err := a.walk(func(e Entry, _ [32]byte) bool {
		if e.Seq > after {
			out = append(out, e)
		}
		return len(out) < n
	})
	return out, err
}

// Head is the number and hash of the last durable entry.
func (a *Log) Head() (uint64, [32]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seq, a.head
}

// Close ends the log.
func (a *Log) Close() error { return a.log.Close() }
