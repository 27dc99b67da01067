package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
)

const (
	// bodyMax is the largest request body, in bytes; the longest message is half of it in hex.
	bodyMax = 256 << 10
	// bodyTimeout is how long a client may take to send a body.
	bodyTimeout = 10 * time.Second
	// unreadGrace is how long a connection waits for the rest of a body that nobody reads. Past it, net/http ends the connection with the
	// answer, since the next request cannot be found on it.
	unreadGrace = time.Second
	// nestingMax is the deepest nesting of a body.
	nestingMax = 4
	// tokensMax is the most JSON tokens of a body.
	tokensMax = 4096
)

// readBody reads the whole body and checks that it is one JSON object with one meaning. It returns the canonical form: keys
// sorted, no spaces, numbers as they were written. An empty body is the empty object. What it fails with is a problem's cause.
func readBody(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	if err := checkMediaType(r.Header); err != nil {
		return nil, err
	}
	readBy(w, bodyTimeout)
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		readBy(w, unreadGrace)
	} else { // the deadline must go: net/http takes one that passes while the handler runs for a client that left
		readBy(w, 0)
	}
	var tooLarge *http.MaxBytesError
	var ne net.Error
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem.Error{Code: codeTooLarge, Message: fmt.Sprintf("the body is larger than %d KiB", bodyMax>>10),
			Next: fmt.Sprintf("a message to sign may have at most %d KiB; sign a digest of larger data", appliance.MaxMessage>>10)}
	case errors.As(err, &ne) && ne.Timeout():
		return nil, &problem.Error{Code: codeSlowClient, Message: fmt.Sprintf("the body did not arrive within %s", bodyTimeout)}
	case err != nil:
		return nil, &problem.Error{Code: codeMalformed, Message: "the body ended early"}
	}
	return parseObject(raw)
}

// readBy bounds how long the body is waited for from now on; 0 takes the bound away. A recorder in a test has none.
func readBy(w http.ResponseWriter, within time.Duration) {
	var deadline time.Time
	if within > 0 {
		deadline = time.Now().Add(within)
	}
	_ = http.NewResponseController(w).SetReadDeadline(deadline)
}

// writeBy bounds how long the client may take to read the answer, from now on.
func writeBy(w http.ResponseWriter, within time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within))
}

// checkMediaType lets JSON pass, under its own name, under none, and under the one that curl -d writes.
func checkMediaType(h http.Header) error {
	if e := h.Get("Content-Encoding"); e != "" && e != "identity" {
		return &problem.Error{Code: codeMediaType, Message: "the body is compressed", Next: "send it without Content-Encoding"}
	}
	ct := h.Get("Content-Type")
	if ct == "" {
		return nil
	}
	media, _, err := mime.ParseMediaType(ct)
	if err == nil && (media == "application/json" || media == "application/x-www-form-urlencoded") {
		return nil
	}
	return &problem.Error{Code: codeMediaType, Message: fmt.Sprintf("the body is %q", ct),
		Next: "send JSON with Content-Type: application/json"}
}

func malformed(format string, a ...any) error {
	return &problem.Error{Code: codeMalformed, Message: fmt.Sprintf(format, a...)}
}

// parseObject reads one JSON object strictly: valid UTF-8, no duplicate keys, no key that another spelling of a known one might
// be mistaken for, bounded depth and size, nothing after the end. Numbers stay json.Number.
func parseObject(raw []byte) (map[string]any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return map[string]any{}, nil
	}
	return newStrictParser(raw).whole(raw)
}

// parseStrict is parseObject for objects of others than callers: names of fields may be spelled in any way.
func parseStrict(raw []byte) (map[string]any, error) {
	p := newStrictParser(raw)
	p.anyName = true
	return p.whole(raw)
}

// whole reads one object and nothing else.
func (p *strictParser) whole(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) {
		return nil, malformed("the body is not valid UTF-8")
	}
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.d.Token(); err != io.EOF {
		return nil, malformed("there is something after the JSON object")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, malformed("the body is JSON, but not an object")
	}
	return object, nil
}

type strictParser struct {
	d       *json.Decoder
	left    int
	anyName bool // names of fields may be spelled in any way
}

func newStrictParser(raw []byte) *strictParser {
	p := &strictParser{d: json.NewDecoder(bytes.NewReader(raw)), left: tokensMax}
	p.d.UseNumber()
	return p
}

func (p *strictParser) token() (json.Token, error) {
	if p.left--; p.left < 0 {
		return nil, malformed("the body has more than %d JSON tokens", tokensMax)
	}
	t, err := p.d.Token()
	if err != nil {
		return nil, malformed("the body is not JSON at byte %d", p.d.InputOffset())
	}
	if s, ok := t.(string); ok && strings.ContainsRune(s, utf8.RuneError) { // which encoding/json puts for half of a surrogate pair
		return nil, malformed("the text before byte %d has U+FFFD, or half of a surrogate pair, which is no character", p.d.InputOffset())
	}
	return t, nil
}

func (p *strictParser) value(depth int) (any, error) {
	if depth > nestingMax {
		return nil, malformed("the body is nested deeper than %d levels", nestingMax)
	}
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return p.object(depth)
	case json.Delim('['):
		list := []any{}
		for p.d.More() {
			v, err := p.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := p.token()
		return list, err
	}
	return t, nil
}

func (p *strictParser) object(depth int) (any, error) {
	object := map[string]any{}
	for p.d.More() {
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, malformed("the body is not JSON at byte %d", p.d.InputOffset())
		}
		if !p.anyName && strings.ContainsFunc(key, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }) {
			return nil, invalidField(clip(key), "fields are written in lower case, as /docs has them", "unknown field %q", clip(key))
		}
		if _, twice := object[key]; twice {
			return nil, malformed("the field %q stands twice in the body", clip(key))
		}
		if object[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
	}
	_, err := p.token()
	return object, err
}

// clip shortens what a stranger sent to what an error may repeat.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// encodeCanonical is the one encoding of an object: keys sorted, no spaces, numbers as written.
func encodeCanonical(object map[string]any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(object); err != nil {
		panic("api: encoding what was just decoded: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
