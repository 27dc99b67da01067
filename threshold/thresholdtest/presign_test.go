package thresholdtest_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	tt "github.com/luxfi/mpcd/threshold/thresholdtest"
)

// Goal: whoever sends a bad OPEN to a presigning is blamed by all, also by those it sent a good one, or by nobody where views differ; third
// parties repeat the judgement; no presignature survives on those who abort. Method: a table for every scheme, each row on three networks,
// told to all and, if it convicts, to one alone, the others hearing a good one or none.
func TestPresignByzantine(t *testing.T) {
	garbage := bytes.Repeat([]byte{0xff}, 33)
	type row struct {
		name string
		body func([]byte) []byte
		want func(liar threshold.PartyID) []tt.Ending
	}
	proven := func(checks ...string) func(threshold.PartyID) []tt.Ending {
		return func(l threshold.PartyID) []tt.Ending { return tt.Proven(l, checks...) }
	}
	rows := []row{
		{"another context", func(b []byte) []byte { b[40] ^= 1; return b },
			func(threshold.PartyID) []tt.Ending { return tt.Retry("config-mismatch") }},
		{"a batch of another size", func(b []byte) []byte { b[40] ^= 1; return append(b, b[64:]...) },
			func(threshold.PartyID) []tt.Ending { return tt.Retry("config-mismatch") }},
		{"short", func(b []byte) []byte { return b[:len(b)-1] }, proven("open-length")},
		{"no commitments", func(b []byte) []byte { return b[:64] }, proven("open-length")},
		{"long", func(b []byte) []byte { return append(b, 0) }, proven("open-length")},
		{"hiding commitment garbage", func(b []byte) []byte { copy(b[64:96], garbage); return b }, proven("frost-commitment")},
		{"binding commitment garbage", func(b []byte) []byte { copy(b[len(b)-32:], garbage); return b }, proven("frost-commitment")},
		{"identity", func(b []byte) []byte {
			n := (len(b) - 64) / 2
			clear(b[64 : 64+n])
			if n == 32 {
				b[64] = 1
			}
			return b
		}, proven("frost-commitment")},
	}
	for _, scheme := range simple() {
		w := tt.NewWorld(11, 3, 2)
		ks, err := w.Keygen(scheme)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			t.Run(string(scheme.ID())+"/"+r.name, func(t *testing.T) {
				for _, f := range tt.Networks() {
					w.Faults = f
					liar, victim := w.Committee.Parties[1], w.Committee.Parties[2]
					wanted := r.want(liar)
					presignByzantine(t, w, scheme, ks, func(threshold.PartyID) []tt.Ending { return wanted }, func(b []byte, _ threshold.PartyID) []byte {
						return r.body(b)
					})
					if wanted[0].Kind != threshold.Proven {
						continue
					}
					// One that has had both the good OPEN and the bad one in the accusation may see the equivocation first.
					either := append(slices.Clone(wanted), tt.Proven(liar, "equivocation")...)
					if f.Lossy() {
						either = append(either, tt.Done...) // it has what it needs, and the accusation is lost
					}
					presignByzantine(t, w, scheme, ks, func(threshold.PartyID) []tt.Ending { return either }, func(b []byte, to threshold.PartyID) []byte {
						if to != victim {
							return b
						}
						return r.body(b)
					})
					// One that has had none from the liar goes by the evidence alone.
					presignByzantine(t, w, scheme, ks, func(threshold.PartyID) []tt.Ending { return wanted }, func(b []byte, to threshold.PartyID) []byte {
						if to != victim {
							return nil
						}
						return r.body(b)
					})
				}
			})
		}
		t.Run(string(scheme.ID())+"/commitments equivocated", func(t *testing.T) { equivocated(t, w, scheme, ks) })
	}
}

// presignByzantine runs a presigning of all in which the second party bends its OPEN, and judges how it ends.
func presignByzantine(t *testing.T, w *tt.World, scheme threshold.Scheme, ks tt.Shares, want func(threshold.PartyID) []tt.Ending,
	bend func(open []byte, to threshold.PartyID) []byte) {
	t.Helper()
	liar := w.Committee.Parties[1]
	run := &tt.Run[[]*threshold.Presignature]{World: w, Sessions: map[threshold.PartyID]*threshold.Session[[]*threshold.Presignature]{}}
	run.Liars = map[threshold.PartyID]tt.Tamper{liar: func(m threshold.Message, to threshold.PartyID) []threshold.Message {
		if m.Kind != threshold.Data {
			return nil // it does not pass on what convicts it
		}
		if m.Body = bend(slices.Clone(m.Body), to); m.Body == nil {
			return nil
		}
		return []threshold.Message{m}
	}}
	for _, p := range w.Committee.Parties {
		s, err := scheme.Presign(w.Setup(p, nil, "x"), []threshold.PresignKey{{Info: ks[p].KeyInfo, Share: ks[p]}}, w.Rand(p))
		if err != nil {
			t.Fatal(err)
		}
		run.Sessions[p] = s
	}
	third := w.Setup(0, nil, "x")
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	tt.Judged(t, liar, out, w.Faults.Lossy(), want, func(a *threshold.Abort) error {
		return scheme.(threshold.Judge).VerifyPresigning(third, []threshold.KeyInfo{ks[liar].KeyInfo}, nil, a)
	})
}

// equivocated: a liar shows two signers other nonces. Their sessions end, with other IDs; the originals convict the liar.
func equivocated(t *testing.T, w *tt.World, scheme threshold.Scheme, ks tt.Shares) {
	w.Faults = tt.Faults{}
	a, liar, b := w.Committee.Parties[0], w.Committee.Parties[1], w.Committee.Parties[2]
	earlier, err := w.Presign(scheme, ks, w.Committee.Parties)
	if err != nil {
		t.Fatal(err)
	}
	old := earlier[liar].Commitments[1]
	run := &tt.Run[[]*threshold.Presignature]{World: w, Sessions: map[threshold.PartyID]*threshold.Session[[]*threshold.Presignature]{}}
	run.Liars = map[threshold.PartyID]tt.Tamper{liar: func(m threshold.Message, to threshold.PartyID) []threshold.Message {
		if to == a {
			m.Body = append(slices.Clone(m.Body[:64]), old...)
		}
		return []threshold.Message{m}
	}}
	for _, p := range w.Committee.Parties {
		if run.Sessions[p], err = scheme.Presign(w.Setup(p, nil, "x"), []threshold.PresignKey{{Info: ks[p].KeyInfo, Share: ks[p]}},
			w.Rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	third := w.Setup(0, nil, "x")
	out, err := run.Go()
	if err != nil {
		t.Fatal(err)
	}
	if !out[a].Done || !out[b].Done || out[a].Result[0].ID == out[b].Result[0].ID {
		t.Fatal("sessions that saw other commitments agree")
	}
	shown, _ := run.Sessions[b].OpenOriginals()
	_, err = run.Sessions[a].Step(w.Sign(shown))
	var abort *threshold.Abort
	if !errors.As(err, &abort) || abort.Kind != threshold.Proven || !slices.Equal(abort.Culprits, []threshold.PartyID{liar}) {
		t.Fatalf("got %v", err)
	}
	if err := threshold.VerifyConduct(third, abort); err != nil {
		t.Error(err)
	}
}
