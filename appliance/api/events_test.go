package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: a hook that would tell of nothing, or where it must not, is refused before the node starts. Method: each such line.
func TestParseHooks(t *testing.T) {
	good := "https://alerts.example/mpcd *.refuse freeze.*  sign.accept/large"
	hooks, err := ParseHooks([]string{good, "http://127.0.0.1:9/x *"})
	if err != nil || len(hooks) != 2 || hooks[0].URL != "https://alerts.example/mpcd" || len(hooks[0].Events) != 3 {
		t.Fatalf("%+v, %v", hooks, err)
	}
	var many []string
	for i := range maxHooks + 1 {
		many = append(many, fmt.Sprintf("https://%d.example *", i))
	}
	for name, x := range map[string]struct {
		list []string
		want string
	}{
		"no pattern":        {[]string{"https://alerts.example/mpcd"}, "1 to 32 patterns"},
		"too many patterns": {[]string{"https://alerts.example" + strings.Repeat(" *", 33)}, "1 to 32 patterns"},
		"too many":          {many, "9 webhooks, at most 8"},
		"no address":        {[]string{"*.refuse alerts.example"}, "use https"},
		"readable":          {[]string{"http://alerts.example *"}, "use https"},
		"no such pattern":   {[]string{"https://alerts.example sign.[a"}, "no pattern"},
		"unseen":            {[]string{"https://alerts.example sign.\u200baccept"}, "no pattern"},
		"twice":             {[]string{"https://a.example *", "https://a.example x"}, "twice"},
	} {
		if _, err := ParseHooks(x.list); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
}

func FuzzParseHooks(f *testing.F) {
	f.Add("https://alerts.example/mpcd *.refuse sign.accept/large")
	f.Fuzz(func(t *testing.T, s string) {
		hooks, err := ParseHooks([]string{s})
		if err == nil && (len(hooks) != 1 || len(hooks[0].Events) == 0) {
			t.Errorf("%q: %+v", s, hooks)
		}
		if err == nil {
			hooks[0].wants(audit.Entry{Event: s, Facts: map[string]string{"rule": s}})
		}
	})
}

// Goal: a hook is told of what it was set up for and nothing else.
func TestWants(t *testing.T) {
	large := audit.Entry{Event: "sign.accept", Facts: map[string]string{"rule": "any, large"}}
	refused := audit.Entry{Event: "sign.refuse", Facts: map[string]string{"reason": "large"}}
	for patterns, want := range map[string][2]bool{
		"*": {true, true}, "*.refuse": {false, true}, "sign.*": {true, true}, "sign.accept": {true, false}, "freeze.* *.refuse": {false, true},
		"sign.accept/large": {true, false}, "sign.accept/any": {true, false}, "sign.accept/small": {}, "*/lar*": {true, false}, "sign": {},
	} {
		h := Hook{Events: strings.Fields(patterns)}
		if got := [2]bool{h.wants(large), h.wants(refused)}; got != want {
			t.Errorf("%s: %v, want %v", patterns, got, want)
		}
	}
}

// receiver is what a webhook of events is, as Standard Webhooks has it; what it answers is for the test to say.
type receiver struct {
	t      *testing.T
	key    ed25519.PublicKey
	answer func(call int) int
	mu     sync.Mutex
	calls  int
	ids    map[string]string // the body of each webhook-id
	done   map[string]int    // how often it was taken
	taken  chan wire.Event
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(q.Body)
	id, at := q.Header.Get("webhook-id"), q.Header.Get("webhook-timestamp")
	sig, b64 := base64.StdEncoding.DecodeString(strings.TrimPrefix(q.Header.Get("webhook-signature"), "v1a,"))
	var e wire.Event
	bad := json.Unmarshal(body, &e)
	if err != nil || b64 != nil || bad != nil || !ed25519.Verify(r.key, []byte(id+"."+at+"."+string(body)), sig) {
		r.t.Errorf("not signed: %v %v %v", err, b64, bad)
	}
	if had, ok := r.ids[id]; ok && had != string(body) {
		r.t.Errorf("%s stands for two things", id)
	}
	r.ids[id] = string(body)
	status := r.answer(r.calls)
	r.calls++
	if status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
	if status/100 != 2 {
		return
	}
	if r.done[id]++; r.done[id] == 1 { // by its webhook-id
		r.taken <- e
	}
}

// Goal: each event of a hook reaches it once, signed, in the log's order, whatever it answered before and although the node was restarted;
// one webhook-id is one event; a redirect is not followed; the hook's path, which may be its receiver's secret, is in no log. Method: a
// receiver that fails, redirects and takes, a log with entries for it and others, and a second run.
func TestEvents(t *testing.T) {
	a, err := audit.Open(filepath.Join(t.TempDir(), "audit.log"), "n1", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	add := func(names ...string) {
		for _, n := range names {
			if err := a.Append(t.Context(), audit.Event{Name: n, Facts: map[string]string{"of": n}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	public, private, _ := ed25519.GenerateKey(nil)
	r := &receiver{t: t, key: public, ids: map[string]string{}, done: map[string]int{}, taken: make(chan wire.Event, 16),
		answer: func(call int) int { return []int{500, 302, 200, 204}[min(call, 3)] }}
	mux := http.NewServeMux()
	mux.Handle("/secret", r)
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	server := httptest.NewServer(mux)
	defer server.Close()
	var log bytes.Buffer
	store, hooks := vaulttest.NewMemory(), []Hook{{URL: server.URL + "/secret", Events: []string{"*.refuse"}}}
	run := func() (stop func()) {
		followers, err := audit.Follow(t.Context(), a, store, "x")
		if err != nil {
			t.Fatal(err)
		}
		e := &Events{Cluster: "c", Hooks: hooks, Followers: followers, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Sign: func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); e.Run(ctx) }()
		return func() {
			cancel()
			<-done
			if n := e.Behind()[strings.TrimPrefix(server.URL, "http://")]; n > 1 {
				t.Errorf("%d entries behind", n)
			}
		}
	}
	wants := func(seqs ...uint64) {
		t.Helper()
		for _, want := range seqs {
			var e wire.Event
			select {
			case e = <-r.taken:
			case <-time.After(20 * time.Second):
				t.Fatalf("entry %d is not told", want)
			}
			if e.Data.Seq != want || e.Type != "sign.refuse" || e.Data.Event != e.Type || e.Data.Node != "n1" || e.Timestamp.IsZero() ||
				e.Timestamp.UnixMilli() != e.Data.TimeMS || e.Data.Facts["of"] != e.Type {
				t.Errorf("%+v, want entry %d", e, want)
			}
		}
	}
	add("sign.refuse") // before anybody is told
	stop := run()
	add("sign.accept", "sign.refuse", "sign.refuse")
	wants(3, 4)
	add("sign.refuse")
	wants(5)
	stop()
	add("sign.refuse", "sign.done")
	stop = run()
	wants(6)
	add("sign.refuse")
	wants(8)
	stop()
	if len(r.ids) != 5 || r.done["c_n1_3"] != 1 || r.done["c_n1_4"] != 1 { // the last before a stop may be told once more
		t.Errorf("%d calls, of %v, taken %v", r.calls, r.ids, r.done)
	}
	text := log.String()
	for _, want := range []string{"told again until it does", "500 Internal Server Error", "takes what it is told again"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the log says %q not once:\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("the log has the path:\n%s", text)
	}
}

// Goal: why a hook cannot be reached is told without its path, or a key of it. Method: an address where nobody is.
func TestEventsUnreached(t *testing.T) {
	e := &Events{Sign: func([]byte) ([]byte, error) { return nil, nil }}
	err := e.post(t.Context(), Hook{URL: "http://127.0.0.1:1/secret"}, audit.Entry{})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
