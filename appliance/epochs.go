package appliance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// A node that a refresh left behind, or whose directory is an older copy, holds shares of an epoch that is over, or none of a key of its
// committee. Nodes tell each other now and then, by digests, which epochs they hold of the keys they share, so that such a node, and the
// others, know it before anybody asks for a signature; of a key that it has no record of, the others alone. What it lacks, if it has staged
// it, comes by asking (recover.go). A claim is no proof: it moves no share, and it is believed against this node's own record only where so
// many say it that the key is signed with without it.

const (
	epochsEvery   = 2 * time.Second  // how often a peer is told our digests, and heard
	epochsSettle  = 5 * time.Second  // a difference may be a refresh that ends: what stays that long is none
	epochsBuckets = 64               // keys are told apart by as many digests
	epochsDigest  = 8                // bytes of one
	epochsKeys    = 2048             // most keys of a list
	epochsTold    = 8                // most wallets named in one line
	epochsRecord  = 10 * time.Minute // how often a change of what a node lags behind with is put on record
)

// epochsWord is what a node tells a peer: the digests of all keys that both hold, or, of buckets in which these differ, the keys.
type epochsWord struct {
	Version uint8      `cbor:"1,keyasint"`
	Digests []byte     `cbor:"2,keyasint,omitempty"`
	Buckets uint64     `cbor:"3,keyasint,omitempty"` // a bit for each that is in Keys as a whole
	Keys    []keyEpoch `cbor:"4,keyasint,omitempty"`
}

const epochsVersion = 1

// epochsName is the name of the check.
const epochsName = "epochs"

type keyEpoch struct {
	KeyID string `cbor:"1,keyasint"`
	Epoch uint64 `cbor:"2,keyasint"`
}

// epochs are the claims of peers about keys of ours that differ from what we hold.
type epochs struct {
	*core
	mu     sync.Mutex
	claims map[transport.NodeID]map[string]holding
	talks  map[transport.NodeID]*talk
}

// talk is what was heard of a peer, and when, and with which bucket the next answer to it begins: one list may not hold all.
type talk struct {
	digests, keys time.Time
	next          int
}

// heed tells whether a peer's word is listened to: one of each kind in epochsEvery. Each costs a look at all keys that both hold.
func (e *epochs) heed(from transport.NodeID, digests bool) bool {
	now := e.cfg.Clock()
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.talks[from]
	if t == nil {
		t = &talk{}
		e.talks[from] = t
	}
	at := &t.keys
	if digests {
		at = &t.digests
	}
	if now.Sub(*at) < epochsEvery {
		return false
	}
	*at = now
	return true
}

type holding struct { // what a peer claims to hold
	epoch uint64
	since time.Time
}

func bucketOf(id string) int {
	h := sha256.Sum256([]byte(id))
	return int(h[0] % epochsBuckets)
}

// word is what we tell of the keys that we share with a peer.
func (e *epochs) word(id transport.NodeID) (w epochsWord, shared []keys.Sharing) {
	shared = e.keys.Sharings(e.members.Party(id))
	var in [epochsBuckets][]byte
	for _, s := range shared {
		b := bucketOf(s.ID)
		in[b] = binary.BigEndian.AppendUint64(append(append(in[b], s.ID...), 0), s.Epoch)
	}
	w.Version = epochsVersion
	for _, all := range in {
		h := canon.Hash("mpcd/v1/epochs", all)
		w.Digests = append(w.Digests, h[:epochsDigest]...)
	}
	return w, shared
}

// tell sends our digests to a peer.
func (e *epochs) tell(id transport.NodeID) {
	w, _ := e.word(id)
	e.send(transport.Envelope{To: []transport.NodeID{id}, Kind: ceremony.KindEpochs, Body: canon.MustMarshal(w)})
}

// learn hears what a peer tells, and answers digests that differ from ours with the keys.
func (e *epochs) learn(_ context.Context, env transport.Envelope) {
	var w epochsWord
	if canon.UnmarshalVersion(env.Body, epochsVersion, &w) != nil || len(w.Keys) > epochsKeys || !e.heed(env.From, w.Digests != nil) {
		return
	}
	ours, shared := e.word(env.From)
	switch {
	case len(w.Digests) == len(ours.Digests):
		e.compare(env.From, w.Digests, ours.Digests, shared)
	case w.Digests == nil:
		e.hear(env.From, w, shared)
	}
}

func (e *epochs) compare(from transport.NodeID, theirs, ours []byte, shared []keys.Sharing) {
	differ := func(bucket int) bool {
		at := bucket * epochsDigest
		return !bytes.Equal(theirs[at:at+epochsDigest], ours[at:at+epochsDigest])
	}
	var in [epochsBuckets][]keyEpoch
	for b := range in {
		if differ(b) {
			in[b] = []keyEpoch{}
		}
	}
	for _, s := range shared {
		if b := bucketOf(s.ID); differ(b) {
			in[b] = append(in[b], keyEpoch{s.ID, s.Epoch})
		}
	}
	e.mu.Lock()
	maps.DeleteFunc(e.claims[from], func(id string, _ holding) bool { return !differ(bucketOf(id)) })
	t := e.talks[from]
	answer, next := list(in, t.next)
	t.next = next
	e.mu.Unlock()
	if answer.Buckets == 0 || !e.told.room(e.cfg.Clock(), from) {
		return
	}
	body := canon.MustMarshal(answer)
	e.told.count(from, len(body))
	e.send(transport.Envelope{To: []transport.NodeID{from}, Kind: ceremony.KindEpochs, Body: body})
}

// list is a list of the keys of whole buckets from one on, as many as it may hold, and the bucket with which the next list begins; buckets
// that are nil are not told. What is missing of a bucket that is said to be told as a whole, a peer takes for a key that we do not hold.
func list(in [epochsBuckets][]keyEpoch, from int) (w epochsWord, next int) {
	w.Version = epochsVersion
	for i := range epochsBuckets {
		b := (from + i) % epochsBuckets
		switch {
		case in[b] == nil:
		case len(w.Keys)+len(in[b]) <= epochsKeys:
			w.Keys = append(w.Keys, in[b]...)
			w.Buckets |= 1 << b
		case w.Keys != nil: // else it is too large for any list
			return w, b
		}
	}
	return w, from
}

// hear notes what a peer holds of keys of ours, epoch 0 where it tells of none. Of others it may tell what it likes.
func (e *epochs) hear(from transport.NodeID, w epochsWord, shared []keys.Sharing) {
	theirs := map[string]uint64{}
	for _, k := range w.Keys {
		theirs[k.KeyID] = k.Epoch
	}
	now := e.cfg.Clock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.claims[from] == nil {
		e.claims[from] = map[string]holding{}
	}
	for _, s := range shared {
		if w.Buckets>>bucketOf(s.ID)&1 == 0 {
			continue
		}
		epoch := theirs[s.ID]
		was, before := e.claims[from][s.ID]
		switch {
		case epoch == s.Epoch:
			delete(e.claims[from], s.ID)
		case !before || was.epoch != epoch:
			e.claims[from][s.ID] = holding{epoch, now}
		}
	}
}

// holds is the epoch of a key that a peer has claimed for long enough to be believed of itself, where it is another than ours.
func (e *epochs) holds(id transport.NodeID, key string, ours uint64) (epoch uint64, other bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, ok := e.claims[id][key]
	return c.epoch, ok && c.epoch != ours && e.cfg.Clock().Sub(c.since) >= epochsSettle
}

// behind tells whether this node's share of a key is of an epoch that is over: so many parties hold a later one that they sign without it,
// one of whom at least is honest.
func (e *epochs) behind(s keys.Sharing) bool {
	_, others := e.members.Others(s.Committee.Parties)
	later := 0
	for _, id := range others {
		if epoch, other := e.holds(id, s.ID, s.Epoch); other && epoch > s.Epoch {
			later++
		}
	}
	return later > 0 && later >= min(s.Committee.Threshold, len(others))
}

// lag lists the keys of which a node, this one or a peer, holds no share, or an older one than others do, as far as this node knows.
func (e *epochs) lag(id transport.NodeID) (none, late []string) {
	claimed := map[string]bool{}
	e.mu.Lock()
	for from, claims := range e.claims {
		for key := range claims {
			claimed[key] = claimed[key] || from == id || id == e.cfg.Node
		}
	}
	e.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(claimed)) {
		s, ok := e.keys.Sharing(key)
		if !ok || !claimed[key] {
			continue
		}
		epoch, other := e.holds(id, key, s.Epoch)
		switch {
		case other && epoch == 0:
			none = append(none, key)
		case id == e.cfg.Node && e.behind(s) || other && epoch < s.Epoch:
			late = append(late, key)
		}
	}
	return none, late
}

// lagWords says it of a node, "" where there is none.
func (e *epochs) lagWords(id transport.NodeID) string {
	none, late := e.lag(id)
	var words []string
	for _, x := range []struct {
		what string
		keys []string
	}{{"no share", none}, {"an older share", late}} {
		if len(x.keys) > 0 {
			words = append(words, fmt.Sprintf("holds %s of %d of %d keys, and cannot sign with them: %s", x.what, len(x.keys),
				len(e.keys.Sharings(e.members.Party(id))), named(x.keys)))
		}
	}
	return strings.Join(words, "; it ")
}

func named(ids []string) string {
	if len(ids) > epochsTold {
		return strings.Join(ids[:epochsTold], ", ") + ", …"
	}
	return strings.Join(ids, ", ")
}

// apart lists the parties of a key that hold another epoch than this node. If that is because this node is behind, it is an error: whom it
// asks would refuse.
func (e *epochs) apart(s keys.Sharing) (parties []threshold.PartyID, err error) {
	if e.behind(s) {
		return nil, problem.New(problem.Conflict, "ask another node; this node's share cannot be mended, see docs/OPERATIONS.md",
			"this node holds wallet %s at epoch %d, which is over: a refresh ended without it, or its data directory is an older copy",
			s.ID, s.Epoch)
	}
	for _, p := range s.Committee.Parties {
		if _, other := e.holds(e.members.Node(p), s.ID, s.Epoch); other {
			parties = append(parties, p)
		}
	}
	return parties, nil
}

// whole fails where a party of a key holds another epoch of it, for then no refresh can end.
func (e *epochs) whole(s keys.Sharing) error {
	parties, err := e.apart(s)
	if err == nil && len(parties) > 0 {
		ids := e.members.Nodes(parties)
		err = problem.New(problem.Conflict, "make another key with all nodes, and move what this one holds; see docs/OPERATIONS.md",
			"%v hold no share of wallet %s at epoch %d, so no refresh of it can end", ids, s.ID, s.Epoch)
	}
	return err
}

// useNewest is what to do first about a node that was started on an older data directory.
const useNewest = "start it on its newest data directory"

// check is the check of readiness: a node all of whose keys are over serves nobody. One that lags with some is ready, and to be looked at.
func (e *epochs) check() Check {
	words := e.lagWords(e.cfg.Node)
	if words == "" {
		return Check{Name: epochsName, OK: true, Detail: "its shares are of the epochs that the peers hold"}
	}
	_, late := e.lag(e.cfg.Node)
	some := len(late) < len(e.keys.Sharings(e.members.SelfParty()))
	return Check{Name: epochsName, OK: some, Detail: "it " + words, Next: useNewest + "; if that is gone, sign with the others, make other " +
		"keys with all nodes, and move what these hold; see docs/OPERATIONS.md"}
}

// epochs tells the peer, and tells log and audit log of a node that begins to lag, or does no longer.
func (w *watch) epochs(n *Node, id transport.NodeID) {
	now := n.cfg.Clock()
	if now.Sub(w.compared[id]) < epochsEvery {
		return
	}
	w.compared[id] = now
	if _, live := n.peers.Notes(id); live {
		n.epochs.tell(id)
	}
	words := n.epochs.lagWords(id)
	if words == w.lags[id] || words != "" && w.lags[id] != "" && now.Sub(w.lagged[id]) < epochsRecord {
		return
	}
	w.lags[id], w.lagged[id] = words, now
	if words == "" {
		n.cfg.Logger.Info("a node lacks no shares any more", "member", id)
		return
	}
	n.cfg.Logger.Warn("a node was left behind", "member", id, "what", words)
	n.wg.Go(func() {
		if err := n.cfg.AuditLog.Append(n.base, audit.Event{Name: "key.behind",
			Facts: map[string]string{"node": string(id), "what": words}}); err != nil {
			n.cfg.Logger.Error("audit", "error", err)
		}
	})
}
