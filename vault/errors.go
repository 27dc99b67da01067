package vault

import (
	"errors"

	"github.com/luxfi/mpcd/internal/durable"
)

// What callers branch on. Returned errors wrap these with the fact and the next step.
var (
	// ErrNotFound: no such id, epoch, name or key.
	ErrNotFound = errors.New("not found")
	// ErrIntegrity: a record is not what this vault wrote there. Nothing was changed (exit code 6).
	ErrIntegrity = errors.New("integrity check failed")
	// ErrWrongKEK: this token's KEK, or this node, is not the one that sealed the vault (exit code 5).
	ErrWrongKEK = errors.New("wrong KEK")
	// ErrExists: the epoch is stored already, with other content.
	ErrExists = errors.New("exists with other content")
	// ErrState: the epoch is not in the state the call needs, or may not be stored any more.
	ErrState = errors.New("wrong state")
	// ErrRollback: the vault and the token's counter disagree: the directory is an older copy, or the counter another (exit
	// code 6). Nothing was changed.
	ErrRollback = errors.New("rolled back")
	// ErrRecovery: who can recover is not who is configured, or a recovery copy does not do its work.
	ErrRecovery = errors.New("recovery refused")
	// ErrUncounted: the vault is anchored in a counter, and where it is to go there is none.
	ErrUncounted = errors.New("no counter")
	// ErrInvalid: an argument is outside its limits.
	ErrInvalid = errors.New("invalid")

	// ErrCorrupt: the files of a Store are damaged. Nothing was changed (exit code 6).
	ErrCorrupt = durable.ErrCorrupt
	// ErrTooLarge: a key, value or batch is beyond the limits of Store. Nothing was written.
	ErrTooLarge = durable.ErrTooLarge
	// ErrLocked: another process has the store open.
	ErrLocked = durable.ErrLocked
	// ErrClosed: used after Close.
	ErrClosed = durable.ErrClosed
	// ErrFull: there is too little space on the disk of a Store. Nothing was written; it heals when there is space again.
	ErrFull = durable.ErrFull
	// ErrMoved: a Store's files are not where they were opened. Nothing was written; it heals when they are put back.
	ErrMoved = durable.ErrMoved
	// ErrUnread: the disk of a Store fails, so that what is on it cannot be read; whether it is whole is not known (exit code 8).
	ErrUnread = durable.ErrUnread
	// ErrBroken: an earlier write failed and its outcome is unknown; open anew.
	ErrBroken = durable.ErrBroken
)
