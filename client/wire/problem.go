package wire

import "strings"

// ProblemType is the media type of Problem.
const ProblemType = "application/problem+json"

// Problem is every error of the API, in the form of RFC 9457 with the members next, code, retryable, culprits and errors added.
type Problem struct {
	Type      string       `json:"type" example:"/docs#error-quorum" doc:"Where the kind of error is explained, relative to the node."`
	Title     string       `json:"title" doc:"The kind of error in words; the same for all of one kind."`
	Status    int          `json:"status" doc:"The HTTP status."`
	Detail    string       `json:"detail" doc:"What went wrong here, why, and what to do next."`
	Next      string       `json:"next,omitempty" doc:"What to do next alone: a clause that begins small."`
	Instance  string       `json:"instance" doc:"This occurrence, as the node's log and the X-Request-Id header name it."`
	Code      string       `json:"code" example:"quorum" doc:"The kind of error, for programs."`
	Retryable bool         `json:"retryable" doc:"Whether the same request may succeed later without a change."`
	Culprits  []string     `json:"culprits,omitempty" doc:"Nodes that misbehaved."`
	Errors    []FieldError `json:"errors,omitempty" doc:"What is wrong, field by field."`
}

// Say sets Detail and Next: why, and what to do next, both clauses without a full stop. Detail makes sentences of them; it leaves the
// beginning of the first alone, which may be a field's name.
func (p *Problem) Say(why, next string) {
	p.Next = next
	p.Detail = strings.TrimSpace(sentence(why) + " " + advice(next))
}

// Why is Detail without Next, as a clause.
func (p *Problem) Why() string {
	return strings.TrimSuffix(strings.TrimSuffix(p.Detail, " "+advice(p.Next)), ".")
}

func advice(next string) string {
	if next == "" {
		return ""
	}
	return sentence(strings.ToUpper(next[:1]) + next[1:])
}

func sentence(s string) string {
	if s = strings.TrimSpace(s); s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// FieldError is one thing wrong with one field of the request, or one failed check.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}
