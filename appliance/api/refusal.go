package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
)

// Codes of the border itself, beside those of package appliance.
const (
	codeMalformed  problem.Code = "malformed"    // not one JSON object; 400
	codeToken      problem.Code = "unauthorized" // no token, or not a good one; 401
	codeMethod     problem.Code = "method"       // 405
	codeTooLarge   problem.Code = "too_large"    // 413
	codeMediaType  problem.Code = "media_type"   // 415
	codeSlowClient problem.Code = "slow_client"  // 408
)

// kind says what a code means outside.
type kind struct {
	status int
	title  string
	next   string // what to do, where the error itself does not say; as problem.Error.Next
}

var kinds = map[problem.Code]kind{
	codeMalformed:       {400, "The body is not one JSON object", "send one JSON object"},
	codeToken:           {401, "Not authenticated", "send Authorization: Bearer with a valid token"},
	codeMethod:          {405, "Method not allowed", "see the Allow header, and /docs"},
	codeSlowClient:      {408, "The body did not arrive in time", "send the request again"},
	codeTooLarge:        {413, "The body is too large", "send less"},
	codeMediaType:       {415, "Unsupported media type", "send application/json"},
	problem.Invalid:     {422, "The request is wrong", "correct the fields named in errors; /docs has every field"},
	problem.Denied:      {403, "Denied", "ask who grants roles or keeps the policy"},
	problem.Unapproved:  {403, "Not approved", "have it approved, and send the same request with the approvals"},
	problem.Frozen:      {403, "Frozen", "have the officers thaw it: `mpcd freeze thaw`"},
	problem.NotFound:    {404, "Not found", "check the name; /docs has every path"},
	problem.Conflict:    {409, "Conflict", problem.Taken},
	problem.Unsupported: {422, "Not in this build", "see /docs for what this build does"},
	problem.Overload:    {429, "Too many requests", "wait as Retry-After says and send the same request again"},
	problem.Internal:    {500, "The node failed", "see the node's log for the instance"},
	problem.Integrity: {500, "Data is not what it should be",
		"stop and see the node's log for the instance; do not restore or delete anything yet"},
	problem.Blame:   {502, "Peers misbehaved", "see culprits; try again when they are repaired"},
	problem.Quorum:  {503, "Too few live nodes", "see /api/v1/nodes; wait as Retry-After says and send the same request again"},
	problem.Busy:    {503, "Nodes are late", "wait as Retry-After says and send the same request again"},
	problem.Held:    {503, "Another node answers this session_id", "send the same request again"},
	problem.Presig:  {503, "A presignature is not there", "send the same request again"},
	problem.Attempt: {503, "A refresh was tried before", "send the same request again"},
	problem.PairState: {503, "The parties' pair state differs",
		"send the same request again; if it fails again, refresh a key of the same committee"},
	problem.Storage:  {503, "The node cannot write to its disk", "free space on the node's disk; it goes on by itself"},
	problem.HSM:      {503, "The hardware token failed", "see /readyz?verbose and the node's log"},
	problem.Starting: {503, "The node is not ready", "see /readyz?verbose; wait as Retry-After says"},
	problem.Timeout:  {504, "Timed out", "send the same request with the same session_id again"},
}

// retryAfter is what Retry-After says, in seconds.
var retryAfter = map[int]string{http.StatusTooManyRequests: "1", http.StatusServiceUnavailable: "2"}

// refusal is the error that leaves the node.
type refusal struct {
	wire.Problem
	allow string // of a 405
	stays bool   // waiting does not heal it, or it is done
	cause error  // for the log
}

func (p *refusal) Error() string { return p.Detail }

// Unwrap lets the log have the cause.
func (p *refusal) Unwrap() error { return p.cause }

// GetStatus is asked by huma.
func (p *refusal) GetStatus() int { return p.Status }

// ContentType is asked by huma.
func (p *refusal) ContentType(string) string { return wire.ProblemType }

// GetHeaders is asked by huma.
func (p *refusal) GetHeaders() http.Header {
	h := http.Header{}
	if v := retryAfter[p.Status]; v != "" && !p.stays {
		h.Set("Retry-After", v)
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="mpcd"`)
	}
	return h
}

// newRefusal describes err, which is any error. What a 5xx was caused by stays inside.
func newRefusal(ctx context.Context, err error) *refusal {
	var p *refusal
	if errors.As(err, &p) {
		p.Instance = instance(ctx)
		return p
	}
	e := problem.As(err)
	if e.Code == problem.Internal && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		e = &problem.Error{Code: problem.Timeout, Message: "the request took longer than this node waits", Err: err}
	}
	k, ok := kinds[e.Code]
	if !ok {
		k = kinds[problem.Internal]
		e = &problem.Error{Code: problem.Internal, Message: "the node failed", Err: err}
	}
	detail := e.Message
	if e.Err != nil && k.status < 500 {
		detail += ": " + problem.Plain(e.Err)
	}
	p = &refusal{cause: err, Problem: wire.Problem{
		Type:      "/docs#error-" + string(e.Code),
		Title:     k.title,
		Status:    k.status,
		Instance:  instance(ctx),
		Code:      string(e.Code),
		Retryable: e.Code.Retryable() && !e.Done,
	}, stays: e.Done}
	p.Say(detail, or(e.Next, k.next))
	for _, c := range e.Culprits {
		p.Culprits = append(p.Culprits, string(c))
	}
	if e.Field != "" {
		p.Errors = []wire.FieldError{{Field: e.Field, Detail: detail}}
	}
	return p
}

// unreadable is what encoding/json says of a value that its schema lets pass and the field does not hold, as 2.0 of an integer. It names
// the field by our types.
var unreadable = regexp.MustCompile(`^json: cannot unmarshal .* into Go struct field [^.]*\.(\S+) of type `)

// translate turns huma's own errors, which quote the request's values, into problems, which do not.
func translate(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code, message := problem.Invalid, "the request has wrong fields"
	switch e.Status {
	case http.StatusBadRequest:
		code, message = codeMalformed, e.Detail
	case http.StatusUnsupportedMediaType:
		code, message = codeMediaType, "the body is of a media type this node does not read"
	case http.StatusUnprocessableEntity:
	default:
		code, message = problem.Internal, "the node failed"
	}
	var fields []wire.FieldError
	for _, d := range e.Errors {
		if d == nil {
			continue
		}
		f := wire.FieldError{Field: strings.TrimPrefix(d.Location, "body."), Detail: d.Message}
		switch {
		case strings.Contains(d.Message, "exactly one schema"):
			f.Detail = fmt.Sprintf("expected a number from 1 to %d, or a list of node names", partiesMax)
		case d.Message == "unexpected property":
			f.Detail = "unknown field"
		default:
			if m := unreadable.FindStringSubmatch(d.Message); m != nil {
				f.Field, f.Detail = m[1], "expected a value as /docs has it, a whole number without fraction and exponent where it is one"
			}
		}
		fields = append(fields, f)
	}
	if len(fields) > 0 {
		message = fmt.Sprintf("%s: %s", fields[0].Field, fields[0].Detail)
	}
	p := newRefusal(ctx.Context(), &problem.Error{Code: code, Message: message})
	p.Errors = fields
	p.Status = e.Status // it is written already
	return p, nil
}

// invalidField is a 422 about one field.
func invalidField(field, next, format string, a ...any) *problem.Error {
	return &problem.Error{Code: problem.Invalid, Field: field, Next: next, Message: fmt.Sprintf(format, a...)}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
