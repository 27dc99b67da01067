package transport

import (
	"sync"
	"time"
)

// Run names one life of a node's process.
type Run struct {
	// ID is random.
	ID [16]byte
	// Number grows from each run of a node to its next: the milliseconds since 1970 at its start, or one more than the run before had,
	// where the clock went back. Of two runs with one number both are heard.
	Number uint64
}

// Sight is what envelopes with the right MAC told of a node beside what was in them, whether they were delivered or not.
type Sight struct {
	// Ahead is how far the node's clock is ahead of ours, by its newest envelope, which took some time to come; below zero it is behind.
	Ahead time.Duration
	// At is when that came, by our clock; zero if never.
	At time.Time
	// Run is the run that is heard. Of ourselves it is this one.
	Run Run
	// Other is a run that spoke after Run had begun: the node runs twice. Twice is when that was last heard, by our clock; zero if never.
	Other Run
	Twice time.Time
}

// sighting collects the Sight of one node.
type sighting struct {
	mu      sync.Mutex
	sight   Sight
	sentMS  uint64 // TimeMS of the newest envelope, by which Ahead was measured
	firstMS uint64 // TimeMS of the first envelope of sight.Run that came
}

// clockAge is after how long without a newer envelope of a node an older one is taken for what its clock says now.
const clockAge = 10 * time.Second

// delivered notes an authentic envelope that is new.
func (s *sighting) delivered(f *front, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch run := (Run{f.Boot, f.BootMS}); {
	case s.sight.Run == (Run{}) || run.Number > s.sight.Run.Number:
		s.sight.Run, s.firstMS = run, f.TimeMS
	case run.Number < s.sight.Run.Number: // the newer was silent for so long that this one is heard again
		s.sight.Run, s.firstMS = run, f.TimeMS
	case run != s.sight.Run:
		s.another(run, f, now)
	}
	s.clock(f, now)
}

// refused notes an authentic envelope that is dropped, for what it tells of the sender's clock and of another run of it.
func (s *sighting) refused(f *front, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !fresh(f.TimeMS, now) {
		s.clock(f, now)
		return
	}
	if run := (Run{f.Boot, f.BootMS}); run != s.sight.Run {
		s.another(run, f, now)
	}
}

// another notes another run. What a node sent before it was restarted may come late: only what was sent after the run that is heard had
// begun to speak, by the clock of the sender, tells of two at once.
func (s *sighting) another(run Run, f *front, now time.Time) {
	if f.TimeMS > s.firstMS {
		s.sight.Other, s.sight.Twice = run, now
	}
}

// clock notes what time it is by the sender's clock. Anybody can repeat what was said an hour ago, and networks reorder: what is not
// newer than the newest counts only if that came long ago.
func (s *sighting) clock(f *front, now time.Time) {
	if f.TimeMS <= s.sentMS && now.Sub(s.sight.At) < clockAge {
		return
	}
	s.sentMS = f.TimeMS
	s.sight.Ahead, s.sight.At = time.UnixMilli(int64(f.TimeMS)).Sub(now), now
}

// Sight is what was noticed of a node of the roster, ourselves among them.
func (s *Secured) Sight(id NodeID) Sight {
	of := &s.me.sighting
	if id != s.self.Node {
		p := s.peer(id)
		if p == nil {
			return Sight{}
		}
		of = &p.sighting
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	return of.sight
}
