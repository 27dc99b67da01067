package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// quietFor is how long a stream of events may say nothing: a node shows every 15 seconds that it lives.
const quietFor = 45 * time.Second

// over tells whether nothing comes after a state of an operation.
func over(state string) bool { return state != "PENDING_APPROVAL" && state != "RUNNING" }

// Follow follows an operation by the events that a node sends until it is over, and returns it as it is then; each, unless it is nil, sees
// it whenever it has changed. Where a stream ends, it is taken up again where it was, at the next node that answers.
func (c *Client) Follow(ctx context.Context, id string, each func(*Operation)) (*Operation, error) {
	if c.invalid != nil {
		return nil, c.invalid
	}
	f := &following{c: c, id: id, each: each}
	for failed := 0; ; {
		n, wait := c.next()
		if err := sleep(ctx, wait); err != nil {
			return f.last, err
		}
		heard, err := f.stream(ctx, n.base)
		if f.last != nil && over(f.last.State) {
			c.settle(n, 0)
			return f.last, nil
		}
		if heard {
			failed = 0
		}
		failed++
		var e *Error
		refused := errors.As(err, &e) && !e.Retryable && (f.last == nil || e.Status != http.StatusNotFound)
		if refused || ctx.Err() != nil || failed >= c.attempts {
			return f.last, err
		}
		switch {
		case e != nil:
			c.settle(n, max(e.RetryAfter, backoff))
		case heard:
			c.settle(n, 0)
		default:
			c.settle(n, backoff)
		}
	}
}

// following is an operation that is followed.
type following struct {
	c    *Client
	id   string
	each func(*Operation)
	last *Operation // as it was seen last, by the event seen
	seen string
}

// stream reads the events of one node, and tells whether it has sent anything. It ends with an error in any case.
func (f *following) stream(ctx context.Context, base string) (heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(quietFor, cancel)
	defer quiet.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+operationPath(f.id)+"/events", nil)
	if err != nil {
		return false, fmt.Errorf("client: %w", err)
	}
	r.Header.Set("Accept", "text/event-stream, application/problem+json")
	if f.seen != "" {
		r.Header.Set("Last-Event-ID", f.seen)
	}
	if f.c.token != "" {
		r.Header.Set("Authorization", "Bearer "+f.c.token)
	}
	long := *f.c.http
	long.Timeout = 0 // a stream lasts
	w, err := long.Do(r)
	if err != nil {
		return false, fmt.Errorf("client: %w", err)
	}
	defer w.Body.Close()
	if w.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(w.Body, answerMax))
		return false, refusal(base, w, answer)
	}
	in := bufio.NewReader(w.Body)
	for {
		e, err := readEvent(in, func() { heard = true; quiet.Reset(quietFor) })
		if err != nil {
			return heard, fmt.Errorf("client: the events of %s ended: %w", base, err)
		}
		if err := f.take(e); err != nil {
			return heard, fmt.Errorf("client: the events of %s: %w", base, err)
		}
		if f.last != nil && over(f.last.State) {
			return true, nil
		}
	}
}

// take takes up what an event says of the operation.
func (f *following) take(e event) error {
	if e.name != "operation" {
		return nil
	}
	o := new(Operation)
	if err := json.Unmarshal(e.data, o); err != nil {
		return err
	}
	if o.ID != f.id {
		return fmt.Errorf("an event is of operation %.128q", o.ID)
	}
	f.last, f.seen = o, e.id
	if f.each != nil {
		f.each(o)
	}
	return nil
}

// event is one of a stream (WHATWG HTML, server-sent events).
type event struct {
	name, id string
	data     []byte
}

// errLong is of an event that is longer than any answer.
var errLong = fmt.Errorf("an event is longer than %d MiB", answerMax>>20)

// readEvent reads the next event that has data; alive is called with each line. No event has more than answerMax bytes.
func readEvent(in *bufio.Reader, alive func()) (e event, err error) {
	size := 0
	for {
		line, err := readLine(in, answerMax-size)
		if err != nil {
			return event{}, err
		}
		alive()
		size += len(line) + 1
		if len(line) == 0 {
			if e.data != nil {
				e.data = bytes.TrimSuffix(e.data, []byte("\n"))
				return e, nil
			}
			e, size = event{}, 0
			continue
		}
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.name = value
		case "data":
			e.data = append(append(e.data, value...), '\n')
		case "id":
			if !strings.ContainsAny(value, "\x00\r\n") {
				e.id = value
			}
		}
	}
}

// readLine reads a line of at most so many bytes, without its end, \n or \r\n, as nodes write them.
func readLine(in *bufio.Reader, most int) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); len(line) > most {
			return nil, errLong
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
