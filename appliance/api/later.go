package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/client/wire"
)

// answer is what was asked for, or the operation that it is to come of.
type answer[T any] struct {
	Status   int
	Location string `header:"Location" hidden:"true"`           // of the operation, where the answer is not waited for
	Applied  string `header:"Preference-Applied" hidden:"true"` // respond-async then
	Body     now[T]
}

// now is an answer, or what is later to be one.
type now[T any] struct {
	value T
	later *wire.Operation
}

// MarshalJSON writes the one that it is.
func (x now[T]) MarshalJSON() ([]byte, error) {
	if x.later != nil {
		return json.Marshal(x.later)
	}
	return json.Marshal(x.value)
}

// Schema is that of the answer: the operation comes with another status, which has its own.
func (now[T]) Schema(r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }

// answered is an answer that was waited for.
func answered[T any](status int, body T, err error) (*answer[T], error) {
	return &answer[T]{Status: status, Body: now[T]{value: body}}, err
}

// session is the request's session_id: one is made where none is given and the caller is to ask for the operation by it.
func (s *server) session(ctx context.Context) string {
	if c := callOf(ctx); c.session != "" || !c.later {
		return c.session
	}
	return newUUID(s.Rand)
}

// later has a request done that its caller does not wait for; nil where it does, must, or need not: the operation is over.
func later[T any](ctx context.Context, s *server, r appliance.Request) (*answer[T], error) {
	if !callOf(ctx).later {
		return nil, nil
	}
	o, err := s.backend(ctx).Later(ctx, r)
	if err != nil || o == nil || o.State.Over() {
		return nil, err
	}
	out, err := renderOperation(o)
	if err != nil {
		return nil, err
	}
	return &answer[T]{Status: http.StatusAccepted, Location: "/api/v1/operations/" + url.PathEscape(o.Intent.RequestID),
		Applied: respondAsync, Body: now[T]{later: &out.Body}}, nil
}
