package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
)

// Goal: never more operations than the rate, whoever asks, and none for free after a rest. Method: a clock that the test turns.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(20)
		took := func(n int) time.Duration {
			began := time.Now()
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if err := p.wait(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			return time.Since(began)
		}
		for n, want := range map[int]time.Duration{1: 50 * time.Millisecond, 20: time.Second} {
			if got := took(n); got != want {
				t.Errorf("%d operations take %v, want %v", n, got, want)
			}
			time.Sleep(time.Minute)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := p.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller with 10 ms: %v", err)
		}
		if got := took(1); got != 90*time.Millisecond {
			t.Errorf("after one who left, an operation takes %v, want 90ms", got)
		}
	})
}

// Goal: a slow token keeps the contract of drivers, and each operation with a secret is slowed. Method: the suite at a high rate; then the
// time of each at a rate of two.
func TestToken(t *testing.T) {
	fresh := func(t *testing.T, rate string) hsm.Token {
		t.Setenv("SLOWTOKEN_DIR", t.TempDir())
		t.Setenv("SLOWTOKEN_RATE", rate)
		t.Setenv(hsmtest.MatrixEnv, "")
		u, err := hsm.ParseURI("plugin:slow")
		if err != nil {
			t.Fatal(err)
		}
		tok, err := open(t.Context(), u, hsm.Options{Dev: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tok.Close() })
		return tok
	}
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return fresh(t, "100000") })
	tok := fresh(t, "100000").(*token)
	for _, k := range []hsm.KeyInfo{{ID: "sign", Type: hsm.KeyP256}, {ID: "wrap", Type: hsm.KeyAESWrap}} {
		if err := tok.GenerateKey(t.Context(), k.ID, k.Type); err != nil {
			t.Fatal(err)
		}
	}
	sealed, err := tok.Wrap(t.Context(), "wrap", make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Sign":        func() error { _, err := tok.Sign(t.Context(), "sign", nil); return err },
		"Wrap":        func() error { _, err := tok.Wrap(t.Context(), "wrap", make([]byte, 32), nil); return err },
		"Unwrap":      func() error { _, err := tok.Unwrap(t.Context(), "wrap", sealed, nil); return err },
		"GenerateKey": func() error { return tok.GenerateKey(t.Context(), "new", hsm.KeyP256) },
		"Random":      func() error { _, err := tok.Random(t.Context(), 32); return err },
	} {
		before := tok.pace.free
		if err := do(); err != nil {
			t.Error(err)
		}
		if !tok.pace.free.After(before) {
			t.Errorf("%s took no turn", name)
		}
	}
}

// Goal: what is not configured is refused. Method: no directory, rates that are none, no dev.
func TestOpenRefuses(t *testing.T) {
	u, err := hsm.ParseURI("plugin:slow")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, rate string
		dev       bool
		want      error
	}{
		{"", "", true, hsm.ErrNoToken}, {t.TempDir(), "0", true, hsm.ErrURI}, {t.TempDir(), "fast", true, hsm.ErrURI},
		{t.TempDir(), "", false, hsm.ErrDevOnly},
	} {
		t.Setenv("SLOWTOKEN_DIR", c.dir)
		t.Setenv("SLOWTOKEN_RATE", c.rate)
		if _, err := open(t.Context(), u, hsm.Options{Dev: c.dev}); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
