package appliance

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
)

// manyKeys enters active keys of the committee into the node's ring, which has no share of them.
func (x *inside) manyKeys(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		info := threshold.KeyInfo{Kind: threshold.Ed25519.ID, GroupKey: binary.BigEndian.AppendUint64(make([]byte, 24), uint64(i+1)), Epoch: 1,
			Committee: x.world.Committee}
		if err := x.keys.Put(t.Context(), attest.KeyID(info.Kind, info.GroupKey), keys.Record{Info: info, State: keys.Active}); err != nil {
			t.Fatal(err)
		}
	}
}

// hears has the node hear a word of a peer about epochs, and returns what it answers, none or one.
func (x *inside) hears(t *testing.T, from transport.NodeID, w epochsWord) (answers []epochsWord) {
	t.Helper()
	x.sent = nil
	w.Version = epochsVersion
	x.epochs.learn(t.Context(), transport.Envelope{From: from, Kind: ceremony.KindEpochs, Body: canon.MustMarshal(w)})
	for _, e := range x.sent {
		var a epochsWord
		if err := canon.UnmarshalVersion(e.Body, epochsVersion, &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	return answers
}

// Goal: digests that differ are answered once in epochsEvery and within what a member may be told; an answer holds whole buckets and says
// of no other that it does, and all keys come in turn. Method: a node with more keys than a list holds hears one word after the other.
func TestEpochsAnswered(t *testing.T) {
	x := newInside(t)
	now := time.Now()
	x.cfg.Clock = func() time.Time { return now }
	const n = 2*epochsKeys + 100
	x.manyKeys(t, n)
	peer := nodeOf(x.world.Committee.Parties[1])
	size := map[int]int{}
	for _, s := range x.keys.Sharings(x.members.Party(peer)) {
		size[bucketOf(s.ID)]++
	}
	differ := epochsWord{Digests: bytes.Repeat([]byte{1}, epochsBuckets*epochsDigest)}
	told := map[string]bool{}
	for range 4 {
		answers := x.hears(t, peer, differ)
		if len(answers) != 1 || len(x.hears(t, peer, differ)) > 0 {
			t.Fatalf("%d answers, or a second at once", len(answers))
		}
		in := map[int]int{}
		for _, k := range answers[0].Keys {
			in[bucketOf(k.KeyID)]++
			told[k.KeyID] = true
		}
		for b := range epochsBuckets {
			if whole := answers[0].Buckets>>b&1 == 1; whole != (in[b] > 0) || in[b] > 0 && in[b] != size[b] {
				t.Errorf("bucket %d: %d keys of %d are told, as a whole: %v", b, in[b], size[b], whole)
			}
		}
		now = now.Add(epochsEvery)
	}
	if len(told) != n {
		t.Errorf("%d keys of %d were told", len(told), n)
	}
	x.told.room(now, peer)
	x.told.count(peer, toldSecond)
	if len(x.hears(t, peer, differ)) > 0 {
		t.Error("a member is told more than it may be")
	}
}

// Goal: what a liar claims anew every few seconds fills no audit log. Method: claims of other keys, for an hour; then of none.
func TestBehindOnRecord(t *testing.T) {
	x := newInside(t)
	now := time.Now()
	x.cfg.Clock = func() time.Time { return now }
	x.manyKeys(t, 100)
	peer := nodeOf(x.world.Committee.Parties[1])
	w := &watch{compared: map[transport.NodeID]time.Time{}, lags: map[transport.NodeID]string{}, lagged: map[transport.NodeID]time.Time{}}
	all := x.keys.Sharings(x.members.Party(peer))
	look := func(claim ...keys.Sharing) (entries int) {
		now = now.Add(epochsEvery)
		delete(x.epochs.claims, peer)
		for _, s := range claim {
			x.ClaimEpoch(peer, s.ID, 0)
		}
		w.epochs(x.Node, peer)
		x.wg.Wait()
		return len(slices.DeleteFunc(x.events(t), func(name string) bool { return name != "key.behind" }))
	}
	entries := 0
	for i := range int(time.Hour / epochsEvery) {
		entries += look(all[i%len(all)])
	}
	if entries != 6 {
		t.Errorf("%d entries in an hour", entries)
	}
	if look() != 0 || look(all[0]) != 1 {
		t.Error("a node that lags again is not on record")
	}
}
