package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// Timing is how long an operation of a token took, in milliseconds.
type Timing struct {
	Operation string  `json:"operation"`
	Key       string  `json:"key,omitempty"`
	Count     int     `json:"count"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	PerSecond float64 `json:"per_second"` // one after the other
}

// Timings measures what a node asks of its tokens, each operation count times, or as often as two seconds allow.
func (t *Tokens) Timings(ctx context.Context, count int) ([]Timing, error) {
	w, err := t.wrapper()
	if err != nil {
		return nil, err
	}
	type operation struct {
		name, key string
		do        func() error
	}
	var all []operation
	for _, key := range []string{t.config.HSM.CosignKey, t.config.HSM.AttestKey} {
		all = append(all, operation{"sign", key, func() error { _, err := t.Sign(ctx, key, make([]byte, 32)); return err }})
	}
	kek := t.config.HSM.KEK
	var wrapped []byte
	all = append(all,
		operation{"wrap", kek, func() (err error) { wrapped, err = w.Wrap(ctx, kek, make([]byte, 32), nil); return err }},
		operation{"unwrap", kek, func() error { _, err := w.Unwrap(ctx, kek, wrapped, nil); return err }})
	if r, ok := hsm.As[hsm.RandomSource](t.Token); ok {
		all = append(all, operation{"random", "", func() error { _, err := r.Random(ctx, 32); return err }})
	}
	var out []Timing
	for _, x := range all {
		timing, err := timeOf(x.name, x.key, count, x.do)
		if err != nil {
			return nil, err
		}
		out = append(out, timing)
	}
	return out, nil
}

// timeOf runs do count times, or as often as two seconds allow.
func timeOf(operation, key string, count int, do func() error) (Timing, error) {
	var took []time.Duration
	began := time.Now()
	for len(took) < count && (len(took) == 0 || time.Since(began) < 2*time.Second) {
		t := time.Now()
		if err := do(); err != nil {
			return Timing{}, fmt.Errorf("%s with key %q: %w", operation, key, err)
		}
		took = append(took, time.Since(t))
	}
	all := time.Since(began)
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Timing{operation, key, len(took), ms(took[len(took)/2]), ms(took[(len(took)-1)*99/100]), float64(len(took)) / all.Seconds()}, nil
}
