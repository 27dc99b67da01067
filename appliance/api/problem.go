package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/client/wire"
)

// Codes of the border itself, beside those of package appliance.
const (
	codeMalformed  appliance.Code = "malformed"    // not one JSON object; 400
	codeToken      appliance.Code = "unauthorized" // no token, or not a good one; 401
	codeMethod     appliance.Code = "method"       // 405
	codeTooLarge   appliance.Code = "too_large"    // 413
	codeMediaType  appliance.Code = "media_type"   // 415
	codeSlowClient appliance.Code = "slow_client"  // 408
)

// kind says what a code means outside.
type kind struct {
	status int
	title  string
	next   string // what to do, where the error itself does not say
}

var kinds = map[appliance.Code]kind{
	codeMalformed:             {400, "The body is not one JSON object", "Send one JSON object."},
	codeToken:                 {401, "Not authenticated", "Send Authorization: Bearer with a valid token."},
	codeMethod:                {405, "Method not allowed", "See the Allow header, and /docs."},
	codeSlowClient:            {408, "The body did not arrive in time", "Send the request again."},
	codeTooLarge:              {413, "The body is too large", "Send less."},
	codeMediaType:             {415, "Unsupported media type", "Send application/json."},
	appliance.CodeInvalid:     {422, "The request is wrong", "Correct the fields named in errors; /docs has every field."},
	appliance.CodeDenied:      {403, "Denied", "Ask who grants roles or keeps the policy."},
	appliance.CodeNotFound:    {404, "Not found", "Check the name; /docs has every path."},
	appliance.CodeConflict:    {409, "Conflict", "Use a new session_id for a new request."},
	appliance.CodeUnsupported: {422, "Not in this build", "See /docs for what this build does."},
	appliance.CodeOverload:    {429, "Too many requests", "Wait as Retry-After says and send the same request again."},
	appliance.CodeInternal:    {500, "The node failed", "See the node's log for the instance."},
	appliance.CodeIntegrity:   {500, "Data is not what it should be", "Stop and see the node's log for the instance; do not restore or delete anything yet."},
	appliance.CodeBlame:       {502, "Peers misbehaved", "See culprits; try again when they are repaired."},
	appliance.CodeQuorum:      {503, "Too few live nodes", "See /api/v1/nodes; wait as Retry-After says and send the same request again."},
	appliance.CodePresig:      {503, "A presignature is not there", "Send the same request again."},
	appliance.CodeAttempt:     {503, "A refresh was tried before", "Send the same request again."},
	appliance.CodeProvision:   {503, "The parties' pair state differs", "Send the same request again; if it fails again, refresh a key of the same committee."},
	appliance.CodeHSM:         {503, "The hardware token failed", "See /readyz?verbose and the node's log."},
	appliance.CodeStarting:    {503, "The node is not ready", "See /readyz?verbose; wait as Retry-After says."},
	appliance.CodeTimeout:     {504, "Timed out", "Send the same request with the same session_id again."},
}

// retryAfter is what Retry-After says, in seconds.
var retryAfter = map[int]string{http.StatusTooManyRequests: "1", http.StatusServiceUnavailable: "2"}

// problem is the error that leaves the node.
type problem struct {
	wire.Problem
	allow string // of a 405
	cause error  // for the log
}

func (p *problem) Error() string { return p.Detail }

// Unwrap lets the log have the cause.
func (p *problem) Unwrap() error { return p.cause }

// GetStatus is asked by huma.
func (p *problem) GetStatus() int { return p.Status }

// ContentType is asked by huma.
func (p *problem) ContentType(string) string { return wire.ProblemType }

// GetHeaders is asked by huma.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if v := retryAfter[p.Status]; v != "" {
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

// newProblem describes err, which is any error. What a 5xx was caused by stays inside.
func newProblem(ctx context.Context, err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		p.Instance = instance(ctx)
		return p
	}
	e := appliance.AsError(err)
	if e.Code == appliance.CodeInternal && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		e = &appliance.Error{Code: appliance.CodeTimeout, Message: "the request took longer than this node waits", Err: err}
	}
	k, ok := kinds[e.Code]
	if !ok {
		k = kinds[appliance.CodeInternal]
		e = &appliance.Error{Code: appliance.CodeInternal, Message: "the node failed", Err: err}
	}
	detail := e.Message
	if e.Err != nil && k.status < 500 {
		detail += ": " + e.Err.Error()
	}
	p = &problem{cause: err, Problem: wire.Problem{
		Type:      "/docs#error-" + string(e.Code),
		Title:     k.title,
		Status:    k.status,
		Detail:    sentence(detail) + " " + sentence(or(e.Next, k.next)),
		Instance:  instance(ctx),
		Code:      string(e.Code),
		Retryable: e.Retryable(),
	}}
	for _, c := range e.Culprits {
		p.Culprits = append(p.Culprits, string(c))
	}
	if e.Field != "" {
		p.Errors = []wire.FieldError{{Field: e.Field, Detail: detail}}
	}
	return p
}

// translate turns huma's own errors, which quote the request's values, into problems, which do not.
func translate(ctx huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code, message := appliance.CodeInvalid, "the request has wrong fields"
	switch e.Status {
	case http.StatusBadRequest:
		code, message = codeMalformed, e.Detail
	case http.StatusUnsupportedMediaType:
		code, message = codeMediaType, "the body is of a media type this node does not read"
	case http.StatusUnprocessableEntity:
	default:
		code, message = appliance.CodeInternal, "the node failed"
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
		}
		fields = append(fields, f)
	}
	if len(fields) > 0 {
		message = fmt.Sprintf("%s: %s", fields[0].Field, fields[0].Detail)
	}
	p := newProblem(ctx.Context(), &appliance.Error{Code: code, Message: message})
	p.Errors = fields
	p.Status = e.Status // it is written already
	return p, nil
}

// invalidField is a 422 about one field.
func invalidField(field, next, format string, a ...any) *appliance.Error {
	return &appliance.Error{Code: appliance.CodeInvalid, Field: field, Next: next, Message: fmt.Sprintf(format, a...)}
}

// sentence ends s with a full stop. It leaves the beginning alone, which may be a field's name.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
