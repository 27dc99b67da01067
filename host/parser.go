package host

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// parser turns values into types and keeps the first mistake.
type parser struct {
	values Values
	given  bool // judge only what somebody gave
	err    error

	missing []string // what must be set and is not
	full    Values   // the values with their paths in full, where somebody wants these
}

// inFull keeps the value of a key with its paths in full.
func (p *parser) inFull(key, text string, list []string) {
	if v := p.values[key]; p.full != nil && v.Origin != "default" {
		v.Text, v.List = text, list
		p.full[key] = v
	}
}

func (p *parser) wrong(key, do, format string, a ...any) {
	if p.err == nil && (!p.given || p.values[key].Origin != "default") {
		p.err = fault.Usage(do, "%s (%s): %s", key, p.values[key].Origin, fmt.Sprintf(format, a...))
	}
}

// ErrNoConfiguration is of a node of which nothing is configured: most likely its file was not named.
var ErrNoConfiguration = errors.New("no configuration")

func (p *parser) text(key string) string { return p.values[key].Text }

// name is a word that goes into file names, subjects and certificates.
func (p *parser) name(key string) string {
	v := p.text(key)
	switch {
	case v == "":
		p.missing = append(p.missing, key)
	case transport.CheckName(key, v) != nil:
		p.wrong(key, "use 1 to 63 of a-z, 0-9, - and _", "%q is no name", v)
	}
	return v
}

func (p *parser) path(key string, required bool) string {
	v := p.text(key)
	if v == "" {
		if required {
			p.missing = append(p.missing, key)
		}
		return ""
	}
	path := p.place(key, v)
	p.inFull(key, path, nil)
	return path
}

// place is a path of the setting in full.
func (p *parser) place(key, path string) string {
	abs, err := filepath.Abs(filepath.Join(p.values[key].dir, path))
	if filepath.IsAbs(path) {
		abs, err = filepath.Clean(path), nil
	}
	if err != nil {
		p.wrong(key, "write the full path", "%v", err)
	}
	return abs
}

// paths are those of a list, in full.
func (p *parser) paths(key string) []string {
	out := []string{}
	for _, path := range p.values[key].List {
		out = append(out, p.place(key, path))
	}
	p.inFull(key, "", out)
	return out
}

// filePrefix begins a source of a secret that is a file.
const filePrefix = "file:"

// source is where a secret comes from: of file:PATH, with the path in full.
func (p *parser) source(key, text string) string {
	if path, ok := strings.CutPrefix(text, filePrefix); ok && path != "" {
		return filePrefix + p.place(key, path)
	}
	return text
}

// uri is the URI of a token with its paths in full: of library, PIN, device, and of the directory that is a token. One that cannot be read
// is told of by who opens it.
func (p *parser) uri(key string) string {
	text := p.text(key)
	u, err := hsm.ParseURI(text)
	if err != nil {
		return text
	}
	now, err := withPaths(u, func(path string) string { return p.place(key, path) })
	if err != nil {
		p.wrong(key, "write full paths", "%v", err)
	}
	if now.String() == u.String() {
		return text
	}
	p.inFull(key, now.String(), nil)
	return now.String()
}

// withPaths is a URI with another path in the place of each that it has: of library, device, PIN, and of the directory that is a token.
func withPaths(u *hsm.URI, other func(path string) string) (now *hsm.URI, err error) {
	at := *u
	if now = &at; u.Scheme == "local" && u.Path != "" {
		now.Path = other(u.Path)
	}
	for _, name := range []string{"module-path", "device", "pin-source"} {
		path, prefix := u.Attr(name), ""
		if file, ok := strings.CutPrefix(path, filePrefix); name == "pin-source" {
			if path, prefix = "", filePrefix; ok {
				path = file
			}
		}
		if path != "" && err == nil {
			now, err = now.With(name, prefix+other(path))
		}
	}
	return now, err
}

func (p *parser) number(key string, least, most int) int {
	n, err := strconv.Atoi(p.text(key))
	if err != nil || n < least || n > most {
		p.wrong(key, fmt.Sprintf("use a number from %d to %d", least, most), "%q is no number from %d to %d", p.text(key), least, most)
	}
	return n
}

func (p *parser) truth(key string) bool {
	switch p.text(key) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
	default:
		p.wrong(key, "use true or false", "%q is neither true nor false", p.text(key))
	}
	return false
}

func (p *parser) duration(key string) time.Duration {
	d, err := time.ParseDuration(p.text(key))
	if err != nil || d < 50*time.Millisecond || d > time.Hour {
		p.wrong(key, "use a duration from 50ms to 1h", "%q is no duration from 50ms to 1h", p.text(key))
	}
	return d
}

func (p *parser) address(key string) string {
	v := p.text(key)
	if v == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(v)
	if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 && port != "0" {
		p.wrong(key, "write host:port", "%q is no address", v)
	}
	return v
}

// routes are addresses that this node dials.
func (p *parser) routes(key string) []string {
	all := p.values[key].List
	for _, r := range all {
		if name, port, err := net.SplitHostPort(strings.TrimPrefix(r, "nats-route://")); err != nil || !Dialable(name, port) {
			p.wrong(key, "write host:port of each other node, with a port from 1 to 65535", "%q is no address of a node", r)
		}
	}
	return all
}

// hostName is a name of a host (RFC 1123 §2.1), and with underscores, which networks of containers give.
var hostName = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?\.)*[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$`)

// Dialable tells whether a name or address and a port, each in its one form, are what somebody else can dial.
func Dialable(name, port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != port || len(name) > 253 {
		return false
	}
	if ip := net.ParseIP(name); ip != nil {
		return !ip.IsUnspecified() && !ip.IsMulticast()
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return hostName.MatchString(name) && strings.Trim(last, "0123456789") != "" // which would be a broken address
}

func (p *parser) oneOf(key string, words ...string) string {
	if slices.Contains(words, p.text(key)) {
		return p.text(key)
	}
	p.wrong(key, fmt.Sprintf("use one of %v", words), "%q is unknown", p.text(key))
	return ""
}
