package transport

import (
	"sync"
	"time"
)

const (
	// WindowLen is how far behind the newest an envelope of the same peer, boot and channel may arrive, in sequence numbers.
	WindowLen = 4096
	// bootsMax is how many boots with the same start a peer may have; in practice there is one.
	bootsMax = 4
	// bootSilence is how long a boot must be silent before one that claims an older start may replace it. After that no
	// envelope of the silent boot can be fresh any more: it was sent before we last heard a newer one, by a clock at most
	// SkewMax ahead, and expires at most SkewMax later.
	bootSilence = 2 * SkewMax
)

// window remembers which of the last WindowLen sequence numbers were seen (RFC 4303 §3.4.3).
type window struct {
	newest uint64
	bits   [WindowLen / 64]uint64
}

func (w *window) seen(seq uint64) bool {
	if seq > w.newest {
		return false
	}
	if w.newest-seq >= WindowLen {
		return true
	}
	return w.bits[seq/64%uint64(len(w.bits))]&(1<<(seq%64)) != 0
}

func (w *window) mark(seq uint64) {
	if seq > w.newest {
		if seq-w.newest >= WindowLen {
			w.bits = [WindowLen / 64]uint64{}
		} else {
			for s := w.newest + 1; s <= seq; s++ {
				w.bits[s/64%uint64(len(w.bits))] &^= 1 << (s % 64)
			}
		}
		w.newest = seq
	}
	w.bits[seq/64%uint64(len(w.bits))] |= 1 << (seq % 64)
}

// boot is one life of a peer's process. It has a window for every channel that we joined, so a channel that is read slowly
// does not fall out of the window of a busy one.
type boot struct {
	id      [16]byte
	windows map[string]*window
}

// replays guards against repeated envelopes of one peer. A restarted peer is a new boot; envelopes of the old are refused
// from the first of the new.
type replays struct {
	mu      sync.Mutex
	startMS uint64 // of the newest boot
	heard   time.Time
	boots   []*boot // all with that start
}

// probe says whether f would be accepted, without remembering it: what is behind a front may yet be another's.
func (r *replays) probe(f *front, now time.Time) (Reason, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, reason, ok := r.find(f, now)
	if !ok {
		return reason, false
	}
	if b != nil && b.windows[f.Channel] != nil && b.windows[f.Channel].seen(f.Seq) {
		return DropReplay, false
	}
	return 0, true
}

// accept remembers f, which must be authentic, and says whether it came for the first time.
func (r *replays) accept(f *front, now time.Time) (Reason, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, reason, ok := r.find(f, now)
	if !ok {
		return reason, false
	}
	if b == nil {
		if f.BootMS != r.startMS || r.silent(now) {
			r.boots = nil
		}
		b = &boot{id: f.Boot, windows: map[string]*window{}}
		r.boots, r.startMS = append(r.boots, b), f.BootMS
	}
	w := b.windows[f.Channel]
	if w == nil {
		w = new(window)
		b.windows[f.Channel] = w
	}
	if w.seen(f.Seq) {
		return DropReplay, false
	}
	w.mark(f.Seq)
	r.heard = now
	return 0, true
}

// find returns the boot of f, or nil if it is one to be added.
func (r *replays) find(f *front, now time.Time) (*boot, Reason, bool) {
	if len(r.boots) > 0 && f.BootMS < r.startMS && !r.silent(now) {
		return nil, DropStaleBoot, false
	}
	if f.BootMS == r.startMS {
		for _, b := range r.boots {
			if b.id == f.Boot {
				return b, 0, true
			}
		}
		if len(r.boots) >= bootsMax && !r.silent(now) {
			return nil, DropStaleBoot, false
		}
	}
	return nil, 0, true
}

func (r *replays) silent(now time.Time) bool { return now.Sub(r.heard) > bootSilence }
