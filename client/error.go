package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/luxfi/mpcd/client/wire"
)

// Error is a node's refusal. Find it with errors.As; branch on Code or Status.
type Error struct {
	wire.Problem
	Node       string        // the node that refused
	RetryAfter time.Duration // what the node asked to wait; 0 if it did not
}

// Error says what the node said.
func (e *Error) Error() string {
	return fmt.Sprintf("client: %s: %d %s: %s", e.Node, e.Status, e.Code, e.Detail)
}

// refusal reads the answer of a status that is no success. What is not a problem, from a proxy perhaps, becomes one.
func refusal(node string, r *http.Response, body []byte) *Error {
	e := &Error{Node: node}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != wire.ProblemType || json.Unmarshal(body, &e.Problem) != nil {
		e.Problem = wire.Problem{Title: http.StatusText(r.StatusCode), Code: "http", Detail: "what answered is not a node: " + r.Status}
	}
	if r.TLS == nil && bytes.Contains(body, []byte("HTTP request to an HTTPS server")) { // as Go's servers say it
		e.Detail, e.Next = "what answered speaks TLS, and was asked without: "+r.Status, "use https:// in --api"
	}
	e.Status = r.StatusCode
	switch r.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		e.Retryable = true
	}
	if s, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil && s > 0 {
		e.RetryAfter = min(time.Duration(s)*time.Second, waitMax)
	}
	return e
}

// OthersError is the failure of the node that was asked last, where others had failed before it.
type OthersError struct {
	Err    error    // of the last
	Others []string // of each other node, shortly, at last
}

// Error says what the last node said, and then what the others did.
func (e *OthersError) Error() string {
	return e.Err.Error() + "; before it, " + strings.Join(e.Others, "; ")
}

// Unwrap returns the failure of the last.
func (e *OthersError) Unwrap() error { return e.Err }

// of adds to the failure of a node what the others said before it.
func of(err error, node string, said map[string]string) error {
	var others []string
	for _, n := range slices.Sorted(maps.Keys(said)) {
		if n != node {
			others = append(others, n+": "+said[n])
		}
	}
	if others == nil {
		return err
	}
	return &OthersError{err, others}
}

// short is a failure of a node in a few words.
func short(err error) string {
	var refused *Error
	var network *url.Error
	switch {
	case errors.As(err, &refused):
		return fmt.Sprintf("%d %s: %s", refused.Status, refused.Code, refused.Why())
	case errors.As(err, &network):
		return network.Err.Error()
	}
	return err.Error()
}
