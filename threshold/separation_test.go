package threshold_test

import (
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: the hashes by which parties compare what they saw depend on all of it: nobody is drawn into a session that another believes to be
// about something else, no coordinator makes a session ID occur twice, and no broadcast is left out of an echo. Method: each input changed
// by itself.
func TestHashesBindTheirInputs(t *testing.T) {
	w := tt.NewWorld(15, 3, 2)
	setup := w.Setup(w.Committee.Parties[0], w.Committee.Parties[:2], "context")
	with := func(change func(*threshold.Setup)) threshold.Setup { s := setup; change(&s); return s }
	open := func(nonce, payload byte) []byte {
		return append(slices.Concat(slices.Repeat([]byte{nonce}, 32), make([]byte, 32)), payload)
	}
	context, id := threshold.ContextHash(setup), threshold.SessionID{1}
	opens := [][]byte{open(1, 2), open(3, 4)}
	bodies := [][]byte{{1}, {2}}
	for _, h := range []struct {
		name   string
		output [32]byte
		others map[string][32]byte
	}{
		{"context", context, map[string][32]byte{
			"context": threshold.ContextHash(with(func(s *threshold.Setup) { s.Context = []byte("another") })),
			"committee": threshold.ContextHash(with(func(s *threshold.Setup) {
				s.Committee = tt.NewWorld(16, 3, 2).Committee
			})),
			"signers": threshold.ContextHash(with(func(s *threshold.Setup) { s.Signers = w.Committee.Parties })),
		}},
		{"session ID", threshold.MakeSessionID(setup, context, opens), map[string][32]byte{
			"ceremony": threshold.MakeSessionID(with(func(s *threshold.Setup) { s.Ceremony[0] ^= 1 }), context, opens),
			"context":  threshold.MakeSessionID(setup, [32]byte{9}, opens),
			"nonce":    threshold.MakeSessionID(setup, context, [][]byte{open(1, 2), open(5, 4)}),
			"payload":  threshold.MakeSessionID(setup, context, [][]byte{open(1, 2), open(3, 5)}),
			"order":    threshold.MakeSessionID(setup, context, [][]byte{open(3, 4), open(1, 2)}),
		}},
		{"echo", threshold.EchoHash(id, 1, [32]byte{2}, bodies), map[string][32]byte{
			"session":    threshold.EchoHash(threshold.SessionID{3}, 1, [32]byte{2}, bodies),
			"round":      threshold.EchoHash(id, 2, [32]byte{2}, bodies),
			"last echo":  threshold.EchoHash(id, 1, [32]byte{3}, bodies),
			"first body": threshold.EchoHash(id, 1, [32]byte{2}, [][]byte{{3}, {2}}),
			"last body":  threshold.EchoHash(id, 1, [32]byte{2}, [][]byte{{1}, {3}}),
			"order":      threshold.EchoHash(id, 1, [32]byte{2}, [][]byte{{2}, {1}}),
			"borders":    threshold.EchoHash(id, 1, [32]byte{2}, [][]byte{{1, 2}, {}}),
		}},
	} {
		for input, other := range h.others {
			if other == h.output {
				t.Errorf("%s: %s does not count", h.name, input)
			}
		}
	}
}
