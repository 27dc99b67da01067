package memnet_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/memnet"
)

// conns joins the nodes to one channel of the hub.
func conns(t *testing.T, hub *memnet.Hub, nodes ...transport.NodeID) map[transport.NodeID]transport.Conn {
	t.Helper()
	out := map[transport.NodeID]transport.Conn{}
	for _, id := range nodes {
		c, err := hub.Node(id).Join(t.Context(), "news", nil)
		if err != nil {
			t.Fatal(err)
		}
		out[id] = c
	}
	return out
}

func send(t *testing.T, c transport.Conn, body string, to ...transport.NodeID) {
	t.Helper()
	if err := c.Send(t.Context(), transport.Envelope{To: to, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

// drain returns the bodies that arrive within a fake hour.
func drain(t *testing.T, c transport.Conn) []string {
	t.Helper()
	var got []string
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		e, err := c.Recv(ctx)
		cancel()
		if err != nil {
			return got
		}
		got = append(got, string(e.Body))
	}
}

// Goal: a run replays from its seed, whatever the order in which goroutines send; another seed differs; and drop, repetition
// and reordering all occur. Method: two senders at once under a fake clock, the receiver's trace compared.
func TestChaosReplays(t *testing.T) {
	trace := func(seed uint64) []string {
		var got []string
		synctest.Test(t, func(t *testing.T) {
			hub := memnet.New()
			hub.SetFault(memnet.Chaos(seed, memnet.Rates{Drop: 0.2, Dup: 0.2, Delay: time.Second}))
			c := conns(t, hub, "a", "b", "c")
			var wg sync.WaitGroup
			for _, from := range []transport.NodeID{"a", "b"} {
				wg.Go(func() {
					for i := range 50 {
						send(t, c[from], fmt.Sprintf("%s%02d", from, i), "c")
					}
				})
			}
			wg.Wait()
			got = drain(t, c["c"])
		})
		return got
	}
	first := trace(1)
	if again := trace(1); !slices.Equal(first, again) {
		t.Errorf("same seed, different runs:\n%v\n%v", first, again)
	}
	if slices.Equal(first, trace(2)) {
		t.Error("different seeds, same run")
	}
	fromA := slices.DeleteFunc(slices.Clone(first), func(s string) bool { return !strings.HasPrefix(s, "a") })
	distinct := slices.Compact(slices.Sorted(slices.Values(fromA)))
	if len(distinct) == 50 || len(fromA) == len(distinct) || slices.IsSorted(fromA) {
		t.Errorf("nothing dropped, repeated or reordered: %v", fromA)
	}
}

// Goal: a partition cuts both ways and exactly one pair, also what is under way; healing mends it. Method: fake clock.
func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memnet.New()
		c := conns(t, hub, "a", "b", "c")
		hub.SetFault(func(memnet.Frame) memnet.Fate { return memnet.Fate{time.Second} })
		send(t, c["a"], "under way")
		hub.Partition("b", "a")
		send(t, c["b"], "cut")
		if got := drain(t, c["b"]); got != nil {
			t.Errorf("b: %v", got)
		}
		if got := drain(t, c["a"]); got != nil {
			t.Errorf("a: %v", got)
		}
		if got := drain(t, c["c"]); !slices.Equal(got, []string{"under way", "cut"}) {
			t.Errorf("c: %v", got)
		}
		hub.Heal("a", "b")
		send(t, c["a"], "mended")
		if got := drain(t, c["b"]); !slices.Equal(got, []string{"mended"}) {
			t.Errorf("b: %v", got)
		}
	})
}

// Goal: a killed node loses what is under way to it, and its successor does not inherit it. Method: fake clock.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := memnet.New()
		c := conns(t, hub, "a", "b")
		hub.SetFault(func(memnet.Frame) memnet.Fate { return memnet.Fate{time.Second} })
		send(t, c["a"], "to the old")
		hub.Kill("b")
		hub.Kill("b")
		hub.Kill("nobody")
		if _, err := c["b"].Recv(t.Context()); err != transport.ErrClosed {
			t.Errorf("Recv of the killed: %v", err)
		}
		renewed := conns(t, hub, "b")["b"]
		send(t, c["a"], "to the new")
		if got := drain(t, renewed); !slices.Equal(got, []string{"to the new"}) {
			t.Errorf("the new: %v", got)
		}
	})
}

// Goal: the tap sees every frame with its link, also the lost. Method: everything is lost.
func TestTap(t *testing.T) {
	hub := memnet.New()
	c := conns(t, hub, "a", "b", "c")
	var seen []string
	hub.SetTap(func(f memnet.Frame) {
		seen = append(seen, fmt.Sprintf("%s %s>%s %d %s", f.Channel, f.From, f.To, f.N, f.Body))
	})
	hub.SetFault(func(memnet.Frame) memnet.Fate { return nil })
	send(t, c["a"], "x")
	send(t, c["a"], "y", "c")
	if want := []string{"news a>b 0 x", "news a>c 0 x", "news a>c 1 y"}; !slices.Equal(seen, want) {
		t.Errorf("%v, want %v", seen, want)
	}
}
