package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
)

// alive is what is answered where nobody is asked whether the node is ready.
var alive = map[string]string{"status": "ok"}

// livez says that the process answers. It asks nobody.
func (s *server) livez(w http.ResponseWriter, r *http.Request) {
	writeHealth(w, r, alive)
}

// startupz says that boot is over.
func (s *server) startupz(w http.ResponseWriter, r *http.Request) {
	if !s.Started() {
		s.refuse(w, r, &problem.Error{Code: problem.Starting, Message: "the node is still booting"})
		return
	}
	writeHealth(w, r, alive)
}

// readyz says whether the node can serve a signature now, and if not, why.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ready := s.Backend.Readiness()
	if !ready.Ready {
		s.refuse(w, r, notReady(r, ready))
		return
	}
	h := wire.Health{Status: "ok", Ready: true}
	if r.URL.Query().Has("verbose") {
		h.Version = s.Backend.Version()
		h.Checks = checks(ready)
	}
	writeHealth(w, r, h)
}

// healthz is the whole picture, with 200 as long as the process answers.
func (s *server) healthz(w http.ResponseWriter, r *http.Request) {
	ready := s.Backend.Readiness()
	h := wire.Health{Status: "ok", Version: s.Backend.Version(), Ready: ready.Ready, Checks: checks(ready), Serial: ready.Serial,
		Roster: ready.Roster}
	if !ready.Ready {
		h.Status = "degraded"
	}
	writeHealth(w, r, h)
}

// notReady says why the node is not ready, and what to do: what a check says that no waiting heals, before all that may heal by itself.
func notReady(r *http.Request, ready appliance.Readiness) error {
	p := newRefusal(r.Context(), &problem.Error{Code: problem.Starting, Message: "the node cannot serve a signature now",
		Next: "errors has the failed checks; wait as Retry-After says."})
	told := appliance.Check{}
	for _, c := range ready.Checks {
		if c.OK {
			continue
		}
		p.Errors = append(p.Errors, wire.FieldError{Field: c.Name, Detail: withoutPaths(c.Words())})
		if told.Name == "" || told.Next == "" && c.Next != "" {
			told = c
		}
	}
	if told.Name == "" {
		return p
	}
	next := "wait as Retry-After says"
	if told.Next != "" {
		next, p.stays, p.Retryable = withoutPaths(told.Next), !told.Heals, told.Heals
	}
	p.Say(fmt.Sprintf("the node cannot serve a signature now: %s: %s", told.Name, withoutPaths(told.Detail)), next)
	return p
}

func checks(ready appliance.Readiness) []wire.Check {
	var out []wire.Check
	for _, c := range ready.Checks {
		out = append(out, wire.Check{Name: c.Name, OK: c.OK, Detail: withoutPaths(c.Detail), Next: withoutPaths(c.Next)})
	}
	return out
}

// path is a word with a slash, or a quotation of one.
var path = regexp.MustCompile(`"[^"]*/[^"]*"|[^\s"'(=:]*/[^\s"',;:)]*`)

// withoutPaths is what a check says to those who need no token to ask: where files lie on the host is not theirs to know. The log has it.
func withoutPaths(detail string) string {
	return path.ReplaceAllStringFunc(detail, func(p string) string {
		if p == "input/output" || p == "docs/OPERATIONS.md" { // of an error; of what to do
			return p
		}
		return "…"
	})
}

func writeHealth(w http.ResponseWriter, _ *http.Request, h any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(h)
}
