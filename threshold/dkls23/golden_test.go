package dkls23

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/thresholdtest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden transcripts anew")

// transcript is every message of a ceremony, one line each: round, sender, recipient, length, SHA-256.
type transcript struct{ strings.Builder }

func (x *transcript) messages(name string, f *fixture, outbox func(party) []threshold.Message, parties []party) {
	fmt.Fprintf(x, "%s\n", name)
	for _, p := range parties {
		for _, m := range outbox(p) {
			to := "all"
			if m.To != threshold.Everybody {
				to = fmt.Sprint(m.To)
			}
			fmt.Fprintf(x, "  round %d, %d to %s: %d bytes %x\n", m.Round, m.From, to, len(m.Body), sha256.Sum256(m.Encode()))
		}
	}
}

func outboxes[R any](r *thresholdtest.Run[R]) func(party) []threshold.Message {
	return func(p party) []threshold.Message { return r.Sessions[p].Outbox() }
}

// Goal: no message changes unnoticed: every byte of setup, presigning, agreement and shares is a function of the seed. Method: hashes in a
// golden file; -rewrite makes it anew.
func TestTranscript(t *testing.T) {
	var x transcript
	f := &fixture{World: thresholdtest.NewWorld(2023, 3, 2), n: 3, t: 2, pairs: map[party]*pairState{}}
	var err error
	if f.shares, err = f.Keygen(Scheme{}); err != nil {
		t.Fatal(err)
	}
	setup := &thresholdtest.Run[threshold.PairState]{World: f.World, Sessions: map[party]*threshold.Session[threshold.PairState]{}}
	for _, p := range f.Committee.Parties {
		if setup.Sessions[p], err = (Scheme{}).NewPairState(f.setup(p, nil), 1, f.rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	f.pairs = statesOf(results(t, setup))
	x.messages("setup", f, outboxes(setup), f.Committee.Parties)
	for _, p := range f.Committee.Parties {
		b := f.pairs[p].Bytes()
		fmt.Fprintf(&x, "  pair state of %d: id %x, %d bytes %x\n", p, f.pairs[p].id, b.Len(), sha256.Sum256(b.Bytes()))
		b.Wipe()
	}

	q := f.Committee.Parties[1:]
	info := f.shares[q[0]].KeyInfo
	_, _, tweaks, err := Scheme{}.Derive(info, []uint32{0, 5})
	if err != nil {
		t.Fatal(err)
	}
	reqs := []threshold.SignRequest{{Message: digestOf("golden 1")}, {Message: digestOf("golden 2"), Tweaks: tweaks}}
	sign := func(pres map[party]presignatures) {
		for i, r := range reqs {
			shares := f.sharesOf(t, q, r, pres, i)
			for _, s := range shares {
				fmt.Fprintf(&x, "  share of %d: presignature %x\n    %x\n", s.From, s.Pre, s.Payload)
			}
			sig, err := f.combine(q[0], r, pres[q[0]][i], shares)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&x, "  signature %x, recovery %d\n", sig.Bytes, sig.RecoveryID)
		}
	}
	run, _ := f.presigning(t, q, reqs, 2)
	pres := results(t, run)
	x.messages("presign for two requests", f, outboxes(run), q)
	sign(pres)

	run, _ = f.presigning(t, q, nil, 2)
	pres = results(t, run)
	x.messages("presign", f, outboxes(run), q)
	f.next()
	agree := &thresholdtest.Run[[][32]byte]{World: f.World, Sessions: map[party]*threshold.Session[[][32]byte]{}}
	for _, p := range q {
		mine := []threshold.SignRequest{reqs[0], reqs[1]}
		mine[0].Pre, mine[1].Pre = pres[p][0], pres[p][1]
		if agree.Sessions[p], err = f.scheme(p).Agree(f.setup(p, q), mine, f.rand(p)); err != nil {
			t.Fatal(err)
		}
	}
	nonces := results(t, agree)[q[0]]
	x.messages("agree", f, outboxes(agree), q)
	for i := range reqs {
		reqs[i].Agreement = nonces
	}
	sign(pres)

	golden := filepath.Join("testdata", "transcript.txt")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(x.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(x.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("line %d changed; if on purpose, run with -rewrite\ngot  %s\nwant %s", i+1, got[min(i, len(got)-1)], line)
		}
	}
}
