package badgerstore

import (
	"fmt"
	"log/slog"
	"strings"
)

// badgerLogger passes on warnings and errors, and keeps Badger's chatter, which names keys, to itself.
type badgerLogger struct{ to *slog.Logger }

func (l badgerLogger) Errorf(format string, args ...any) {
	if l.to != nil {
		l.to.Error("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l badgerLogger) Warningf(format string, args ...any) {
	if l.to != nil {
		l.to.Warn("badger", "message", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (badgerLogger) Infof(string, ...any)  {}
func (badgerLogger) Debugf(string, ...any) {}
