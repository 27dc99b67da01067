package benchmarks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// sessions are how many callers sign with a token at a time.
var sessions = []int{1, 4, 16}

// TokenFigures are what was measured of one provider.
type TokenFigures struct {
	Name   string
	Note   string  // what it is that was measured
	Levels []Level // one for each of 1, 4 and 16 callers
	Wrap   float64 // p50 in ms, one caller
	Unwrap float64
}

// Level is a closed loop of so many callers signing with one P-256 key.
type Level struct {
	Sessions int
	P50, P99 float64 // ms
	Rate     float64 // signatures per second, all callers together
}

// The keys that are measured.
const (
	signKey = "attest"
	wrapKey = "vault"
)

// Tokens measures every provider by itself, for so long at each level. It tells what it is at.
func Tokens(ctx context.Context, program string, each time.Duration, tell func(what string)) ([]TokenFigures, error) {
	var out []TokenFigures
	for _, p := range providers {
		tell(p.name)
		f, err := p.measure(ctx, program, each)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// measure starts the provider in a directory of its own and measures its token.
func (p provider) measure(ctx context.Context, program string, each time.Duration) (f TokenFigures, err error) {
	f = TokenFigures{Name: p.name, Note: p.note}
	err = withToken(ctx, p.start, program, func(t hsm.Token) error {
		for _, n := range sessions {
			l, err := signLoad(ctx, t, n, each)
			if err != nil {
				return err
			}
			f.Levels = append(f.Levels, l)
		}
		var err error
		f.Wrap, f.Unwrap, err = wrapTimes(ctx, t, each)
		return err
	})
	return f, err
}

// withToken gives f an open token that has the two keys, and removes it.
func withToken(ctx context.Context, start startFunc, program string, f func(hsm.Token) error) (err error) {
	dir, err := os.MkdirTemp("", "mpcd-b-") // short: the names of sockets are
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, stop, err := start(ctx, dir, program)
	if stop != nil {
		defer stop()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if err := makeKeys(ctx, t); err != nil {
		return err
	}
	return f(t)
}

// makeKeys makes the two keys where they are missing.
func makeKeys(ctx context.Context, t hsm.Token) error {
	g, ok := hsm.As[hsm.KeyGenerator](t)
	if !ok {
		return fmt.Errorf("benchmarks: %w: %s makes no keys", hsm.ErrUnsupported, t.Provider())
	}
	for id, kind := range map[string]hsm.KeyType{signKey: hsm.KeyP256, wrapKey: hsm.KeyAESWrap} {
		if err := g.GenerateKey(ctx, id, kind); err != nil && !errors.Is(err, hsm.ErrKeyExists) {
			return err
		}
	}
	return nil
}

// signLoad signs in a closed loop of n callers, each at least once after one that is not counted. Drivers verify every signature before
// they hand it out, so what is counted is right.
func signLoad(ctx context.Context, t hsm.Token, n int, duration time.Duration) (Level, error) {
	l := Level{Sessions: n}
	times, elapsed, err := closedLoop(ctx, n, duration, func(i int) error {
		_, err := t.Sign(ctx, signKey, fmt.Appendf(nil, "message %d", i))
		return err
	})
	l.P50, l.P99, l.Rate = quantile(times, 0.5), quantile(times, 0.99), float64(len(times))/elapsed.Seconds()
	return l, err
}

// wrapTimes are the medians of wrapping and unwrapping a key of 32 bytes, in turns, in ms.
func wrapTimes(ctx context.Context, t hsm.Token, duration time.Duration) (wrap, unwrap float64, err error) {
	w, ok := hsm.As[hsm.KeyWrapper](t)
	if !ok {
		return 0, 0, fmt.Errorf("benchmarks: %w: %s wraps no keys", hsm.ErrUnsupported, t.Provider())
	}
	var wraps, unwraps []time.Duration
	dek, aad := make([]byte, 32), []byte("aad")
	for began := time.Now(); len(wraps) == 0 || time.Since(began) < duration; {
		start := time.Now()
		sealed, err := w.Wrap(ctx, wrapKey, dek, aad)
		if err != nil {
			return 0, 0, err
		}
		wraps = append(wraps, time.Since(start))
		start = time.Now()
		if _, err := w.Unwrap(ctx, wrapKey, sealed, aad); err != nil {
			return 0, 0, err
		}
		unwraps = append(unwraps, time.Since(start))
	}
	slices.Sort(wraps)
	slices.Sort(unwraps)
	return quantile(wraps, 0.5), quantile(unwraps, 0.5), nil
}

// closedLoop has n callers call f until the duration is over, each at least once, and returns the times, sorted, and how long it took
// in all. The first call of each warms up.
func closedLoop(ctx context.Context, n int, duration time.Duration, f func(i int) error) ([]time.Duration, time.Duration, error) {
	var warm, wg sync.WaitGroup
	var mu sync.Mutex
	var all []time.Duration
	errs := make([]error, n)
	begin := make(chan struct{})
	warm.Add(n)
	for caller := range n {
		wg.Go(func() {
			errs[caller] = f(-caller - 1)
			warm.Done()
			<-begin
			var times []time.Duration
			for began := time.Now(); errs[caller] == nil && ctx.Err() == nil && (len(times) == 0 || time.Since(began) < duration); {
				start := time.Now()
				errs[caller] = f(len(times)*n + caller)
				times = append(times, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, times...)
		})
	}
	warm.Wait()
	began := time.Now()
	close(begin)
	wg.Wait()
	elapsed := time.Since(began)
	slices.Sort(all)
	return all, elapsed, errors.Join(append(errs, ctx.Err())...)
}

// overheadCalls are made in a row before it is the other's turn.
const overheadCalls = 50

// PluginOverhead is what the process border costs a signature: the median through a driver process less the median in this process, both
// on SoftHSM with a P-256 key and one caller, in turns, so that both see the same machine.
func PluginOverhead(ctx context.Context, program string, duration time.Duration) (out []Figure, err error) {
	var direct, plugged []time.Duration
	turn := func(t hsm.Token, into *[]time.Duration) error {
		for range overheadCalls {
			start := time.Now()
			if _, err := t.Sign(ctx, signKey, []byte("message")); err != nil {
				return err
			}
			*into = append(*into, time.Since(start))
		}
		return nil
	}
	err = withToken(ctx, startSoftHSMDirect, program, func(d hsm.Token) error {
		return withToken(ctx, startSoftHSM, program, func(p hsm.Token) error {
			for began := time.Now(); len(direct) == 0 || time.Since(began) < duration; {
				if err := errors.Join(turn(d, &direct), turn(p, &plugged)); err != nil {
					return err
				}
				if len(direct) == overheadCalls { // the first turn warms up
					direct, plugged = direct[:0:0], plugged[:0:0]
					if err := errors.Join(turn(d, &direct), turn(p, &plugged)); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(direct)
	slices.Sort(plugged)
	d, p := quantile(direct, 0.5), quantile(plugged, 0.5)
	note := fmt.Sprintf("SoftHSM P-256, one caller, %d signatures each, in turns", len(direct))
	return []Figure{
		{"hsm sign p50, SoftHSM in this process", d, "ms", note},
		{"hsm sign p50, SoftHSM in a driver process", p, "ms", note},
		{"hsm plugin overhead", p - d, "ms", "the difference"},
	}, nil
}

// PrintTokens writes a row for each provider.
func PrintTokens(out io.Writer, all []TokenFigures) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	header := []string{"TOKEN"}
	for _, n := range sessions {
		header = append(header, fmt.Sprintf("SIGN p50/p99 ms, %d", n), "/s")
	}
	fmt.Fprintln(w, strings.Join(append(header, "WRAP p50 ms", "UNWRAP p50 ms", "WHAT"), "\t"))
	for _, f := range all {
		row := []string{f.Name}
		for _, l := range f.Levels {
			row = append(row, number(l.P50)+" / "+number(l.P99), number(l.Rate))
		}
		fmt.Fprintln(w, strings.Join(append(row, number(f.Wrap), number(f.Unwrap), f.Note), "\t"))
	}
	return w.Flush()
}
