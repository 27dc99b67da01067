package durable

import "errors"

// What callers branch on.
var (
	// ErrCorrupt: the file holds something no crash of ours leaves behind. Nothing was changed (exit code 6).
	ErrCorrupt = errors.New("corrupted")
	// ErrTooLarge: a file or a record beyond its limit. Nothing was written.
	ErrTooLarge = errors.New("too large")
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("in use by another process")
	// ErrClosed: used after Close.
	ErrClosed = errors.New("closed")
	// ErrUnread: the disk fails, so that what is on it cannot be read; whether it is whole is not known.
	ErrUnread = errors.New("the disk cannot be read")
	// ErrBroken: an earlier write failed, and what it left on the disk is unknown. A Log takes it back as soon as it can.
	ErrBroken = errors.New("an earlier write failed, and what it left is not known")
)
