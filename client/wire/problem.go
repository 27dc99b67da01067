package wire

// ProblemType is the media type of Problem.
const ProblemType = "application/problem+json"

// Problem is every error of the API, in the form of RFC 9457 with the members code, retryable, culprits and errors added.
type Problem struct {
	Type      string       `json:"type" example:"/docs#error-quorum" doc:"Where the kind of error is explained, relative to the node."`
	Title     string       `json:"title" doc:"The kind of error in words; the same for all of one kind."`
	Status    int          `json:"status" doc:"The HTTP status."`
	Detail    string       `json:"detail" doc:"What went wrong here, why, and what to do next."`
	Instance  string       `json:"instance" doc:"This occurrence, as the node's log and the X-Request-Id header name it."`
	Code      string       `json:"code" example:"quorum" doc:"The kind of error, for programs."`
	Retryable bool         `json:"retryable" doc:"Whether the same request may succeed later without a change."`
	Culprits  []string     `json:"culprits,omitempty" doc:"Nodes that misbehaved."`
	Errors    []FieldError `json:"errors,omitempty" doc:"What is wrong, field by field."`
}

// FieldError is one thing wrong with one field of the request, or one failed check.
type FieldError struct {
	Field  string `json:"field"`
	Detail string `json:"detail"`
}
