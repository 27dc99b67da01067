package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"time"

	"github.com/luxfi/mpcd/client/wire"
)

// backoff is what a node that failed without a Retry-After is left alone for: a second.
const backoff = time.Second

// call is send without headers of the request's own.
func call[T any](ctx context.Context, c *Client, method, path string, body any) (*T, error) {
	return send[T](ctx, c, method, path, nil, body)
}

// send asks one node after another until one answers, each no earlier than it asked for. The body is encoded once: every attempt
// sends the same bytes.
func send[T any](ctx context.Context, c *Client, method, path string, header http.Header, body any) (*T, error) {
	if c.invalid != nil {
		return nil, c.invalid
	}
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("client: encoding the request: %w", err)
		}
	}
	var last error
	said := map[string]string{} // by each node, at last
	for i := range c.attempts {
		n, wait := c.next()
		if err := sleep(ctx, wait); err != nil {
			return nil, errors.Join(err, last)
		}
		answer, err := c.ask(ctx, n, i == c.attempts-1, method, path, header, encoded)
		if err == nil {
			c.settle(n, 0)
			out := new(T)
			if err := json.Unmarshal(answer, out); err != nil {
				return nil, fmt.Errorf("client: the answer of %s: %w", n.base, err)
			}
			return out, nil
		}
		said[n.base], last = short(err), of(err, n.base, said)
		var e *Error
		if errors.As(err, &e) {
			if !e.Retryable {
				return nil, last
			}
			c.settle(n, max(e.RetryAfter, backoff))
			continue
		}
		if ctx.Err() != nil {
			return nil, last
		}
		c.settle(n, backoff)
	}
	return nil, last
}

// ask asks a node that lives. A process that is stopped, or a host that is gone, takes a connection and gives nothing, and an act may take
// long, so a node of which nothing was heard just now must first answer GET /livez, which does nothing; else the request is not sent to it
// at all. The last that a call may ask, or the only one, is asked in any case: there is nobody in its place.
func (c *Client) ask(ctx context.Context, n *node, last bool, method, path string, header http.Header, body []byte) ([]byte, error) {
	if !last && len(c.nodes) > 1 && !c.heardOf(n, false) {
		if err := c.live(ctx, n.base); err != nil {
			return nil, err
		}
	}
	answer, err := c.attempt(ctx, n.base, method, path, header, body)
	var e *Error
	if err == nil || errors.As(err, &e) {
		c.heardOf(n, true)
	}
	return answer, err
}

// live tells whether anything answers at a node, within liveTimeout.
func (c *Client) live(ctx context.Context, base string) error {
	short, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(short, http.MethodGet, base+"/livez", nil)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	w, err := c.http.Do(r)
	switch {
	case err == nil:
		return w.Body.Close()
	case ctx.Err() == nil && short.Err() != nil:
		return fmt.Errorf("client: %s: no sign of life within %s; nothing was asked of it", base, liveTimeout)
	}
	return fmt.Errorf("client: %w", err)
}

// heardOf tells whether a node answered within heardFor, and with now, that it does.
func (c *Client) heardOf(n *node, now bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now {
		n.heard = time.Now()
	}
	return time.Since(n.heard) < heardFor
}

// attempt asks one node once. It fails with *Error if the node answered.
func (c *Client) attempt(ctx context.Context, base, method, path string, header http.Header, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	maps.Copy(r.Header, header)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json, application/problem+json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	w, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	defer w.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(w.Body, answerMax+1))
	if err != nil {
		return nil, fmt.Errorf("client: the answer of %s broke off: %w", base, err)
	}
	if len(answer) > answerMax {
		return nil, &Error{Node: base, Problem: wire.Problem{Status: w.StatusCode, Code: "http",
			Detail: fmt.Sprintf("the answer is longer than %d MiB", answerMax>>20)}}
	}
	if w.StatusCode < 200 || w.StatusCode > 299 {
		return nil, refusal(base, w, answer)
	}
	return answer, nil
}

// next picks the node that may be asked soonest, beginning with the one that served last, and how long until then.
func (c *Client) next() (*node, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	best := c.first
	for i := range c.nodes {
		at := (c.first + i) % len(c.nodes)
		if c.nodes[at].after.Before(c.nodes[best].after) {
			best = at
		}
	}
	return c.nodes[best], time.Until(c.nodes[best].after)
}

// settle remembers how n did: 0 makes it the first to ask, anything else keeps it from being asked for so long.
func (c *Client) settle(n *node, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait > 0 {
		n.after = time.Now().Add(wait)
		return
	}
	n.after = time.Time{}
	for i := range c.nodes {
		if c.nodes[i] == n {
			c.first = i
		}
	}
}

// sleep waits, or fails when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded // waiting would only lose the reason of the failure
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
