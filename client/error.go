package client

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
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
