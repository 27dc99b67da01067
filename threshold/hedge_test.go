package threshold_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: what a round draws hangs on fresh randomness, session, party and the secrets that the protocol lends, each by itself, so that a
// generator that repeats itself gives nothing twice. Method: the draws of sessions with a generator of one byte, changed in one of them.
func TestHedge(t *testing.T) {
	draw := func(context string, party int, secret string, fresh byte) string {
		w := tt.NewWorld(1, 3, 2)
		run := &tt.Run[tokens]{World: w, Sessions: map[threshold.PartyID]*threshold.Session[tokens]{}}
		for _, p := range w.Committee.Parties {
			rand := io.MultiReader(io.LimitReader(constant(0), 32), constant(fresh))
			x, err := threshold.NewSession(w.Setup(p, nil, context), rand, threshold.Opening[tokens]{
				Hedge: func() [][]byte { return [][]byte{[]byte(secret)} },
				Begin: func(rand io.Reader, _ threshold.SessionID, _ []threshold.Received) (threshold.Step[tokens], error) {
					out := make([]byte, 64)
					_, err := io.ReadFull(rand, out)
					return threshold.Step[tokens]{Result: out}, err
				}})
			if err != nil {
				t.Fatal(err)
			}
			run.Sessions[p] = x
		}
		return string(play(t, run)[w.Committee.Parties[party]].Result)
	}
	seen := map[string]string{}
	for _, c := range []struct {
		context string
		party   int
		secret  string
		fresh   byte // beyond what OPEN takes
	}{{"x", 0, "share", 7}, {"y", 0, "share", 7}, {"x", 1, "share", 7}, {"x", 0, "another", 7}, {"x", 0, "share", 8}} {
		b := draw(c.context, c.party, c.secret, c.fresh)
		for _, half := range []string{b[:32], b[32:]} {
			if was, ok := seen[half]; ok {
				t.Errorf("%v draws what %s did", c, was)
			}
			seen[half] = fmt.Sprint(c)
		}
		if draw(c.context, c.party, c.secret, c.fresh) != b {
			t.Errorf("%v draws otherwise the second time", c)
		}
	}
}

// constant is a generator that gives one byte for ever.
type constant byte

func (c constant) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(c)
	}
	return len(b), nil
}
