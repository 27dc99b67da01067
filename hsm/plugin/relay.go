package plugin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/internal/secret"
)

// Bounds of what a child may write into our log.
const (
	lineMax      = 1024 // bytes of a line; the rest of it is dropped
	linesBurst   = 100  // lines
	linesRefill  = 20   // lines a second
	attributeMax = 16   // of a line
)

// relay brings the lines of a child's stderr into the log: those of slog in JSON (what Serve writes) with their level, all others
// as they are. It keeps the last line, for the error of a child that did not start.
type relay struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	last    string
	tokens  float64
	at      time.Time
	dropped int
}

func newRelay(log *slog.Logger) *relay { return &relay{log: log, now: time.Now, tokens: linesBurst} }

// run reads until the end.
func (r *relay) run(from io.Reader) {
	in := bufio.NewReaderSize(from, lineMax)
	for {
		line, rest, err := in.ReadLine()
		if len(line) > 0 {
			r.line(string(line))
		}
		for rest && err == nil {
			_, rest, err = in.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

// allow counts a line against the bound.
func (r *relay) allow() bool {
	now := r.now()
	if !r.at.IsZero() {
		r.tokens = min(linesBurst, r.tokens+now.Sub(r.at).Seconds()*linesRefill)
	}
	r.at = now
	if r.tokens < 1 {
		r.dropped++
		return false
	}
	r.tokens--
	return true
}

func (r *relay) line(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	level, text, attrs := readLine(s)
	r.last = text
	if !r.allow() {
		return
	}
	if r.dropped > 0 {
		r.log.Warn("lines of the driver process were dropped", "lines", r.dropped)
		r.dropped = 0
	}
	r.log.LogAttrs(context.Background(), level, text, attrs...)
}

// readLine takes a line of slog apart; any other line is its own text.
func readLine(s string) (slog.Level, string, []slog.Attr) {
	var fields map[string]any
	if !strings.HasPrefix(s, "{") || json.Unmarshal([]byte(s), &fields) != nil {
		s = string(secret.WithoutWords([]byte(s))) // of a crash, perhaps
		return slog.LevelInfo, "driver process: " + clean(s, lineMax), nil
	}
	var level slog.Level
	var attrs []slog.Attr
	text := "driver"
	for name, v := range fields {
		value, isText := v.(string)
		if !isText {
			b, _ := json.Marshal(v)
			value = string(b)
		}
		value = clean(value, lineMax)
		switch name {
		case slog.TimeKey:
		case slog.LevelKey:
			_ = level.UnmarshalText([]byte(value)) // else it is Info
		case slog.MessageKey:
			text = value
		default:
			attrs = append(attrs, slog.String(clean(name, nameMax), value))
		}
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return level, text, attrs[:min(len(attrs), attributeMax)]
}

// words are the last line, for an error.
func (r *relay) words() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}
