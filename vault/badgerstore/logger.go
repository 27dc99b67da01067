package badgerstore

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// badgerLogger passes on warnings and errors, and keeps Badger's chatter, which names keys, to itself.
type badgerLogger struct {
	to     *slog.Logger
	failed func(error) // is told of writes that failed in Badger's own goroutines, which it only logs; nil drops them
	named  func(string) string
}

// text is what Badger says, with its keys as text: it writes the numbers of their bytes.
func (l badgerLogger) text(format string, args []any) string {
	args = slices.Clone(args)
	for i, a := range args {
		if b, ok := a.([]byte); ok {
			args[i] = strconv.Quote(string(b))
		}
	}
	said := strings.TrimSpace(fmt.Sprintf(format, args...))
	if l.named != nil {
		return l.named(said)
	}
	return said
}

func (l badgerLogger) Errorf(format string, args ...any) {
	if l.to != nil {
		l.to.Error("badger", "message", l.text(format, args))
	}
	l.tell(format, args)
}

func (l badgerLogger) Warningf(format string, args ...any) {
	if l.to != nil {
		l.to.Warn("badger", "message", l.text(format, args))
	}
	l.tell(format, args)
}

// writing begins what Badger logs of writes that fail. What it says of reads is the reader's, who has it as an error too.
var writing = []string{"While running doCompact", "[Compactor", "While compacting", "While running compact def", "While forcing compaction",
	"error flushing memtable", "While trying to flush memtable", "writeRequests", "Error while curlf sync"}

func (l badgerLogger) tell(format string, args []any) {
	if !slices.ContainsFunc(writing, func(s string) bool { return strings.HasPrefix(format, s) }) {
		return
	}
	for _, a := range args {
		if err, ok := a.(error); ok && l.failed != nil {
			l.failed(err)
			return
		}
	}
}

// diskFailures are what a system says of a disk that is full or fails.
var diskFailures = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO}

// diskFailure finds one of them in an error, also in the words alone, which are what Badger keeps of most causes; nil if there is none.
func diskFailure(err error) error {
	for _, e := range diskFailures {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return e
		}
	}
	return nil
}

// told is an error with the failure of a disk that its words tell.
func told(err error) error {
	if failed := diskFailure(err); failed != nil && !errors.Is(err, failed) {
		return fmt.Errorf("%w: %w", failed, err)
	}
	return err
}

// lastWords hears what Badger says while it opens and then ends the process, with a code that says nothing: of DISCARD, a file that it can
// do without (y.Check). Where a disk has failed, that is told first.
type lastWords struct {
	to   io.Writer
	fail func(error)
}

func (w lastWords) Write(b []byte) (int, error) {
	said := errors.New(strings.TrimSpace(string(b)))
	if diskFailure(said) != nil {
		w.fail(fmt.Errorf("badgerstore: %w", told(said)))
	}
	return w.to.Write(b)
}

func (badgerLogger) Infof(string, ...any)  {}
func (badgerLogger) Debugf(string, ...any) {}
