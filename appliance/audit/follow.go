package audit

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/vault"
)

// Follower reads a log entry by entry, behind its end, and keeps in a store how far it came: a restart leaves no entry out. One goroutine
// moves it on.
type Follower struct {
	log   *Log
	store vault.Store
	name  string
	last  atomic.Uint64 // number of the entry that was read last
}

// followed is how far a follower came.
type followed struct {
	Version uint8  `cbor:"1,keyasint"`
	Name    string `cbor:"2,keyasint"`
	Last    uint64 `cbor:"3,keyasint"`
}

const (
	followedVersion = 1
	followedPrefix  = "node/follower/"
)

// Follow returns the follower of each name, in their order, and forgets all others. One that is new begins behind the log's end.
func Follow(ctx context.Context, l *Log, s vault.Store, names ...string) ([]*Follower, error) {
	at := make(map[string]*Follower, len(names))
	out := make([]*Follower, len(names))
	for i, name := range names {
		out[i] = &Follower{log: l, store: s, name: name}
		out[i].last.Store(l.Len())
		at[name] = out[i]
	}
	known := map[string]bool{}
	var gone [][]byte
	if err := s.Iterate(ctx, []byte(followedPrefix), func(key, value []byte) error {
		name := strings.TrimPrefix(string(key), followedPrefix)
		f := at[name]
		if f == nil {
			gone = append(gone, append([]byte(nil), key...))
			return nil
		}
		r, err := ParseFollower(name, value)
		if err == nil {
			known[name] = true
			f.last.Store(min(r, f.last.Load()))
		}
		return err
	}); err != nil {
		return nil, err
	}
	var puts []vault.Pair
	for _, f := range out {
		if !known[f.name] {
			puts = append(puts, f.record())
		}
	}
	if len(puts)+len(gone) == 0 {
		return out, nil
	}
	return out, s.Batch(ctx, puts, gone)
}

func (f *Follower) record() vault.Pair {
	return vault.Pair{Key: []byte(followedPrefix + f.name),
		Value: canon.MustMarshal(followed{Version: followedVersion, Name: f.name, Last: f.last.Load()})}
}

// ParseFollower reads the record of a follower: the number of the entry that it read last.
func ParseFollower(name string, stored []byte) (uint64, error) {
	var r followed
	err := canon.UnmarshalVersion(stored, followedVersion, &r)
	if err == nil && r.Name != name {
		err = errors.New("it is another's")
	}
	if err != nil {
		return 0, problem.Unreadable("how far webhooks of events came", problem.Restore, err)
	}
	return r.Last, nil
}

// Next returns up to n entries behind those that were read.
func (f *Follower) Next(n int) ([]Entry, error) { return f.log.Entries(f.last.Load(), n) }

// Behind is how many entries there are that were not read.
func (f *Follower) Behind() uint64 { return f.log.Len() - f.last.Load() }

// Pass notes that all entries up to this number were read. What is not kept is read again after a restart.
func (f *Follower) Pass(seq uint64) { f.last.Store(seq) }

// Keep stores how far the follower came.
func (f *Follower) Keep(ctx context.Context) error {
	return f.store.Batch(ctx, []vault.Pair{f.record()}, nil)
}
