package badgerstore

import (
	"fmt"
	"log/slog"
	"strings"
)

// badgerLogger passes on warnings and errors, and keeps Badger's chatter, which names keys, to itself.
type badgerLogger struct {
	to     *slog.Logger
	failed func(error) // is told of the errors that Badger only logs, those of its own goroutines; nil drops them
}

func (l badgerLogger) Errorf(format string, args ...any) {
	if l.to != nil {
		l.to.Error("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	l.tell(args)
}

func (l badgerLogger) Warningf(format string, args ...any) {
	if l.to != nil {
		l.to.Warn("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
	l.tell(args)
}

func (l badgerLogger) tell(args []any) {
	for _, a := range args {
		if err, ok := a.(error); ok && l.failed != nil {
			l.failed(err)
			return
		}
	}
}

func (badgerLogger) Infof(string, ...any)  {}
func (badgerLogger) Debugf(string, ...any) {}
