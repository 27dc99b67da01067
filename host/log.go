package host

import (
	"context"
	"io"
	"log/slog"
)

// ParseLevel reads a level: debug, info, warn or error.
func ParseLevel(text string) (l slog.Level) {
	_ = l.UnmarshalText([]byte(text)) // checked when the configuration was read
	return l
}

// NewLogger writes to w; format is text or json.
func NewLogger(w io.Writer, level slog.Leveler, format string) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		o.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr { // with its unit: a bare number is of nanoseconds, which nobody can know
			if a.Value.Kind() == slog.KindDuration {
				a.Value = slog.StringValue(a.Value.Duration().String())
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// quieter lowers what the NATS server tells of itself.
func quieter(l *slog.Logger) *slog.Logger { return slog.New(lowered{l.Handler(), slog.LevelWarn}) }

// lowered makes debug lines of all that are not above a level.
type lowered struct {
	slog.Handler
	upTo slog.Level
}

func (h lowered) level(l slog.Level) slog.Level {
	if l <= h.upTo {
		return min(l, slog.LevelDebug)
	}
	return l
}

func (h lowered) Enabled(ctx context.Context, l slog.Level) bool {
	return h.Handler.Enabled(ctx, h.level(l))
}

func (h lowered) Handle(ctx context.Context, r slog.Record) error {
	r.Level = h.level(r.Level)
	return h.Handler.Handle(ctx, r)
}

func (h lowered) WithAttrs(a []slog.Attr) slog.Handler {
	return lowered{h.Handler.WithAttrs(a), h.upTo}
}
func (h lowered) WithGroup(g string) slog.Handler { return lowered{h.Handler.WithGroup(g), h.upTo} }
