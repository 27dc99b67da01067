package hsmtest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/hsmtest"
	"github.com/luxfi/mpcd/hsm/local"
)

func open(t *testing.T) *hsmtest.Faulty {
	t.Helper()
	tok, err := hsm.Drivers{"local": local.Open}.Open(t.Context(), "local:"+t.TempDir(), hsm.Options{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	f := hsmtest.NewFaulty(tok)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Goal: without cues nothing changes. Method: the suite, through it.
func TestTransparent(t *testing.T) {
	hsmtest.Run(t, func(t *testing.T) hsm.Token { return open(t) })
}

// Goal: exactly the calls fail that were told to. Method: the second, then all, then none.
func TestFail(t *testing.T) {
	f, fault := open(t), errors.New("fault")
	call := func() error { _, err := f.Random(t.Context(), 1); return err }
	f.Fail(hsmtest.OpRandom, 2, fault)
	for i, want := range []error{nil, fault, nil} {
		if err := call(); !errors.Is(err, want) {
			t.Errorf("call %d: %v, want %v", i+1, err, want)
		}
	}
	f.FailAlways(hsmtest.OpRandom, fault)
	for range 3 {
		if err := call(); !errors.Is(err, fault) {
			t.Errorf("got %v", err)
		}
	}
	f.Heal()
	if err := call(); err != nil {
		t.Error(err)
	}
	if n := f.Calls(hsmtest.OpRandom); n != 7 {
		t.Errorf("%d calls, want 7", n)
	}
	if _, err := f.Info(t.Context()); err != nil {
		t.Errorf("another operation fails: %v", err)
	}
}

// Goal: a blocked call ends with its context, a paused one goes on. Method: wait for the call to begin, then end the wait.
func TestBlockAndPause(t *testing.T) {
	f := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	call := func() { _, err := f.Random(ctx, 1); done <- err }
	release := f.Pause(hsmtest.OpRandom, 1)
	go call()
	if err := f.Await(t.Context(), hsmtest.OpRandom, 1); err != nil {
		t.Fatal(err)
	}
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	f.Block(hsmtest.OpRandom, 1)
	go call()
	if err := f.Await(t.Context(), hsmtest.OpRandom, 2); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := f.Await(ctx, hsmtest.OpSign, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// bare is a token with no ability but signing.
type bare struct{ hsm.Token }

// Goal: an ability that the inner token lacks is ErrUnsupported. Method: hide them.
func TestLacking(t *testing.T) {
	f := hsmtest.NewFaulty(bare{open(t).Token})
	if _, err := f.Wrap(t.Context(), "k", []byte{1}, nil); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
	if err := f.GenerateKey(t.Context(), "k", hsm.KeyP256); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
