package benchmarks

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
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
		{name + "overloaded", over.signed, "1/s", fmt.Sprintf("%d callers, %.0f refused/s, coordinator after it: %v",
			OverloadCallers, over.refused, d.rss(0))},
		{name + "overloaded, of what fits", 100 * over.signed / fits.signed, "%", "goodput"},
	}, nil
}

type flooded struct{ signed, refused float64 } // a second

// flood asks for signatures without a pause.
func (d *devCluster) flood(ctx context.Context, key keyAnswer, callers int, duration time.Duration) (flooded, error) {
	ctx, stop := context.WithTimeout(ctx, duration)
	defer stop()
	host := strings.TrimPrefix(d.ready.API, "http://")
	var signed, refused atomic.Int64
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
				status, err := askPlainly(conn, answers, host, body)
				switch {
				case err != nil:
					errs <- err
					return
				case status == http.StatusOK:
					signed.Add(1)
				case status == http.StatusTooManyRequests:
					refused.Add(1)
				default:
					errs <- fmt.Errorf("benchmarks: a signature under overload: status %d", status)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	select {
	case err := <-errs:
		return flooded{}, err
	default:
		return flooded{float64(signed.Load()) / took, float64(refused.Load()) / took}, nil
	}
}

// askPlainly sends a request over a socket, with nothing between, and returns the status of its answer.
func askPlainly(conn net.Conn, answers *bufio.Reader, host, body string) (int, error) {
	const form = "POST /api/v1/sign HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
	if _, err := fmt.Fprintf(conn, form, host, len(body), body); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
