package badgerstore

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// badgerLogger passes on warnings and errors, and keeps Badger's chatter, which names keys, to itself.
type badgerLogger struct {
	to     *slog.Logger
	failed func(error) // is told of writes that failed in Badger's own goroutines, which it only logs; nil drops them
}

func (l badgerLogger) Errorf(format string, args ...any) {
	if l.to != nil {
		l.to.Error("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	l.tell(format, args)
}

func (l badgerLogger) Warningf(format string, args ...any) {
	if l.to != nil {
		l.to.Warn("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
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

func (badgerLogger) Infof(string, ...any)  {}
func (badgerLogger) Debugf(string, ...any) {}
