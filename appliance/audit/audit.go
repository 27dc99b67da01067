// Package audit is the node's record of what it did and refused: an append-only file of entries, each durable before the act it speaks of,
// under a Merkle tree (RFC 6962) whose head the node's token signs. It never holds a secret: facts are names, hashes and counts.
//
// Beside the file (audit.log) stand three: audit.acked counts the entries that were acknowledged, durably before each act, so that a log
// that was cut or damaged at its end is told from one that a crash tore; audit.tree has the hashes of whole blocks of 256 entries, so that
// neither a start nor a page nor a proof reads the whole log; audit.checkpoint is the head that the token signed last. Whoever opens the
// log gives the head that it keeps in the vault (Mark), which nobody can replace with the files.
package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Log is an open audit log. Append returns when the entries are durable; concurrent calls share one write.
type Log struct {
	path  string
	log   *durable.Log
	held  *durable.Held // the log's file, by its name
	acked *durable.Counter
	node  string
	clock func() time.Time
	group *durable.Group[[]*Entry]
	room  durable.Room // new work stops at it; what is under way is written as long as the disk takes it
	marks []Head
	least uint64   // entries that the longest of marks has
	kept  *os.File // of the tree's blocks

	signing sync.Mutex // held while the checkpoint is replaced

	mu         sync.Mutex // held to read and to change what follows, and not while the disk is waited for
	checkpoint []byte
	tree       tree
	last       [32]byte // hash of the last entry
	err        error    // of the last write
}

// maxCheckpoint is the longest checkpoint that is read, in bytes: one has some 150 for each witness, and 3,300 more for each of maxMLDSA.
const maxCheckpoint = 1 << 16

// groupMax bounds the entries of one write.
const groupMax = 8192

// An Option changes how a log is opened.
type Option func(*Log)

// Free is who tells the free space on the disk of a directory, in bytes; the file system if it is not given.
func Free(f func(dir string) (int64, error)) Option { return func(a *Log) { a.room.Free = f } }

// Mark is a head that the log had: Open refuses a log that has not grown from it. There may be several.
func Mark(h Head) Option {
	return func(a *Log) { a.marks, a.least = append(a.marks, h), max(a.least, h.Size) }
}

// beside is the path of a file beside the log.
func beside(log, name string) string {
	return filepath.Join(filepath.Dir(log), "audit."+name)
}

// Open opens or begins the log at path. It reads the end of the log, from the last whole block on, and holds it against the count of what
// was acknowledged and against Mark: durable.ErrCorrupt if it was cut, put back, or changed there. A log without the files beside it, as
// releases before wrote it, is read as a whole once, chain and all, and taken over; so is one whose blocks do not hold.
func Open(path, node string, clock func() time.Time, options ...Option) (*Log, error) {
	a := &Log{path: path, node: node, clock: clock, room: durable.Room{Dir: filepath.Dir(path), Least: roomLeast}}
	for _, o := range options {
		o(a)
	}
	a.group = durable.NewGroup(groupMax, func(es []*Entry) int { return len(es) }, a.commit)
	if err := a.open(); err != nil {
		a.close()
		return nil, fmt.Errorf("audit log %s: %w", path, err)
	}
	return a, nil
}

func (a *Log) open() error {
	err := a.openAcked()
	if err == nil {
		a.kept, err = os.OpenFile(beside(a.path, "tree"), os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	err = a.resume(true)
	if err != nil && !errors.Is(err, durable.ErrLocked) && len(a.tree.blocks) > 0 { // the blocks may be at fault: without them
		if a.log != nil {
			a.log.Close()
		}
		a.tree = tree{}
		err = a.resume(false)
	}
	if err != nil {
		return err
	}
	if a.held, err = durable.Hold(a.path); err != nil {
		return err
	}
	a.checkpoint, err = durable.ReadFile(beside(a.path, "checkpoint"), maxCheckpoint)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if n := a.tree.size(); n > a.acked.Value() { // written, and not acknowledged before a crash; or of a release that did not count
		if err := a.acked.Raise(n); err != nil {
			return err
		}
	}
	return nil
}

// openAcked opens the count of what was acknowledged. Where it is missing, nothing may have been.
func (a *Log) openAcked() (err error) {
	path := beside(a.path, "acked")
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := uncounted(a.path, a.least); err != nil {
			return err
		}
		if err := durable.CreateCounter(path); err != nil {
			return err
		}
	}
	a.acked, err = durable.OpenCounter(path)
	return err
}

// resume opens the log behind the blocks that are kept, or from its beginning, and holds all of it against what is known.
func (a *Log) resume(kept bool) (err error) {
	acked := max(a.acked.Value(), a.least)
	if err := missing(a.path, acked); err != nil {
		return err
	}
	a.tree.load = func(n int) ([]tlog.Hash, error) { return a.leavesOf(a.tree.blocks, n) }
	if kept {
		if err := a.tree.readBlocks(a.kept.Name(), acked/blockLen); err != nil {
			return err
		}
	}
	var from durable.Place
	whole := len(a.tree.blocks)
	if whole > 0 {
		from = a.tree.blocks[whole-1].at
	}
	if a.log, err = durable.OpenLog(a.path, durable.LogConfig{From: from, Acked: acked}); err != nil {
		return err
	}
	if err := a.readEnd(from, uint64(whole)*blockLen); err != nil {
		return err
	}
	return checkMarks(a.marks, &a.tree)
}

// missing refuses a log that is not there, though it had entries.
func missing(path string, had uint64) error {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) && had > 0 {
		return fmt.Errorf("%s is missing, though %d entries were acknowledged: %w", filepath.Base(path), had, durable.ErrCorrupt)
	}
	return nil
}

// CheckFiles tells, beside the node that has it open, whether the files are there without which no start takes the log at path:
// durable.ErrCorrupt where one of the two is missing.
func CheckFiles(path string) error {
	_, log := os.Lstat(path)
	_, acked := os.Lstat(beside(path, "acked"))
	if errors.Is(log, os.ErrNotExist) == errors.Is(acked, os.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("audit log: %w: %w", cmp.Or(log, acked), durable.ErrCorrupt)
}

// uncounted refuses a log without the count of what was acknowledged, though it had entries.
func uncounted(path string, had uint64) error { return missing(beside(path, "acked"), had) }

// readEnd reads the entries from a frame on, and adds those after the first known ones to the tree. The last of the known blocks is read
// too, so that where it stands is what it says.
func (a *Log) readEnd(from durable.Place, known uint64) error {
	var leaves []tlog.Hash
	chain := chain{seq: max(from.Seq, 1) - 1, open: known > 0}
	for r, err := range a.log.Records(from) {
		if err != nil {
			return err
		}
		if err := chain.next(r); err != nil {
			return err
		}
		switch {
		case r.Seq > known:
			a.add(r.Data, r.Frame)
		case r.Seq > known-blockLen:
			leaves = append(leaves, tlog.RecordHash(r.Data))
		}
	}
	if known > 0 && (len(leaves) != blockLen || subtree(leaves) != a.tree.blocks[known/blockLen-1].hash) {
		return fmt.Errorf("entries %d to %d: %w", known-blockLen+1, known, errTree)
	}
	a.last = chain.head
	return nil
}

// add adds an entry to the tree, and keeps the block that is whole by it. That one is not kept costs the next start time, and nothing else.
func (a *Log) add(entry []byte, at durable.Place) {
	if a.tree.add(entry, at) {
		n := len(a.tree.blocks) - 1
		_, _ = a.kept.WriteAt(a.tree.blocks[n].encode(n), int64(n)*blockSize)
	}
}

// checkMarks refuses a log that has not grown from heads that it had.
func checkMarks(marks []Head, t *tree) error {
	for _, m := range marks {
		if m.Size == 0 {
			continue
		}
		root, err := t.root(m.Size)
		if err != nil {
			return err
		}
		if root != m.Root {
			return fmt.Errorf("the first %d entries are not the ones whose hash this node has kept: %w: %w", m.Size, errTree, durable.ErrCorrupt)
		}
	}
	return nil
}

var (
	errChain = fmt.Errorf("the chain of hashes is broken: entries were changed, removed or reordered: %w", durable.ErrCorrupt)
	errTree  = fmt.Errorf("they are not the ones that were recorded: %w", durable.ErrCorrupt)
)

// chain follows entries and holds each against the one before.
type chain struct {
	seq  uint64
	head [32]byte
	open bool // the entry before the first is not known
}

func (c *chain) next(r durable.Record) error {
	e, err := decode(r)
	if err != nil {
		return err
	}
	c.seq++
	if e.Seq != c.seq || r.Seq != c.seq || e.Prev != c.head && !c.open {
		return fmt.Errorf("entry %d: %w", c.seq, errChain)
	}
	c.open, c.head = false, hashOf(r.Data)
	return nil
}

func decode(r durable.Record) (e Entry, err error) {
	err = canon.UnmarshalVersion(r.Data, version, &e)
	var other *canon.VersionError
	if errors.As(err, &other) {
		return e, fmt.Errorf("entry %d is %w", r.Seq, other)
	}
	if err != nil {
		return e, fmt.Errorf("entry %d: %w: %w", r.Seq, durable.ErrCorrupt, err)
	}
	return e, nil
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

// SignDone is the name of the event that a signature was made and settled; its fact "receipt" names the receipt.
const SignDone = "sign.done"

// roomLeast is what must be free on the log's disk before anything more is recorded, in bytes: some 30,000 entries, so that what is under
// way can still tell how it ended.
const roomLeast = 8 << 20

// Writable returns why nothing can be recorded now, nil if something may. A log heals by itself when its disk does, and where it was moved
// (durable.ErrMoved), or the count of what was acknowledged, when that is put back.
func (a *Log) Writable() error {
	if err := a.held.Check(); err != nil {
		return err
	}
	if err := a.room.Check(); err != nil {
		return err
	}
	if err := a.acked.Check(); err != nil { // without it no start takes the log
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

// commit writes the entries, and then that they are acknowledged.
func (a *Log) commit(groups [][]*Entry) error {
	a.mu.Lock()
	seq, last := a.tree.size(), a.last
	a.mu.Unlock()
	var records [][]byte
	for _, g := range groups {
		for _, e := range g {
			seq++
			e.Seq, e.Prev = seq, last
			b := canon.MustMarshal(e)
			last = hashOf(b)
			records = append(records, b)
		}
	}
	at := a.log.End()
	_, err := a.log.AppendBatch(context.Background(), records)
	if err == nil {
		a.mu.Lock()
		for _, b := range records {
			a.add(b, at)
		}
		a.last = last
		a.mu.Unlock()
		err = a.acked.Raise(seq)
	}
	a.mu.Lock()
	a.err = err
	a.mu.Unlock()
	return err
}

// Err is the error of the last write, nil if it was made.
func (a *Log) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func hashOf(entry []byte) [32]byte { return canon.Hash("mpcd/v1/audit", entry) }

// Entries returns up to n entries after the one of number after. They are held against the tree: durable.ErrCorrupt.
func (a *Log) Entries(after uint64, n int) ([]Entry, error) {
	a.mu.Lock()
	size := a.tree.size()
	a.mu.Unlock()
	var out []Entry
	for seq := after; seq < size && len(out) < n; seq = seq/blockLen*blockLen + blockLen {
		records, err := a.readBlock(int(seq / blockLen))
		if err != nil {
			return nil, fmt.Errorf("audit log %s: %w", a.path, err)
		}
		for _, r := range records[min(seq%blockLen, uint64(len(records))):] {
			if len(out) == n {
				break
			}
			e, err := decode(r)
			if err != nil {
				return nil, fmt.Errorf("audit log %s: %w", a.path, err)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

// readBlock reads the entries of a block, all that are there, and holds them against the tree.
func (a *Log) readBlock(n int) ([]durable.Record, error) {
	a.mu.Lock()
	at, want := a.tree.at, append([]tlog.Hash(nil), a.tree.leaves...)
	whole := n < len(a.tree.blocks)
	var hash tlog.Hash
	if whole {
		at, hash = a.tree.blocks[n].at, a.tree.blocks[n].hash
	}
	a.mu.Unlock()
	first, count := uint64(n)*blockLen+1, blockLen
	if !whole {
		count = len(want)
	}
	var records []durable.Record
	var leaves []tlog.Hash
	for r, err := range a.log.Records(at) {
		if err != nil {
			return nil, err
		}
		if r.Seq >= first {
			r.Data = bytes.Clone(r.Data)
			records, leaves = append(records, r), append(leaves, tlog.RecordHash(r.Data))
		}
		if len(records) == count {
			break
		}
	}
	ok := len(leaves) == count
	for i := range leaves {
		ok = ok && (whole || leaves[i] == want[i])
	}
	if !ok || whole && subtree(leaves) != hash {
		return nil, fmt.Errorf("entries %d to %d: %w", first, first+uint64(count)-1, errTree)
	}
	return records, nil
}

// leavesOf are the hashes of the entries of a whole block.
func (a *Log) leavesOf(blocks []block, n int) ([]tlog.Hash, error) {
	var leaves []tlog.Hash
	for r, err := range a.log.Records(blocks[n].at) {
		if err != nil {
			return nil, err
		}
		if r.Seq > uint64(n)*blockLen {
			leaves = append(leaves, tlog.RecordHash(r.Data))
		}
		if len(leaves) == blockLen {
			break
		}
	}
	if len(leaves) != blockLen || subtree(leaves) != blocks[n].hash {
		return nil, fmt.Errorf("entries %d to %d: %w", n*blockLen+1, (n+1)*blockLen, errTree)
	}
	return leaves, nil
}

// Head is how long the log is, and the hash of its tree.
func (a *Log) Head() Head {
	a.mu.Lock()
	defer a.mu.Unlock()
	root, _ := a.tree.root(a.tree.size()) // of which all hashes are in memory
	return Head{a.tree.size(), root}
}

// Len is how many entries the log has.
func (a *Log) Len() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tree.size()
}

// Torn is how many bytes that a crash left at the end were cut off when the log was opened. None of them was acknowledged.
func (a *Log) Torn() int64 { return a.log.Torn() }

// KeepCheckpoint keeps a checkpoint beside the log, and what is kept of the tree durable. Beside a log that was put in its place since it
// was opened it keeps none (durable.ErrMoved): that one would not hold against it.
func (a *Log) KeepCheckpoint(b []byte) error {
	a.signing.Lock()
	defer a.signing.Unlock()
	return a.keepCheckpoint(b)
}

func (a *Log) keepCheckpoint(b []byte) error {
	if err := errors.Join(a.held.Check(), a.kept.Sync()); err != nil {
		return err
	}
	if err := durable.WriteFile(beside(a.path, "checkpoint"), b, 0o600); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.checkpoint = b
	return nil
}

// Checkpoint is the newest that is kept, with the cosignatures of its witnesses; nil if there is none.
func (a *Log) Checkpoint() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.checkpoint
}

// AddCosignatures adds to the newest checkpoint those cosignatures of witnesses that a copy of it has. ErrCheckpoint if it is no copy.
func (a *Log) AddCosignatures(b []byte, v Verifier, witnesses ...Witness) error {
	a.signing.Lock()
	defer a.signing.Unlock()
	merged, err := merge(a.Checkpoint(), b, v, witnesses)
	if err != nil {
		return err
	}
	return a.keepCheckpoint(merged)
}

// Close ends the log.
func (a *Log) Close() error { return a.close() }

func (a *Log) close() error {
	var errs []error
	if a.log != nil {
		errs = append(errs, a.log.Close())
	}
	if a.acked != nil {
		errs = append(errs, a.acked.Close())
	}
	if a.kept != nil {
		errs = append(errs, a.kept.Close())
	}
	errs = append(errs, a.held.Close())
	return errors.Join(errs...)
}
