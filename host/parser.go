package host

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/host/fault"
)

// parser turns values into types and keeps the first mistake.
type parser struct {
	values Values
	given  bool // judge only what somebody gave
	err    error
}

func (p *parser) wrong(key, do, format string, a ...any) {
	if p.err == nil && (!p.given || p.values[key].Origin != "default") {
		p.err = fault.Usage(do, "%s (%s): %s", key, p.values[key].Origin, fmt.Sprintf(format, a...))
	}
}

func (p *parser) text(key string) string { return p.values[key].Text }

// name is a word that goes into file names, subjects and certificates.
func (p *parser) name(key string) string {
	v := p.text(key)
	switch {
	case v == "":
		p.wrong(key, "set it in mpcd.yaml, or by the variable or flag that `mpcd config show` names", "not set")
	case transport.CheckName(key, v) != nil:
		p.wrong(key, "use 1 to 63 of a-z, 0-9, - and _", "%q is no name", v)
	}
	return v
}

func (p *parser) path(key string, required bool) string {
	v := p.text(key)
	if v == "" {
		if required {
			p.wrong(key, "set it in mpcd.yaml, or by the variable or flag that `mpcd config show` names", "not set")
		}
		return ""
	}
	abs, err := filepath.Abs(v)
	if err != nil {
		p.wrong(key, "write the full path", "%v", err)
	}
	return abs
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

func (p *parser) oneOf(key string, words ...string) string {
	if slices.Contains(words, p.text(key)) {
		return p.text(key)
	}
	p.wrong(key, fmt.Sprintf("use one of %v", words), "%q is unknown", p.text(key))
	return ""
}
