package presign

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/threshold"
)

// nonces tell whether they were burnt.
type nonces struct{ burnt bool }

func (n *nonces) Burn() { n.burnt = true }

// made makes n presignatures, named from on.
func made(from, n int) []*threshold.Presignature {
	out := make([]*threshold.Presignature, n)
	for i := range out {
		out[i] = &threshold.Presignature{ID: [32]byte{byte(from + i)}, Nonces: &nonces{}}
	}
	return out
}

func burnt(pres []*threshold.Presignature) (n int) {
	for _, p := range pres {
		if p.Nonces.(*nonces).burnt {
			n++
		}
	}
	return n
}

// table is a pool of node a, of four, and its clock.
type table struct {
	*Pool
	now    time.Time
	filled []int // what Fill was asked for
	err    error
}

func newTable(ready int) *table {
	x := &table{now: time.Unix(1000, 0)}
	x.Pool = New(Config{Self: "a", Nodes: 4, Ready: ready, Clock: func() time.Time { return x.now }, Logger: slog.New(slog.DiscardHandler),
		Idle: func(context.Context, time.Duration) error { return nil },
		Go: func(f func(context.Context)) { // called with mu held
			x.mu.Unlock()
			defer x.mu.Lock()
			f(context.Background())
		},
		Fill: func(_ context.Context, _ Group, count int) (bool, error) {
			x.filled = append(x.filled, count)
			return false, x.err
		}})
	return x
}

func of(coordinator transport.NodeID, key string, signers ...threshold.PartyID) Group {
	return Group{Coordinator: coordinator, Key: key, Epoch: 1, Scheme: "s", Signers: signers}
}

// Goal: what a proposal names is out of the pool for good, whatever comes of it, and only who made it may name it.
// Method: presignatures of a coordinator, taken with one that is missing, by another coordinator, for another key, and as they should be.
func TestTake(t *testing.T) {
	g := of("b", "k", 1, 2)
	for name, row := range map[string]struct {
		from  Group
		ids   [][32]byte
		ok    bool
		burnt int
	}{
		"as it should be":       {g, [][32]byte{{1}, {2}}, true, 0},
		"one is missing":        {g, [][32]byte{{1}, {9}}, false, 1},
		"one twice":             {g, [][32]byte{{1}, {1}}, false, 1},
		"another coordinator's": {of("c", "k", 1, 2), [][32]byte{{1}, {2}}, false, 0},
		"for another key":       {of("b", "l", 1, 2), [][32]byte{{1}, {2}}, false, 0},
		"for other signers":     {of("b", "k", 1, 3), [][32]byte{{1}, {2}}, false, 0},
	} {
		p, pres := newTable(8), made(1, 3)
		p.Add(g, [32]byte{}, nil, pres)
		got, err := p.Take([]Group{row.from, row.from}, row.ids)
		if (err == nil) != row.ok || err != nil && problem.As(err).Code != problem.Presig || row.ok != (len(got) == 2) {
			t.Errorf("%s: %d presignatures, %v", name, len(got), err)
		}
		if n := burnt(pres); n != row.burnt {
			t.Errorf("%s: %d are burnt, want %d", name, n, row.burnt)
		}
		if _, err := p.Take([]Group{g, g}, [][32]byte{{1}, {2}}); (err == nil) != (row.burnt == 0 && !row.ok) {
			t.Errorf("%s, then as it should be: %v", name, err)
		}
	}
}

// Goal: a request never waits for what its signers have forgotten, and takes one for each of a batch or none.
// Method: a pool of three, asked for two, for two again, and after the restart of a signer.
func TestReserve(t *testing.T) {
	p, pres, g := newTable(8), made(1, 3), of("a", "k", 1, 2)
	first, second := []ceremony.Boot{{1}, {2}}, []ceremony.Boot{{1}, {3}}
	p.Add(g, [32]byte{}, first, pres)
	if got := p.Reserve([]Group{g, g}, first); len(got) != 2 || got[0] == got[1] {
		t.Fatalf("%d of 2", len(got))
	}
	if got := p.Reserve([]Group{g, g}, first); got != nil {
		t.Errorf("%d of 2, where one is left", len(got))
	}
	if got := p.Reserve([]Group{g}, second); got != nil || burnt(pres) != 1 {
		t.Errorf("a signer was restarted: %d of 1, %d burnt", len(got), burnt(pres))
	}
	if c := p.Counts(); c.Made != 3 || c.Used != 2 || c.Missed != 3 || c.Dropped != 1 || c.Ready != 0 {
		t.Errorf("%+v", c)
	}
}

// Goal: of one group no more is kept than twice what is kept ready, of one pair state and one run, and nothing after the end.
// Method: add too many; then some of other pair state, of other runs, and of a pool that is closed.
func TestAdd(t *testing.T) {
	p, g := newTable(2), of("a", "k", 1, 2)
	old, boots := made(1, 6), []ceremony.Boot{{1}}
	if p.Add(g, [32]byte{1}, boots, old); burnt(old[:2]) != 2 || burnt(old) != 2 {
		t.Errorf("of 6, with 4 kept, %d are burnt", burnt(old))
	}
	next := made(11, 1)
	if p.Add(g, [32]byte{2}, boots, next); burnt(old) != 6 || burnt(next) != 0 {
		t.Errorf("of other pair state: %d of 6 and %d of the new are burnt", burnt(old), burnt(next))
	}
	if p.Add(g, [32]byte{2}, []ceremony.Boot{{2}}, made(12, 1)); burnt(next) != 1 {
		t.Error("of another run: what was before is kept")
	}
	p.Close()
	late := made(20, 1)
	if p.Add(g, [32]byte{2}, boots, late); burnt(late) != 1 || p.Counts().Held != 0 {
		t.Error("what comes after the end is kept")
	}
}

// Goal: no coordinator crowds out another, nor has two presignings made at once, and a node that keeps none makes none. Method: the edges.
func TestRoom(t *testing.T) {
	p := newTable(8)
	share := poolAll / 4
	if _, err := p.Enter("b", share+1); problem.As(err).Code != problem.Overload {
		t.Errorf("more than its part: %v", err)
	}
	leave, err := p.Enter("b", share)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Enter("b", 1); problem.As(err).Code != problem.Overload {
		t.Errorf("twice at once: %v", err)
	}
	if _, err := p.Enter("c", 1); err != nil {
		t.Errorf("another: %v", err)
	}
	leave()
	p.Add(of("b", "k", 1), [32]byte{}, nil, made(1, 2))
	if _, err := p.Enter("b", share-1); problem.As(err).Code != problem.Overload {
		t.Errorf("more than its part, with what it has: %v", err)
	}
	if _, err := p.Enter("b", share-2); err != nil {
		t.Error(err)
	}
	if _, err := newTable(-1).Enter("b", 1); problem.As(err).Code != problem.Unsupported {
		t.Errorf("a node that keeps none: %v", err)
	}
}

// Goal: presignatures end with what they were made of, and no others do. Method: three groups that differ in everything; each way to drop.
func TestDrop(t *testing.T) {
	for name, row := range map[string]struct {
		drop func(*table)
		want [3]int // burnt of each
	}{
		"a key's epoch":        {func(p *table) { p.DropKey("k", 2) }, [3]int{1, 0, 0}},
		"not the epoch itself": {func(p *table) { p.DropKey("k", 1) }, [3]int{0, 0, 0}},
		"pair state":           {func(p *table) { p.DropPairs([32]byte{2}) }, [3]int{0, 1, 0}},
		"a peer":               {func(p *table) { p.DropPeers([]threshold.PartyID{3}) }, [3]int{0, 1, 1}},
		"a coordinator":        {func(p *table) { p.DropCoordinator("b") }, [3]int{0, 1, 0}},
		"nobody uses it":       {func(p *table) { p.now = p.now.Add(coldAfter + time.Second); p.expire() }, [3]int{1, 0, 0}},
		"nor the signers' part": {func(p *table) { p.now = p.now.Add(coldAfter + coldSlack + time.Second); p.expire() },
			[3]int{1, 1, 1}},
	} {
		p := newTable(8)
		groups := []Group{of("a", "k", 1, 2), of("b", "l", 2, 3), of("c", "m", 1, 3)}
		var pres [3][]*threshold.Presignature
		for i, g := range groups {
			pres[i] = made(10*i, 1)
			p.Add(g, [32]byte{byte(i + 1)}, nil, pres[i])
		}
		row.drop(p)
		for i := range pres {
			if got := burnt(pres[i]); got != row.want[i] {
				t.Errorf("%s: of group %d %d are burnt, want %d", name, i, got, row.want[i])
			}
		}
	}
}

// Goal: only a key in use is filled, when it has run low, and not soon again after a failure. Method: one signature after the other.
func TestUsed(t *testing.T) {
	p, g := newTable(8), of("a", "k", 1, 2)
	use := func(n int) int {
		p.filled = nil
		for range n {
			p.Used([]Group{g})
		}
		return len(p.filled)
	}
	if use(hotAfter-1) != 0 {
		t.Error("a key that is hardly used is filled")
	}
	p.now = p.now.Add(hotWithin + time.Second)
	if use(hotAfter-1) != 0 {
		t.Error("uses of long ago count")
	}
	if p.err = errors.New("no"); use(1) != 1 || p.filled[0] != fillBatch {
		t.Errorf("filled %v", p.filled)
	}
	if p.err = nil; use(1) != 0 {
		t.Error("filled again at once after a failure")
	}
	p.now = p.now.Add(fillPause)
	if use(1) == 0 && use(hotAfter) == 0 {
		t.Error("never filled again after a failure")
	}
	p.Add(g, [32]byte{}, nil, made(1, 5))
	if use(1) != 0 {
		t.Error("filled with more than the half left")
	}
	p.Reserve([]Group{g}, nil)
	if use(1) != 1 || p.filled[0] != 4 {
		t.Errorf("filled %v, with 4 of 8 left", p.filled)
	}
	none := newTable(0)
	if none.Used([]Group{g, g, g, g, g}); len(none.filled) != 0 {
		t.Error("a node that makes none fills")
	}
}

// Goal: one filling runs at a time, also where two keys are hot, each until its group is full, and none where there is no room or after the
// end. Method: a Fill that looks whether another could begin beside it; then a pool as full as the coordinator may have it; then closed.
func TestFillings(t *testing.T) {
	p, g, other := newTable(8), of("a", "k", 1, 2), of("a", "l", 1, 2)
	made, hot := 0, func(of Group) { p.Used([]Group{of, of, of, of}) }
	goes, begin := false, p.c.Go
	p.c.Go = func(f func(context.Context)) {
		if goes {
			t.Error("a group is filled twice at once")
			return
		}
		goes = true
		begin(f)
		goes = false
	}
	p.c.Fill = func(_ context.Context, of Group, count int) (bool, error) {
		p.filled = append(p.filled, count)
		if p.refilling.TryLock() {
			p.refilling.Unlock()
			t.Error("another filling can begin beside it")
		}
		hot(of) // in use meanwhile: it is being filled already
		for range count {
			made++
			p.Add(of, [32]byte{}, nil, []*threshold.Presignature{{ID: [32]byte{1, byte(made)}}})
		}
		return len(p.filled) < 9, nil
	}
	hot(g)
	hot(other)
	if want := []int{fillBatch, 8 - fillBatch, fillBatch, 8 - fillBatch}; !slices.Equal(p.filled, want) {
		t.Errorf("filled %v, want %v", p.filled, want)
	}
	p.Reserve(slices.Repeat([]Group{g}, 8), nil)
	p.c.Nodes, p.filled = poolAll/16, nil // two groups of 8 are all that it may have, and it has one
	p.groups[other.id()].order = slices.Repeat([][32]byte{{1}}, 16)
	if hot(g); len(p.filled) != 0 {
		t.Errorf("filled %v, without room", p.filled)
	}
	p.now = p.now.Add(time.Hour)
	p.groups[other.id()].order = nil
	p.Close()
	if hot(g); len(p.filled) != 0 {
		t.Errorf("filled %v, after the end", p.filled)
	}
}

// Goal: the end burns what is there. Method: close a pool with some.
func TestClose(t *testing.T) {
	p, pres := newTable(8), made(1, 3)
	p.Add(of("b", "k", 1, 2), [32]byte{}, nil, pres)
	if p.Close(); burnt(pres) != 3 || p.Counts().Held != 0 {
		t.Errorf("%d of 3 are burnt", burnt(pres))
	}
}

// Goal: a machine that was stopped and resumed is told by its clocks, one that was only busy is not. Method: readings of both.
func TestStopped(t *testing.T) {
	for d, want := range map[time.Duration]bool{0: false, time.Second: false, 3 * time.Second: true, -3 * time.Second: true, time.Hour: true} {
		if got := stopped(time.Minute+d, time.Minute); got != want {
			t.Errorf("a jump of %s: %v, want %v", d, got, want)
		}
	}
}
