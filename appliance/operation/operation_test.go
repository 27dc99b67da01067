package operation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/canon/canontest"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: no bytes make the decoder panic, and a record has one encoding. Method: fuzz.
func FuzzRecord(f *testing.F) { canontest.Fuzz(f, record{Body: [32]byte{1}, Answer: []byte{1}}) }

// Goal: a session_id that would not survive a log or a header is refused. Method: the edges of length and alphabet.
func TestCheckSession(t *testing.T) {
	for id, ok := range map[string]bool{
		"a": true, "~!": true, strings.Repeat("x", MaxSessionID): true,
		strings.Repeat("x", MaxSessionID+1): false, "a b": false, "a\n": false, "é": false, "\x7f": false,
	} {
		if err := CheckSession(id); (err == nil) != ok || err != nil && problem.As(err).Field != "session_id" {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Goal: what stands on disk under a session_id holds for a second caller: the answer for the same request, a refusal for another, which may
// take over an answer where there is none yet, and a record that is not of this version for nobody; what has an answer, or is another's,
// is not forgotten. Method: an answered request, and one that is not; the request again, another, and the record of another version.
func TestClaimOnRecord(t *testing.T) {
	s := vaulttest.NewMemory()
	o := New(s, time.Now)
	body := [32]byte{1}
	put := func(p vault.Pair) {
		t.Helper()
		if err := s.Batch(t.Context(), []vault.Pair{p}, nil); err != nil {
			t.Fatal(err)
		}
	}
	put(o.Answered("sign", "s", body, []byte("rc")))
	if answer, _, err := o.Claim(t.Context(), "sign", "s", body); err != nil || string(answer) != "rc" {
		t.Errorf("again: %q, %v", answer, err)
	}
	if _, release, err := o.Claim(t.Context(), "sign", "s", [32]byte{2}); problem.As(err).Code != problem.Conflict || release != nil {
		t.Errorf("another request: %v", err)
	}
	put(o.Pending("sign", "left", body))
	_, release, err := o.Claim(t.Context(), "sign", "left", [32]byte{2})
	if problem.As(err).Code != problem.Conflict || release == nil {
		t.Fatalf("another request than one that has no answer: %v", err)
	}
	release()
	for _, x := range []struct {
		session string
		body    [32]byte
		left    bool
	}{{"s", body, true}, {"left", [32]byte{2}, true}, {"left", body, false}, {"never", body, false}} {
		err := o.Forget(t.Context(), "sign", x.session, x.body)
		if rec, rerr := o.get(t.Context(), "sign", x.session); err != nil || rerr != nil || (rec != nil) != x.left {
			t.Errorf("%s forgotten: %v, %v, %v", x.session, rec, err, rerr)
		}
	}
	put(vault.Pair{Key: key("sign", "s"), Value: canon.MustMarshal(record{Version: version + 1, Body: body})})
	if _, _, err := o.Claim(t.Context(), "sign", "s", body); problem.As(err).Code != problem.Integrity {
		t.Errorf("a record of another version: %v", err)
	}
}

// Goal: while a request runs, its session_id is taken: the same request waits for it and has its answer, or runs where there is none;
// another is refused at once; and a caller who goes waits no longer. Method: a second caller of each kind beside the first.
func TestClaimWhileRunning(t *testing.T) {
	for _, answered := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := vaulttest.NewMemory()
			o, body := New(s, time.Now), [32]byte{1}
			_, release, err := o.Claim(t.Context(), "sign", "s", body)
			if err != nil || release == nil {
				t.Fatal(err)
			}
			if _, _, err := o.Claim(t.Context(), "sign", "s", [32]byte{2}); problem.As(err).Code != problem.Conflict {
				t.Errorf("another request: %v", err)
			}
			gone, leave := context.WithCancel(t.Context())
			leave()
			if _, _, err := o.Claim(gone, "sign", "s", body); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller who goes: %v", err)
			}
			put := o.Pending("sign", "s", body)
			if answered {
				put = o.Answered("sign", "s", body, []byte("rc"))
			}
			type claim struct {
				answer  []byte
				release func()
				err     error
			}
			second := make(chan claim, 1)
			go func() {
				answer, release, err := o.Claim(t.Context(), "sign", "s", body)
				second <- claim{answer, release, err}
			}()
			if synctest.Wait(); len(second) != 0 {
				t.Error("the same request runs beside it")
			}
			if err := s.Batch(t.Context(), []vault.Pair{put}, nil); err != nil {
				t.Fatal(err)
			}
			release()
			if c := <-second; c.err != nil || (string(c.answer) == "rc") != answered || (c.release == nil) != answered {
				t.Errorf("the same request, answered %v: %q, runs %v, %v", answered, c.answer, c.release != nil, c.err)
			} else if !answered {
				c.release()
			}
			if len(o.running) != 0 {
				t.Error("the session_id is taken when nobody runs it")
			}
		})
	}
}

// Goal: another node that asks hears that a claimed session is being done, but not while its node asks others itself; then the answer.
// Method: a claim through its states.
func TestState(t *testing.T) {
	s := vaulttest.NewMemory()
	o, body := New(s, time.Now), [32]byte{1}
	state := func(want State) {
		t.Helper()
		got, err := o.State(t.Context(), "sign", "s")
		if err != nil || got.Asked != want.Asked || got.Acting != want.Acting || got.Body != want.Body ||
			string(got.Answer) != string(want.Answer) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	state(State{})
	_, release, err := o.Claim(t.Context(), "sign", "s", body)
	if err != nil {
		t.Fatal(err)
	}
	state(State{Asked: true, Acting: true, Body: body})
	o.Act("sign", "s", false)
	state(State{Asked: true, Body: body})
	o.Act("sign", "s", true)
	if err := s.Batch(t.Context(), []vault.Pair{o.Answered("sign", "s", body, []byte("rc"))}, nil); err != nil {
		t.Fatal(err)
	}
	release()
	state(State{Body: body, Answer: []byte("rc")})
}
