// Command mpcd-hsm-slow is a driver of a third party for benchmarks: a software token that does so many operations a second and no
// more, one after the other, as small hardware does.
//
// Built under the name mpcd-hsm-slow into the directory that hsm.plugin.dir names, it serves plugin:slow. SLOWTOKEN_DIR is the directory
// of the keys, SLOWTOKEN_RATE the operations per second, 20 if it is not set. It guards nothing, and opens in dev alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/local"
	"github.com/luxfi/mpcd/hsm/plugin"
)

// rateDefault is what the figure of the slow token is promised for, in operations per second.
const rateDefault = 20

func main() {
	err := plugin.Serve(plugin.Program{Name: "mpcd-hsm-slow", Release: "1", Drivers: hsm.Drivers{"plugin": open}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "mpcd-hsm-slow:", err)
		os.Exit(1)
	}
}

// open is an hsm.OpenFunc.
func open(ctx context.Context, _ *hsm.URI, o hsm.Options) (hsm.Token, error) {
	rate := rateDefault
	if v := os.Getenv("SLOWTOKEN_RATE"); v != "" {
		var err error
		if rate, err = strconv.Atoi(v); err != nil || rate < 1 || rate > 100_000 {
			return nil, fmt.Errorf("slow: %w: SLOWTOKEN_RATE is not a number from 1 to 100000", hsm.ErrURI)
		}
	}
	dir := os.Getenv("SLOWTOKEN_DIR")
	if dir == "" {
		return nil, fmt.Errorf("slow: %w: SLOWTOKEN_DIR is not set; name the directory of the keys in hsm.plugin.env", hsm.ErrNoToken)
	}
	u, err := hsm.ParseURI("local:" + dir)
	if err != nil {
		return nil, err
	}
	t, err := local.Open(ctx, u, o)
	if err != nil {
		return nil, err
	}
	able, ok := t.(software)
	if !ok {
		return nil, errors.Join(errors.New("slow: the software token lacks an ability"), t.Close())
	}
	return &token{able, newPace(rate)}, nil
}

// software is what the token behind can do.
type software interface {
	hsm.Token
	hsm.PublicKeyer
	hsm.KeyWrapper
	hsm.KeyGenerator
	hsm.KeyLister
	hsm.RandomSource
}

// token makes every operation that needs a secret key or the generator wait for its turn. What it tells of itself is free.
type token struct {
	software
	pace *pace
}

// Sign takes a turn.
func (t *token) Sign(ctx context.Context, keyID string, message []byte) ([]byte, error) {
	if err := t.pace.wait(ctx); err != nil {
		return nil, err
	}
	return t.software.Sign(ctx, keyID, message)
}

// Wrap takes a turn.
func (t *token) Wrap(ctx context.Context, keyID string, dek, aad []byte) ([]byte, error) {
	if err := t.pace.wait(ctx); err != nil {
		return nil, err
	}
	return t.software.Wrap(ctx, keyID, dek, aad)
}

// Unwrap takes a turn.
func (t *token) Unwrap(ctx context.Context, keyID string, wrapped, aad []byte) ([]byte, error) {
	if err := t.pace.wait(ctx); err != nil {
		return nil, err
	}
	return t.software.Unwrap(ctx, keyID, wrapped, aad)
}

// GenerateKey takes a turn.
func (t *token) GenerateKey(ctx context.Context, keyID string, kind hsm.KeyType) error {
	if err := t.pace.wait(ctx); err != nil {
		return err
	}
	return t.software.GenerateKey(ctx, keyID, kind)
}

// Random takes a turn.
func (t *token) Random(ctx context.Context, n int) ([]byte, error) {
	if err := t.pace.wait(ctx); err != nil {
		return nil, err
	}
	return t.software.Random(ctx, n)
}
