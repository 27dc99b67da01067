package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// stopped is a network in which some nodes are stopped: they take a request and give nothing, GET /livez included.
type stopped struct {
	nodes []string
	mu    sync.Mutex
	asked []string // "POST a"
}

func (s *stopped) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	if s.asked = append(s.asked, r.Method+" "+r.URL.Hostname()); !slices.Contains(s.nodes, r.URL.Hostname()) {
		defer s.mu.Unlock()
		return answer(200, "", `{}`), nil
	}
	s.mu.Unlock()
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// Goal: a node that is stopped holds a call up for seconds, and an act is not sent to it, nor to two nodes; where there is nobody else, it
// is asked as before; and one that answered just now is asked at once. Method: simulated time, with each node stopped, or all.
func TestStoppedNodeIsPassed(t *testing.T) {
	for _, x := range []struct {
		name    string
		nodes   []string
		stopped []string
		asked   string // by two calls, one after another
		took    time.Duration
		fails   bool
	}{
		{"the first", []string{"a", "b", "c"}, []string{"a"}, "GET a, GET b, POST b, POST b", 3 * time.Second, false},
		{"two", []string{"a", "b", "c"}, []string{"a", "b"}, "GET a, GET b, POST c, POST c", 6 * time.Second, false},
		{"another", []string{"a", "b"}, []string{"b"}, "GET a, POST a, POST a", 0, false},
		{"the only one", []string{"a"}, []string{"a"}, "POST a, POST a", 61 * time.Second, true},
		{"all", []string{"a", "b"}, []string{"a", "b"}, "GET a, POST b, GET a, POST b", 63 * time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &stopped{nodes: x.stopped}
			c := New(Config{Nodes: x.nodes, HTTPClient: &http.Client{Transport: s, Timeout: time.Minute}, Attempts: len(x.nodes)})
			var took time.Duration
			for range 2 {
				began := time.Now()
				_, err := c.Sign(t.Context(), &SignRequest{WalletID: "w"})
				if took = max(took, time.Since(began)); (err != nil) != x.fails {
					t.Errorf("%s: %v", x.name, err)
				}
			}
			if got := strings.Join(s.asked, ", "); got != x.asked || took.Round(time.Second) != x.took {
				t.Errorf("%s: asked %s, in %s", x.name, got, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // what was heard a while ago shows nothing
		s := &stopped{}
		c := New(Config{Nodes: []string{"a", "b"}, HTTPClient: &http.Client{Transport: s}})
		for range 2 {
			_, _ = c.Nodes(t.Context())
			time.Sleep(heardFor)
		}
		if got := strings.Join(s.asked, ", "); got != "GET a, GET a, GET a, GET a" {
			t.Errorf("asked %s", got)
		}
		s.nodes = []string{"a"}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Nodes(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller who waits for less: %v", err)
		}
	})
}

// Goal: what the operating system takes for a process that is stopped is told as that, and the next node is asked. Method: a listener that
// nobody accepts from, over plain HTTP and TLS, before a node that refuses.
func TestStoppedNodeIsTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, nodes := newCluster(t, refuse(409, "conflict"))
	for _, scheme := range []string{"http", "https"} {
		h, err := NewHTTP(Files{}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		dead, began := fmt.Sprint(scheme, "://", l.Addr()), time.Now()
		_, err = New(Config{Nodes: append([]string{dead}, nodes...), HTTPClient: h}).Sign(t.Context(), &SignRequest{WalletID: "w"})
		if text := fmt.Sprint(err); !strings.Contains(text, "409 conflict") || !strings.Contains(text, dead+": no sign of life within 3s") {
			t.Errorf("%s: %v", scheme, err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s: %s", scheme, took)
		}
	}
}
