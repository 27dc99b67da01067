package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance/problem"
)

const (
	// streamsAll and streamsCaller are how many streams of events there are at once, in all and of a caller.
	streamsAll, streamsCaller = 256, 16
	// streamFor is how long one lasts; who follows takes it up again. streamBeat is how often it shows that it lives.
	streamFor, streamBeat = 10 * time.Minute, 15 * time.Second
	// respondAsync is the preference of RFC 7240 §4.1.
	respondAsync = "respond-async"
)

// followParams describes the parameters of follow.
func followParams() []*huma.Param {
	return []*huma.Param{
		{Name: "id", In: "path", Required: true, Description: "The session_id of the request.",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: ptr(1), MaxLength: ptr(128)}},
		{Name: "Last-Event-ID", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(headerMax)},
			Description: "The id of the last event that was seen: if the operation is still as that one showed it, it is not sent again."}}
}

// follow streams an operation as events (WHATWG HTML, server-sent events): as it is, and again after each change, until it is over.
func (s *server) follow(w http.ResponseWriter, r *http.Request) {
	c, id := callOf(r.Context()), r.PathValue("id")
	if err := checkFollow(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	if !s.streamers.take(r.Context(), c.requester) {
		s.refuse(w, r, &problem.Error{Code: problem.Overload, Message: fmt.Sprintf("%d streams of events are yours", streamsCaller)})
		return
	}
	defer s.streamers.give(c.requester)
	if !s.streams.take(r.Context(), "") {
		s.refuse(w, r, &problem.Error{Code: problem.Overload, Message: fmt.Sprintf("%d streams of events are open", streamsAll)})
		return
	}
	defer s.streams.give("")
	ctx, cancel := context.WithTimeout(r.Context(), streamFor)
	defer cancel()
	changed, stop := s.backend(ctx).Follow(id) // before it is read: no change is missed
	defer stop()
	e, err := s.event(ctx, id)
	last := r.Header.Get("Last-Event-ID")
	switch {
	case err != nil:
		s.refuse(w, r, err)
		return
	case e.over && e.id == last:
		w.WriteHeader(http.StatusNoContent) // which has an EventSource ask no more
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		s.stream(ctx, &stream{w: w, r: r, last: last}, e, changed)
	}
}

// stream writes events until there is a reason to end.
func (s *server) stream(ctx context.Context, out *stream, e *event, changed <-chan struct{}) {
	beat := time.NewTicker(streamBeat)
	defer beat.Stop()
	for {
		if _, err := s.Auth.Authenticate(out.r); err != nil { // its token has expired, or was revoked
			return
		}
		if out.write(e) != nil || e.over {
			return
		}
		select {
		case <-changed:
		case <-beat.C:
			out.quiet = false
		case <-stopping(ctx):
			return
		case <-ctx.Done():
			return
		}
		var err error
		if e, err = s.event(ctx, out.r.PathValue("id")); err != nil {
			return // it is kept no more, or is no longer the caller's to see
		}
	}
}

// checkFollow refuses what a stream has no use for.
func checkFollow(r *http.Request) error {
	if r.URL.RawQuery != "" {
		return &problem.Error{Code: problem.Invalid, Message: "a stream of events has no query", Next: "leave it out"}
	}
	if len(r.Header.Values("Last-Event-ID")) > 1 {
		return invalidField("Last-Event-ID", "give one", "the header Last-Event-ID is given more than once")
	}
	return nil
}

// event is an operation as it stands; id is of what it says, whenever it is asked for.
type event struct {
	id   string
	data []byte
	over bool
}

func (s *server) event(ctx context.Context, id string) (*event, error) {
	o, err := s.backend(ctx).Operation(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := renderOperation(o)
	if err != nil {
		return nil, err
	}
	e := &event{over: o.State.Over()}
	if e.data, err = json.Marshal(out.Body); err != nil {
		return nil, err
	}
	o.Intent.Created = 0 // that of each look
	if out, err = renderOperation(o); err != nil {
		return nil, err
	}
	said, err := json.Marshal(out.Body)
	sum := sha256.Sum256(said)
	e.id = fmt.Sprintf("%x", sum[:16])
	return e, err
}

// stream is what one reader has.
type stream struct {
	w     http.ResponseWriter
	r     *http.Request
	last  string // event that it has
	quiet bool   // it was sent something since the last beat
}

// write sends an event that the reader has not, or else shows that the stream lives. It fails where nobody reads for long.
func (x *stream) write(e *event) error {
	text := ""
	switch {
	case e.id != x.last:
		text = fmt.Sprintf("event: operation\nid: %s\ndata: %s\n\n", e.id, e.data)
	case !x.quiet:
		text = ": it is as it was\n\n"
	default:
		return nil
	}
	x.last, x.quiet = e.id, true
	writeBy(x.w, writeTimeout)
	if _, err := x.w.Write([]byte(text)); err != nil {
		return err
	}
	return http.NewResponseController(x.w).Flush()
}

// quoted are the strings of a header's values.
var quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)

// prefersAsync tells whether a request's headers Prefer (RFC 7240 §2) have respond-async. What is malformed is no preference.
func prefersAsync(headers []string) bool {
	plain := quoted.ReplaceAllStringFunc(strings.Join(headers, ","), func(s string) string {
		if s == `""` {
			return ""
		}
		return "?" // whatever it says
	})
	if strings.Contains(plain, `"`) {
		return false
	}
	for _, p := range strings.Split(plain, ",") {
		name, _, _ := strings.Cut(p, ";")
		name, value, _ := strings.Cut(name, "=")
		if strings.EqualFold(strings.TrimSpace(name), respondAsync) {
			return strings.TrimSpace(value) == ""
		}
	}
	return false
}
