package durable

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
)

// errTorn: the file ends in a frame whose write a crash interrupted. None of its records was acknowledged.
var errTorn = errors.New("torn tail")

// LogConfig says how a Log is opened. The zero value is right outside tests.
type LogConfig struct {
	// Hook stands between the log and its file, for crash tests.
	Hook Hook
	// Perm is the mode of a new file; 0 means 0600.
	Perm os.FileMode
	// From is the place of a frame that was read before; what is before it is not read. The zero value is the first.
	From Place
	// Acked is the number of records that were acknowledged. A log that ends before is ErrCorrupt, and not called torn.
	Acked uint64
}

// Place is where a frame of a log begins, and the number of its first record. The zero value is the place of the first frame.
type Place struct {
	Offset int64
	Seq    uint64
}

// Log is an append-only file of records, numbered from 1. It is safe for concurrent use; one process has it open at a time.
type Log struct {
	path  string
	file  *os.File
	out   File
	id    fileID
	torn  int64
	group *Group[*appendance]

	buf []byte // of the commit in progress; Group runs one at a time

	mu     sync.Mutex
	size   int64  // durable bytes
	next   uint64 // number of the next record
	broken error
}

// appendance is one call of AppendBatch in a group.
type appendance struct {
	records [][]byte
	weight  int
	first   uint64
}

// OpenLog opens the log at path, or makes an empty one where there is none. It reads the file, from c.From on; a torn tail, which only
// a crash before an acknowledgement leaves, is kept aside in path + ".torn" and cut off (see Torn). Any other damage is
// ErrCorrupt, and nothing is changed. ErrLocked if another process has it.
func OpenLog(path string, c LogConfig) (*Log, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if err := createLog(path, c); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("durable: %w", err)
	}
	l := &Log{path: path, file: f, out: c.Hook.wrap(f)}
	if err := l.replay(c); err != nil {
		f.Close()
		return nil, fmt.Errorf("durable: log %s: %w", path, err)
	}
	l.group = NewGroup(maxPayload, func(a *appendance) int { return a.weight }, l.commit)
	return l, nil
}

func createLog(path string, c LogConfig) error {
	var id fileID
	_, _ = rand.Read(id[:])
	perm := c.Perm
	if perm == 0 {
		perm = 0o600
	}
	return writeFile(path, fileHeader(id), perm, c.Hook)
}

func (l *Log) replay(c LogConfig) error {
	if err := lock(l.file); err != nil {
		return err
	}
	st, err := l.file.Stat()
	if err != nil {
		return err
	}
	r, err := newReader(l.file, st.Size())
	if err != nil {
		return err
	}
	if err := r.seek(c.From); err != nil {
		return err
	}
	for err == nil {
		_, err = r.frame()
	}
	if err != io.EOF && err != errTorn {
		return err
	}
	if r.next <= c.Acked {
		return fmt.Errorf("it ends with record %d, but %d were acknowledged: it was cut, put back or damaged: %w", r.next-1, c.Acked, ErrCorrupt)
	}
	l.id, l.size, l.next = r.id, r.off, r.next
	l.torn = r.size - r.off
	if l.torn == 0 {
		return nil
	}
	tail, err := r.read(r.off, l.torn)
	if err != nil {
		return err
	}
	if err := WriteFile(l.path+".torn", tail, 0o600); err != nil {
		return err
	}
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	return l.file.Sync()
}

// Torn is the number of bytes of a torn tail that OpenLog cut off; worth a line in the node's log.
func (l *Log) Torn() int64 { return l.torn }

// End is where the next frame will begin, and the number the next record gets.
func (l *Log) End() Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Place{l.size, l.next}
}

// Append adds a record of 1 to MaxRecord bytes and returns its number when it is durable. The record is not kept. Of a write
// that failed nothing stays: the next call first cuts off what it left, and is ErrBroken for as long as that fails too.
func (l *Log) Append(ctx context.Context, record []byte) (uint64, error) {
	return l.AppendBatch(ctx, [][]byte{record})
}

// AppendBatch adds all records or, after a crash, none; it returns the number of the first. They may be 4 MiB together, 8
// bytes of overhead each.
func (l *Log) AppendBatch(ctx context.Context, records [][]byte) (uint64, error) {
	a := &appendance{records: records}
	for _, r := range records {
		if len(r) == 0 || len(r) > MaxRecord {
			return 0, fmt.Errorf("durable: log %s: record of %d bytes, 1 to %d allowed: %w", l.path, len(r), MaxRecord, ErrTooLarge)
		}
		a.weight += recordHeaderLen + len(r)
	}
	if len(records) == 0 || a.weight > maxPayload {
		return 0, fmt.Errorf("durable: log %s: batch of %d records, %d bytes, at most %d: %w", l.path, len(records), a.weight,
			maxPayload, ErrTooLarge)
	}
	if err := l.group.Do(ctx, a); err != nil {
		return 0, fmt.Errorf("durable: log %s: %w", l.path, err)
	}
	return a.first, nil
}

// commit writes one frame with all records of the group and syncs it.
func (l *Log) commit(group []*appendance) error {
	if err := l.mend(); err != nil {
		return err
	}
	l.mu.Lock()
	next := l.next
	l.mu.Unlock()
	first := next
	buf := append(l.buf[:0], make([]byte, frameHeaderLen)...)
	for _, a := range group {
		a.first = next
		for _, r := range a.records {
			buf = appendRecord(buf, r)
		}
		next += uint64(len(a.records))
	}
	putFrameHeader(buf, l.id, int(next-first), first)
	l.buf = buf

	_, err := l.out.Write(buf)
	if err == nil {
		err = l.out.Sync()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.broken == nil {
			l.broken = ErrBroken
		}
		return err
	}
	l.size += int64(len(buf))
	l.next = next
	return nil
}

// mend brings the file back to what was acknowledged after a write that failed: what that one left is cut off, durably, so that its
// outcome is known from then on. It returns why the log cannot be written, nil if it can.
func (l *Log) mend() error {
	l.mu.Lock()
	size, broken := l.size, l.broken
	l.mu.Unlock()
	if !errors.Is(broken, ErrBroken) {
		return broken
	}
	err := l.out.Truncate(size)
	if err == nil {
		err = l.out.Sync()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.broken, ErrBroken) { // not closed meanwhile
		l.broken = nil
	}
	return l.broken
}

// Writable returns why nothing can be appended now, nil if something may. After a write that failed it tries whether the disk is well
// again.
func (l *Log) Writable() error {
	l.mu.Lock()
	broken := l.broken
	l.mu.Unlock()
	if !errors.Is(broken, ErrBroken) {
		return broken
	}
	return l.group.Idle(l.mend)
}

// Record is one record of a Log, with its number.
type Record struct {
	Seq   uint64
	Data  []byte
	Frame Place // where it was read; many records share one
}

// Records iterates over the durable records from a frame on, as of the call. Data is valid until the next step. The iteration ends after
// an error.
func (l *Log) Records(from Place) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		_, err := scan(l.file, l.End().Offset, from, func(r Record) bool { return yield(r, nil) })
		if err == errTorn {
			err = ErrCorrupt // below the durable size nothing may be torn
		}
		if err != nil {
			yield(Record{}, fmt.Errorf("durable: log %s: %w", l.path, err))
		}
	}
}

// scan reads the records of a file of the given size until f returns false. It returns where the sound frames end, and errTorn if there is
// a tail behind them that a crash may leave.
func scan(src io.ReaderAt, size int64, from Place, f func(Record) bool) (end int64, err error) {
	r, err := newReader(src, size)
	if err == nil {
		err = r.seek(from)
	}
	if err != nil {
		return 0, err
	}
	for {
		at := Place{r.off, r.next}
		fr, err := r.frame()
		if err == io.EOF {
			return r.off, nil
		}
		if err != nil {
			return r.off, err
		}
		more := true
		err = fr.each(func(seq uint64, data []byte) bool {
			more = f(Record{seq, data, at})
			return more
		})
		if err != nil || !more {
			return r.off, err
		}
	}
}

// IsLog tells whether the file at path is a log, or what damage may have left of one: it begins as a log does, or as much as there is of it
// does, or its first frame has the id of its header.
func IsLog(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("durable: %w", err)
	}
	defer file.Close()
	b := make([]byte, fileHeaderLen+idLen)
	n, err := io.ReadFull(file, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, fmt.Errorf("durable: %w", err)
	}
	magic := min(n, len(fileMagic))
	return string(b[:magic]) == fileMagic[:magic] || n == len(b) && bytes.Equal(b[len(fileMagic):][:idLen], b[fileHeaderLen:]), nil
}

// ScanLog reads the records of the log at path from a frame on as it is now, beside its owner and without changing anything, until f fails.
// What a crash tore off, or its owner is just writing, are the last torn bytes.
func ScanLog(path string, from Place, f func(Record) error) (torn int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("durable: %w", err)
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return 0, fmt.Errorf("durable: %w", err)
	}
	var ferr error
	end, err := scan(file, st.Size(), from, func(r Record) bool { ferr = f(r); return ferr == nil })
	switch {
	case ferr != nil:
		return 0, ferr
	case err == errTorn:
		return st.Size() - end, nil
	case err != nil:
		return 0, fmt.Errorf("durable: log %s: %w", path, err)
	}
	return 0, nil
}

// Close waits for the commit in progress and closes the file; further calls return ErrClosed. It is idempotent.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := errors.Is(l.broken, ErrClosed)
	l.broken = ErrClosed
	l.mu.Unlock()
	if closed {
		return nil
	}
	err := l.group.Idle(func() error { return l.file.Close() })
	if err != nil {
		return fmt.Errorf("durable: log %s: %w", l.path, err)
	}
	return nil
}
