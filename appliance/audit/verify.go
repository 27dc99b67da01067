package audit

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
)

// Verified is what the reading of a whole log found.
type Verified struct {
	Head
	Last       [32]byte // hash of the last entry, in the chain
	Counted    bool     // the count of what was acknowledged is beside the log; a copy may lack it, and a log that was not taken over yet
	Acked      uint64   // entries that were acknowledged when the reading began; 0 where nobody counted
	Torn       int64    // bytes at the end that are no entry: torn off by a crash or just being written or, where nobody counted, cut
	Checkpoint Head     // signed by the node's token; of size 0 if there is none, or nothing to check it by
	OtherKey   bool     // there is one that another key has signed, as that of a token which was replaced: it says nothing
	signed     []byte
	tree       tree
}

// Verify reads the log at path, beside its owner and without changing anything: every entry, the chain, the count of what was acknowledged,
// the blocks that are kept, and the checkpoint, where v is given to check it by; and that it has grown from the heads that it had.
// durable.ErrCorrupt, with the first bad entry; os.ErrNotExist only where nothing tells that there was a log.
func Verify(path string, v Verifier, heads ...Head) (*Verified, error) {
	var had Log
	for _, h := range heads {
		Mark(h)(&had)
	}
	x, err := verify(path, v, had.least, nil)
	if err != nil {
		return nil, err
	}
	if err := uncounted(path, had.least); err != nil {
		return nil, err
	}
	return x, checkMarks(had.marks, &x.tree)
}

// ErrNoLog: a file is no audit log, and was none: no damage makes this of one.
var ErrNoLog = errors.New("not an audit log")

// errEnough ends a scan.
var errEnough = errors.New("enough")

// First reads the first entry of the log at path, and holds it against nothing. ErrNoLog.
func First(path string) (e Entry, err error) {
	if is, err := durable.IsLog(path); err != nil {
		return e, err
	} else if _, err := os.Lstat(beside(path, "acked")); !is && (path != beside(path, "log") || errors.Is(err, os.ErrNotExist)) {
		return e, ErrNoLog
	}
	if _, err = durable.ScanLog(path, durable.Place{}, func(r durable.Record) (err error) {
		if e, err = decode(r); err != nil {
			return err
		}
		return errEnough
	}); errors.Is(err, errEnough) {
		err = nil
	}
	return e, err
}

// verify reads the log, of which least entries are known to have been there at least.
func verify(path string, v Verifier, least uint64, see func(durable.Record)) (*Verified, error) {
	x := &Verified{}
	x.tree.load = func(n int) ([]tlog.Hash, error) { return scanBlock(path, n, x.tree.blocks[n].at) }
	var err error
	if x.Acked, err = durable.ReadCounter(beside(path, "acked")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	x.Counted = err == nil
	if err := x.readCheckpoint(path, v); err != nil {
		return nil, err
	}
	had := max(least, x.Acked, x.Checkpoint.Size)
	if err := missing(path, had); err != nil {
		return nil, err
	}
	kept := tree{}
	if err := kept.readBlocks(beside(path, "tree"), x.Acked/blockLen); err != nil {
		return nil, err
	}
	var c chain
	x.Torn, err = durable.ScanLog(path, durable.Place{}, func(r durable.Record) error {
		if err := c.next(r); err != nil {
			return err
		}
		if n := len(x.tree.blocks); x.tree.add(r.Data, r.Frame) && n < len(kept.blocks) && kept.blocks[n] != x.tree.blocks[n] {
			return fmt.Errorf("entries %d to %d: %w", n*blockLen+1, (n+1)*blockLen, errTree)
		}
		if see != nil {
			see(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	x.Last, x.Size = c.head, x.tree.size()
	if x.Size < had {
		return nil, fmt.Errorf("it ends with entry %d, but %d were acknowledged: it was cut, put back or damaged: %w", x.Size, had,
			durable.ErrCorrupt)
	}
	if x.Root, err = x.tree.root(x.Size); err != nil {
		return nil, err
	}
	return x, x.checkSigned()
}

func (x *Verified) readCheckpoint(path string, v Verifier) error {
	if v == nil {
		return nil
	}
	b, err := durable.ReadFile(beside(path, "checkpoint"), maxCheckpoint)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	head, signed, err := OpenCheckpoint(b, v)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", durable.ErrCorrupt, err)
	case !signed:
		x.OtherKey = true
	default:
		x.Checkpoint, x.signed = head, b
	}
	return nil
}

// GrownFrom holds it that the log has grown from a head that it had. durable.ErrCorrupt if it has not.
func (x *Verified) GrownFrom(h Head) error {
	if h.Size > x.Size {
		return fmt.Errorf("it has %d entries, and had the %d of the checkpoint: it was cut, or put back: %w", x.Size, h.Size, durable.ErrCorrupt)
	}
	root, err := x.tree.root(h.Size)
	if err == nil && root != h.Root {
		err = fmt.Errorf("its first %d entries are not those of the checkpoint: it was rewritten: %w", h.Size, durable.ErrCorrupt)
	}
	return err
}

// Signed is the checkpoint that v's key has signed, with its cosignatures; nil if there is none.
func (x *Verified) Signed() []byte { return x.signed }

func (x *Verified) checkSigned() error {
	if x.Checkpoint.Size == 0 {
		return nil
	}
	root, err := x.tree.root(x.Checkpoint.Size)
	if err == nil && root != x.Checkpoint.Root {
		err = fmt.Errorf("the first %d entries are not the ones whose hash the token signed: %w", x.Checkpoint.Size, errTree)
	}
	return err
}

// scanBlock are the hashes of the entries of a whole block, read from the file.
func scanBlock(path string, n int, at durable.Place) (leaves []tlog.Hash, err error) {
	done := errors.New("done")
	_, err = durable.ScanLog(path, at, func(r durable.Record) error {
		if r.Seq > uint64(n)*blockLen {
			leaves = append(leaves, tlog.RecordHash(r.Data))
		}
		if len(leaves) == blockLen {
			return done
		}
		return nil
	})
	switch err {
	case done:
		return leaves, nil
	case nil:
		return nil, errTree
	}
	return nil, err
}

// Export calls f with the entries from number from to number to, as many as there are, after the whole log was verified once.
func Export(path string, v Verifier, from, to uint64, f func(Entry) error) error {
	var last uint64
	x, err := Verify(path, v)
	if err != nil {
		return err
	}
	last = min(to, x.Size)
	if from > last {
		return nil
	}
	at := durable.Place{}
	if n := (max(from, 1) - 1) / blockLen; n < uint64(len(x.tree.blocks)) {
		at = x.tree.blocks[n].at
	}
	done := errors.New("done")
	_, err = durable.ScanLog(path, at, func(r durable.Record) error {
		switch {
		case r.Seq < from:
			return nil
		case r.Seq > last:
			return done
		}
		e, err := decode(r)
		if err == nil {
			err = f(e)
		}
		return err
	})
	if err == done {
		err = nil
	}
	return err
}

// Hash is a hash in a proof, in hexadecimal digits.
type Hash [32]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("a hash of %d digits, want %d", len(b), 2*len(h))
	}
	_, err := hex.Decode(h[:], b)
	return err
}

func hashes(in []tlog.Hash) []Hash {
	out := make([]Hash, len(in))
	for i := range in {
		out[i] = Hash(in[i])
	}
	return out
}

// Proof shows that an entry is in the log under a checkpoint, and that the log has only grown since an older one, to who knows nothing but
// the key that the roster pins for the node.
type Proof struct {
	Seq         uint64 `json:"seq"`
	Entry       []byte `json:"entry"`                 // as it is stored and hashed: canonical CBOR
	Inclusion   []Hash `json:"inclusion"`             // RFC 6962 §2.1.1, of leaf seq-1
	Checkpoint  string `json:"checkpoint"`            // C2SP tlog-checkpoint
	Since       string `json:"since,omitempty"`       // an older checkpoint
	Consistency []Hash `json:"consistency,omitempty"` // RFC 6962 §2.1.2
}

// ErrNoCheckpoint: no checkpoint is there, or none that has the entry under it yet.
var ErrNoCheckpoint = errors.New("no checkpoint")

// ErrNoEntry: the log has no entry of that number.
var ErrNoEntry = errors.New("no such entry")

// Prove makes the proof of an entry under the last checkpoint, after the whole log was verified; since is an older checkpoint, or nil.
// ErrNoEntry, ErrNoCheckpoint; ErrCheckpoint if since is none of this log.
func Prove(path string, v Verifier, seq uint64, since []byte) (*Proof, error) {
	p := &Proof{Seq: seq}
	var old Head
	if since != nil {
		var err error
		if old, _, err = OpenCheckpoint(since, v); err != nil { // whoever signed it, the log tells whether it is its own
			return nil, err
		}
	}
	x, err := verify(path, v, 0, func(r durable.Record) {
		if r.Seq == seq {
			p.Entry = append([]byte(nil), r.Data...)
		}
	})
	switch {
	case err != nil:
		return nil, err
	case seq < 1 || seq > x.Size:
		return nil, fmt.Errorf("%w as %d: the log has 1 to %d", ErrNoEntry, seq, x.Size)
	case max(seq, old.Size) > x.Checkpoint.Size && old.Size <= x.Size:
		return nil, fmt.Errorf("entry %d: the last checkpoint has %d entries under it: %w", max(seq, old.Size), x.Checkpoint.Size,
			ErrNoCheckpoint)
	}
	p.Checkpoint = string(x.signed)
	proof, err := tlog.ProveRecord(int64(x.Checkpoint.Size), int64(seq-1), &x.tree)
	if err != nil {
		return nil, err
	}
	p.Inclusion = hashes(proof)
	if since == nil {
		return p, nil
	}
	if err := x.GrownFrom(old); err != nil {
		return nil, err
	}
	grown, err := tlog.ProveTree(int64(x.Checkpoint.Size), int64(old.Size), &x.tree)
	if err != nil {
		return nil, err
	}
	p.Since, p.Consistency = string(since), hashes(grown)
	return p, nil
}

// findBlocks bounds how many blocks Find reads: 8,192 entries.
const findBlocks = 32

// Find is the first entry from a time on that is the one asked for, by the clock that dates entries; after a clock was put back it may not
// be found. ErrNoEntry, also where it is not among the 8,192 from then on.
func (a *Log) Find(from time.Time, is func(Entry) bool) (Entry, error) {
	var failed error
	blocks := int((a.Len() + blockLen - 1) / blockLen)
	first := sort.Search(blocks, func(n int) bool { // the first block that begins at that time or later
		at, err := a.beginOf(n)
		failed = errors.Join(failed, err)
		return err != nil || at >= from.UnixMilli()
	})
	for n := max(first-1, 0); n < min(blocks, first+findBlocks) && failed == nil; n++ {
		es, err := a.Entries(uint64(n)*blockLen, blockLen)
		failed = err
		for _, e := range es {
			if e.Time >= from.UnixMilli() && is(e) {
				return e, nil
			}
		}
	}
	return Entry{}, cmp.Or(failed, fmt.Errorf("%w in the log from %s on", ErrNoEntry, from.UTC().Format(time.RFC3339)))
}

// beginOf is when the first entry of a block was made, in Unix milliseconds: one is read, and held against nothing.
func (a *Log) beginOf(n int) (int64, error) {
	a.mu.Lock()
	at := a.tree.at
	if n < len(a.tree.blocks) {
		at = a.tree.blocks[n].at
	}
	a.mu.Unlock()
	for r, err := range a.log.Records(at) {
		if err != nil {
			return 0, err
		}
		if r.Seq > uint64(n)*blockLen {
			e, err := decode(r)
			return e.Time, err
		}
	}
	return 0, fmt.Errorf("block %d: %w", n, errTree)
}

// Prove makes the proof of an entry under the last checkpoint of the log that is open. ErrNoEntry, ErrNoCheckpoint.
func (a *Log) Prove(seq uint64) (*Proof, error) {
	p := &Proof{Seq: seq, Checkpoint: string(a.Checkpoint())}
	t := a.treeNow()
	if seq < 1 || seq > t.size() {
		return nil, fmt.Errorf("%w as %d: the log has 1 to %d", ErrNoEntry, seq, t.size())
	}
	under, _ := HeadIn([]byte(p.Checkpoint)) // of size 0 where there is none
	if seq > under.Size {
		return nil, fmt.Errorf("entry %d: the last checkpoint has %d entries under it: %w", seq, under.Size, ErrNoCheckpoint)
	}
	records, err := a.readBlock(int((seq - 1) / blockLen))
	if err != nil {
		return nil, err
	}
	p.Entry = records[(seq-1)%blockLen].Data
	proof, err := tlog.ProveRecord(int64(under.Size), int64(seq-1), t)
	p.Inclusion = hashes(proof)
	return p, err
}

// Shown is what a proof shows.
type Shown struct {
	Entry Entry
	Under Head // the checkpoint's
	Since Head // of the older checkpoint from which the log has only grown; of size 0 if the proof shows no growth
}

var errOtherKey = errors.New("another key than the roster's has signed it; one of before a token was replaced counts for who has kept " +
	"it, and gives it")

// Check checks a proof. since is a checkpoint that the verifier keeps: the log must have grown from that one then; nil takes the proof's.
// durable.ErrCorrupt if it does not hold, or does not show that; ErrCheckpoint if since is none of this log.
func (p *Proof) Check(v Verifier, since []byte) (x Shown, err error) {
	bad := func(what string, err error) (Shown, error) {
		return Shown{}, fmt.Errorf("%s: %w: %w", what, durable.ErrCorrupt, err)
	}
	var signed bool
	if x.Under, signed, err = OpenCheckpoint([]byte(p.Checkpoint), v); err != nil || !signed {
		return bad("checkpoint", cmp.Or(err, errOtherKey))
	}
	if p.Seq < 1 || p.Seq > x.Under.Size {
		return bad("entry", fmt.Errorf("number %d of %d", p.Seq, x.Under.Size))
	}
	if err := canon.UnmarshalVersion(p.Entry, version, &x.Entry); err != nil {
		return bad("entry", err)
	}
	if x.Entry.Seq != p.Seq {
		return bad("entry", errTree)
	}
	if err := tlog.CheckRecord(tlogHashes(p.Inclusion), int64(x.Under.Size), x.Under.Root, int64(p.Seq-1),
		tlog.RecordHash(p.Entry)); err != nil {
		return bad("inclusion", err)
	}
	if p.Since != "" {
		if x.Since, signed, err = OpenCheckpoint([]byte(p.Since), v); err != nil || !signed && since == nil {
			return bad("older checkpoint", cmp.Or(err, errOtherKey))
		}
		if err := tlog.CheckTree(tlogHashes(p.Consistency), int64(x.Under.Size), x.Under.Root, int64(x.Since.Size), x.Since.Root); err != nil {
			return bad("consistency", err)
		}
	}
	if since == nil {
		return x, nil
	}
	kept, _, err := OpenCheckpoint(since, v) // its holder's word, whoever signed it
	if err != nil {
		return Shown{}, err
	}
	if x.Since != kept {
		return bad("growth", fmt.Errorf("it is not shown from the checkpoint given, of %d entries", kept.Size))
	}
	return x, nil
}

func tlogHashes(in []Hash) []tlog.Hash {
	out := make([]tlog.Hash, len(in))
	for i := range in {
		out[i] = tlog.Hash(in[i])
	}
	return out
}

// ParseProof reads a proof, strictly: no field unknown, missing, repeated or differently spelled.
func ParseProof(b []byte) (*Proof, error) {
	p := &Proof{}
	if err := canon.UnmarshalJSON(b, p); err != nil {
		return nil, fmt.Errorf("not a proof: %w", err)
	}
	return p, nil
}
