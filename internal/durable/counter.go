package durable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
)

// The file of a Counter: two slots, a sector apart, written in turn, so that a torn write spares the other.
//
//	slot = value (8, big-endian) | crc32c of "mpcdctr1" and value (4)
const (
	slotLen    = 12
	slotStride = 4096
	slotMagic  = "mpcdctr1"
)

// Counter is a number in a file that only grows. One owner; safe for concurrent use.
type Counter struct {
	mu     sync.Mutex
	path   string
	file   *os.File
	value  uint64
	slot   int64 // the slot that holds value
	closed bool
}

// CreateCounter makes the file with value 0; an existing one is an error (os.ErrExist).
func CreateCounter(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("durable: counter %s: %w", path, os.ErrExist)
	}
	b := make([]byte, slotStride+slotLen)
	putSlot(b, 0)
	putSlot(b[slotStride:], 0)
	return WriteFile(path, b, 0o600)
}

// OpenCounter opens an existing file. ErrCorrupt if neither slot is sound.
func OpenCounter(path string) (*Counter, error) {
	value, slot, err := readCounter(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("durable: %w", err)
	}
	return &Counter{path: path, file: f, value: value, slot: slot}, nil
}

// ReadCounter is the value of a counter now, beside its owner.
func ReadCounter(path string) (uint64, error) {
	value, _, err := readCounter(path)
	return value, err
}

func readCounter(path string) (value uint64, slot int64, err error) {
	b, err := ReadFile(path, slotStride+slotLen)
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return 0, 0, err
	}
	value, slot, ok := parseCounter(b)
	if !ok || err != nil {
		return 0, 0, fmt.Errorf("durable: counter %s: %w", path, ErrCorrupt)
	}
	return value, slot, nil
}

// Value is the last number that Raise made durable.
func (c *Counter) Value() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// Raise makes n the value, durable on return; a lower n changes nothing. What failed may be tried again: it is written to the slot that
// does not hold the value.
func (c *Counter) Raise(n uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("durable: counter %s: %w", c.path, ErrClosed)
	}
	if n <= c.value {
		return nil
	}
	b := make([]byte, slotLen)
	putSlot(b, n)
	_, err := c.file.WriteAt(b, (1-c.slot)*slotStride)
	if err == nil {
		err = syncData(c.file)
	}
	if err != nil {
		return fmt.Errorf("durable: counter %s: %w", c.path, err)
	}
	c.value, c.slot = n, 1-c.slot
	return nil
}

// Check returns ErrMoved if the path leads to another file now, or to none: the next to open it would not see what is raised.
func (c *Counter) Check() error { return (&Held{c.path, c.file}).Check() }

// Close closes the file.
func (c *Counter) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return c.file.Close()
}

func putSlot(b []byte, v uint64) {
	binary.BigEndian.PutUint64(b, v)
	binary.BigEndian.PutUint32(b[8:], slotSum(b))
}

func slotSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(slotMagic), castagnoli), castagnoli, b[:8])
}

// parseCounter returns the higher sound slot.
func parseCounter(b []byte) (value uint64, slot int64, ok bool) {
	if len(b) != slotStride+slotLen {
		return 0, 0, false
	}
	for i := range int64(2) {
		s := b[i*slotStride:][:slotLen]
		if binary.BigEndian.Uint32(s[8:]) != slotSum(s) {
			continue
		}
		if v := binary.BigEndian.Uint64(s); !ok || v > value {
			value, slot, ok = v, i, true
		}
	}
	return value, slot, ok
}
