package benchmarks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// OverloadCallers is more than a node has places for.
const OverloadCallers = 2000

// Overload measures what a coordinator still signs when callers that do not heed Retry-After offer more than it has places for: Ed25519,
// beside the same load of as many clients as fit. Callers are plain sockets, to leave the nodes the machine; they take their part of it
// all the same, so the loss that this shows is an upper bound.
func Overload(ctx context.Context, o NodeOptions, t, n int) ([]Figure, error) {
	d, err := startDev(ctx, o.Program, t, n)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	var key keyAnswer
	if err := d.post(ctx, "/api/v1/keygen", map[string]any{"threshold": t, "total": n, "curve": "ed25519"}, &key); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("node ed25519 %d-of-%d ", t, n)
	fits, err := d.flood(ctx, key, o.Clients, o.Duration)
	if err != nil {
		return nil, err
	}
	over, err := d.flood(ctx, key, OverloadCallers, o.Duration)
	if err != nil {
		return nil, err
	}
	return []Figure{
		{name + "as many as fit", fits.signed, "1/s", fmt.Sprintf("%d callers, %.0f refused/s", o.Clients, fits.refused)},
		{name + "as many as fit, p99", fits.p99, "ms", "of what was signed"},
		{name + "overloaded", over.signed, "1/s", fmt.Sprintf("%d callers for %s, %.0f refused/s with 429 and Retry-After, and no other answer",
			OverloadCallers, o.Duration, over.refused)},
		{name + "overloaded, of what fits", 100 * over.signed / fits.signed, "%", "goodput"},
		{name + "overloaded, p99", over.p99, "ms", "of what was signed"},
		{name + "overloaded, p99 of that of what fits", over.p99 / fits.p99, "times", "of what was signed"},
		{name + "overloaded, coordinator's RSS", over.last, "MiB",
			fmt.Sprintf("the most in the last quarter; in the second it was %.0f MiB", over.early)},
	}, nil
}

// flooded is what became of a flood: signatures and refusals a second, the time of what was signed, and how large the coordinator was at
// most in the second and in the last quarter of the time, in MiB.
type flooded struct{ signed, refused, p99, early, last float64 }

// flood asks for signatures without a pause.
func (d *devCluster) flood(ctx context.Context, key keyAnswer, callers int, duration time.Duration) (flooded, error) {
	ctx, stop := context.WithTimeout(ctx, duration)
	defer stop()
	host := strings.TrimPrefix(d.ready.API, "http://")
	var refused atomic.Int64
	var mu sync.Mutex
	var times []time.Duration // of what was signed
	errs := make(chan error, callers)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range callers {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
		if err != nil {
			return flooded{}, err
		}
		wg.Go(func() {
			defer conn.Close()
			answers := bufio.NewReader(conn)
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf(`{"wallet_id":%q,"message":"0x%08x%08x%08x"}`, key.WalletID, began.UnixNano(), i, n)
				asked := time.Now()
				status, later, err := askPlainly(conn, answers, host, body)
				switch {
				case err != nil:
					errs <- err
					return
				case status == http.StatusOK:
					mu.Lock()
					times = append(times, time.Since(asked))
					mu.Unlock()
				case status == http.StatusTooManyRequests && later != "":
					refused.Add(1)
				default:
					errs <- fmt.Errorf("benchmarks: a signature under overload: status %d, Retry-After %q", status, later)
					return
				}
			}
		})
	}
	var out flooded
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for ctx.Err() == nil {
		select {
		case <-second.C:
		case <-ctx.Done():
		}
		switch size, part := d.rss(0).all, time.Since(began)*4/duration; part {
		case 1:
			out.early = max(out.early, size)
		case 3:
			out.last = max(out.last, size)
		}
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	select {
	case err := <-errs:
		return flooded{}, err
	default:
		out.signed, out.refused = float64(len(times))/took, float64(refused.Load())/took
		slices.Sort(times)
		out.p99 = quantile(times, 0.99)
		return out, nil
	}
}

// askPlainly sends a request over a socket, with nothing between, and returns the status of its answer and its Retry-After.
func askPlainly(conn net.Conn, answers *bufio.Reader, host, body string) (status int, later string, err error) {
	const form = "POST /api/v1/sign HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
	if _, err := fmt.Fprintf(conn, form, host, len(body), body); err != nil {
		return 0, "", err
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("Retry-After"), err
}
