package benchmarks

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/internal/dev"
	"github.com/luxfi/mpcd/threshold"
)

// NodeOptions say how node figures are measured.
type NodeOptions struct {
	Program  string        // path of mpcd
	Duration time.Duration // of each load
	Clients  int           // of the sustained load
}

// SchemeName is a scheme's name in figures.
func SchemeName(s threshold.Scheme) string { return strings.ToLower(s.Kind().Name) }

// devCluster is a running `mpcd dev`.
type devCluster struct {
	cmd   *exec.Cmd
	ready dev.Ready
	http  *http.Client
}

func startDev(ctx context.Context, program string, t, n int, more ...string) (*devCluster, error) {
	args := append([]string{"dev", "--nodes", strconv.Itoa(n), "--threshold", strconv.Itoa(t), "--listen", "127.0.0.1:0", "-o",
		"json"}, more...)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w (build it with `make build`)", program, err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		_ = cmd.Wait()
		return nil, fmt.Errorf("mpcd dev ended before it was ready: %w\n%s", err, log.Bytes())
	}
	d := &devCluster{cmd: cmd, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}}
	if err := json.Unmarshal(line, &d.ready); err != nil {
		d.stop()
		return nil, fmt.Errorf("mpcd dev: %w: %s", err, line)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return d, nil
}

func (d *devCluster) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait()
}

func (d *devCluster) post(ctx context.Context, path string, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if b, err = d.call(ctx, http.MethodPost, path, b); err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

func (d *devCluster) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.ready.API+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if d.ready.Token != "" {
		req.Header.Set("Authorization", "Bearer "+d.ready.Token)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, b)
	}
	return b, err
}

// cpu is the CPU time of the nodes so far, each.
func (d *devCluster) cpu() ([]time.Duration, error) {
	out := make([]time.Duration, len(d.ready.Nodes))
	for i, n := range d.ready.Nodes {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.PID))
		if err != nil {
			return nil, err
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		ticks := 0
		for _, k := range []int{11, 12} { // utime, stime: proc(5) fields 14 and 15
			v, err := strconv.Atoi(f[k])
			if err != nil {
				return nil, err
			}
			ticks += v
		}
		out[i] = time.Duration(ticks) * time.Second / 100
	}
	return out, nil
}

// resident is memory in MiB, and how much of it is pages of files, the program's but for little. How much of a program is resident is the
// kernel's affair too: one maps 64 KiB around a byte that is read, another 2 MiB.
type resident struct{ all, files float64 }

func (r resident) String() string {
	return fmt.Sprintf("RSS %.0f MiB, %.0f of it the program", r.all, r.files)
}

// rss is the resident memory of node i (proc(5), statm).
func (d *devCluster) rss(i int) (r resident) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.ready.Nodes[i].PID))
	if err != nil {
		return r
	}
	f := strings.Fields(string(b))
	mib := func(pages string) float64 {
		n, _ := strconv.Atoi(pages)
		return float64(n*os.Getpagesize()) / (1 << 20)
	}
	return resident{mib(f[1]), mib(f[2])}
}

type keyAnswer struct {
	WalletID  string `json:"wallet_id"`
	PublicKey string `json:"public_key"`
}

type signAnswer struct {
	Signature string `json:"signature"`
}

// nodeScheme is what Node asks of a scheme.
type nodeScheme struct {
	name, curve, protocol string
	message               func(i int64, salt int64) []byte
	ask                   func(wallet string, message []byte) any // the request
	verify                func(pub, message, sig []byte) bool
	pooled                bool // nodes keep presignatures for it
}

var nodeSchemes = []nodeScheme{
	{"ed25519", "ed25519", "frost", func(i, salt int64) []byte { return fmt.Appendf(nil, "transaction %d of the load at %d", i, salt) },
		raw("message"), func(pub, message, sig []byte) bool { return ed25519.Verify(pub, message, sig) }, false},
	{"ecdsa", "secp256k1", "dkls23", func(i, salt int64) []byte { h := sha256.Sum256(fmt.Appendf(nil, "%d of %d", i, salt)); return h[:] },
		raw("message_hash"), verifyECDSA, true},
}

// raw asks for a signature of a message in a field, and leaves it to dev to sign the request as its initiator.
func raw(field string) func(wallet string, message []byte) any {
	return func(wallet string, message []byte) any {
		return map[string]any{"wallet_id": wallet, field: "0x" + hex.EncodeToString(message)}
	}
}

func verifyECDSA(pub, message, sig []byte) bool {
	k, err := secp256k1.ParsePubKey(pub)
	if err != nil || len(sig) != 64 {
		return false
	}
	var r, s secp256k1.ModNScalar
	r.SetByteSlice(sig[:32])
	s.SetByteSlice(sig[32:])
	return ecdsa.NewSignature(&r, &s).Verify(message, k)
}

// Node measures a cluster of real processes.
func Node(ctx context.Context, o NodeOptions, t, n int) ([]Figure, error) {
	began := time.Now()
	d, err := startDev(ctx, o.Program, t, n)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	out := []Figure{{fmt.Sprintf("dev ready %d-of-%d", t, n), time.Since(began).Seconds(), "s",
		"tokens, keys, proofs, a node killed and restarted"}}
	var idle resident
	for i := range d.ready.Nodes {
		if r := d.rss(i); r.all > idle.all {
			idle = r
		}
	}
	out = append(out, Figure{fmt.Sprintf("node %d-of-%d idle RSS", t, n), idle.all, "MiB",
		fmt.Sprintf("the largest, driver process not counted: %v", idle)})
	for _, s := range nodeSchemes {
		f, err := d.measure(ctx, o, s, t, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		out = append(out, f...)
	}
	return out, nil
}

// measure takes the figures of one scheme.
func (d *devCluster) measure(ctx context.Context, o NodeOptions, s nodeScheme, t, n int) ([]Figure, error) {
	name := fmt.Sprintf("node %s %d-of-%d ", s.name, t, n)
	keygen := map[string]any{"threshold": t, "total": n, "curve": s.curve, "protocol": s.protocol}
	var key keyAnswer
	began := time.Now()
	if err := d.post(ctx, "/api/v1/keygen", keygen, &key); err != nil {
		return nil, err
	}
	out := []Figure{{name + "first keygen", float64(time.Since(began).Microseconds()) / 1000, "ms",
		"with the pair setup, where the scheme has one"}}
	times, err := repeat(20, func() error { return d.post(ctx, "/api/v1/keygen", keygen, &key) })
	if err != nil {
		return nil, err
	}
	out = append(out, Figure{name + "keygen p50", quantile(times, 0.5), "ms", "20 runs, every quorum proven"})
	times, err = repeat(20, func() error {
		return d.post(ctx, "/api/v1/refresh", map[string]any{"wallet_id": key.WalletID}, &struct{}{})
	})
	if err != nil {
		return nil, err
	}
	out = append(out, Figure{name + "refresh p50", quantile(times, 0.5), "ms", "20 runs"})

	low, err := d.load(ctx, s, key, 1, o.Duration)
	if err != nil {
		return nil, err
	}
	out = append(out, Figure{name + "sign p50", quantile(low.times, 0.5), "ms", low.note()},
		Figure{name + "sign p99", quantile(low.times, 0.99), "ms", low.note()})
	if s.pooled {
		burst, err := d.bursts(ctx, s, key, 5)
		if err != nil {
			return nil, err
		}
		out = append(out, Figure{name + "burst from a warm pool", burst.rate, "1/s", burst.note()})
	}
	full, err := d.load(ctx, s, key, o.Clients, o.Duration)
	if err != nil {
		return nil, err
	}
	out = append(out,
		Figure{name + "sustained", full.rate, "1/s", full.note()},
		Figure{name + "loaded p50", quantile(full.times, 0.5), "ms", full.note()},
		Figure{name + "loaded p99", quantile(full.times, 0.99), "ms", full.note()})
	out = append(out, Figure{name + "coordinator's RSS", d.rss(0).all, "MiB",
		fmt.Sprintf("right after that load, driver process not counted: %v", d.rss(0))})
	for i, c := range full.cpu {
		out = append(out, Figure{fmt.Sprintf("%sCPU of %s per signature", name, d.ready.Nodes[i].ID), c, "CPU-ms",
			fmt.Sprintf("after it %v", d.rss(i))})
	}
	return out, nil
}

func repeat(n int, f func() error) ([]time.Duration, error) {
	var times []time.Duration
	for range n {
		began := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times, nil
}

// quantile of sorted times, in milliseconds.
func quantile(times []time.Duration, q float64) float64 {
	if len(times) == 0 {
		return 0
	}
	return float64(times[min(int(q*float64(len(times))), len(times)-1)].Microseconds()) / 1000
}

type loaded struct {
	times   []time.Duration // sorted
	rate    float64
	cpu     []float64 // of each node, milliseconds per signature
	own     float64   // CPU of the load generator, milliseconds per signature
	clients int
	pooled  float64 // signatures that used a presignature of the coordinator's pool
}

func (l loaded) note() string {
	pool := "without a pool"
	if l.pooled > 0 {
		pool = fmt.Sprintf("%.0f %% with a presignature of the pool", 100*l.pooled/float64(len(l.times)))
	}
	return fmt.Sprintf("%d clients, closed loop, %s, %d signatures, load generator %.2f CPU-ms each", l.clients, pool, len(l.times), l.own)
}

// The coordinator's own figures of its pool.
const (
	poolReady = "mpcd_presignatures_ready"
	poolUsed  = `mpcd_presignatures_total{outcome="used"}`
	poolSize  = 64 // the default of limits.presignatures
)

// metric reads one of the coordinator's metrics.
func (d *devCluster) metric(ctx context.Context, name string) (float64, error) {
	b, err := d.call(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("benchmarks: %s has no metric %s", d.ready.API, name)
}

// bursts asks for as many signatures as a warm pool has presignatures, all at once, and returns the median of n such bursts; before each
// the pool is full again, and nothing else is asked.
func (d *devCluster) bursts(ctx context.Context, s nodeScheme, key keyAnswer, n int) (loaded, error) {
	var all []loaded
	for len(all) < n {
		deadline := time.Now().Add(30 * time.Second)
		for {
			ready, err := d.metric(ctx, poolReady)
			if err != nil {
				return loaded{}, err
			}
			if ready >= poolSize {
				break
			}
			if time.Now().After(deadline) {
				return loaded{}, fmt.Errorf("benchmarks: %g presignatures after 30 s, want %d", ready, poolSize)
			}
			if _, err := d.load(ctx, s, key, 1, time.Millisecond); err != nil { // a key in use is what a pool is filled for
				return loaded{}, err
			}
			time.Sleep(300 * time.Millisecond) // it is filled while nobody asks
		}
		l, err := d.load(ctx, s, key, poolSize, 0)
		if err != nil {
			return loaded{}, err
		}
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b loaded) int { return cmp.Compare(a.rate, b.rate) })
	return all[n/2], nil
}

// request is one of a load: a message, and the body that asks for its signature.
type request struct {
	message []byte
	body    json.RawMessage
}

func (s nodeScheme) request(wallet string, i, salt int64) request {
	m := s.message(i, salt)
	b, err := json.Marshal(s.ask(wallet, m))
	if err != nil {
		b, _ = json.Marshal(err.Error()) // which the node refuses, and shows
	}
	return request{m, b}
}

// most is above every rate, a second: so many requests are made before the time is taken, for clients have machines of their own.
const most = 1500

// requests makes so many, and returns what gives one after the other, and makes more where there are none left.
func (s nodeScheme) requests(wallet string, n int) func() request {
	salt, made := time.Now().UnixNano(), make([]request, n)
	var wg sync.WaitGroup
	for part := range runtime.NumCPU() {
		wg.Go(func() {
			for i := part; i < n; i += runtime.NumCPU() {
				made[i] = s.request(wallet, int64(i), salt)
			}
		})
	}
	wg.Wait()
	var given atomic.Int64
	return func() request {
		i := given.Add(1) - 1
		if i < int64(n) {
			return made[i]
		}
		return s.request(wallet, i, salt)
	}
}

// load signs in a closed loop, every client at least once; every signature is verified after the loop.
func (d *devCluster) load(ctx context.Context, s nodeScheme, key keyAnswer, clients int, duration time.Duration) (loaded, error) {
	pub, err := hex.DecodeString(strings.TrimPrefix(key.PublicKey, "0x"))
	if err != nil {
		return loaded{}, err
	}
	next := s.requests(key.WalletID, int(duration.Seconds()*most)+clients)
	before, err := d.cpu()
	if err != nil {
		return loaded{}, err
	}
	used := 0.0
	if s.pooled {
		if used, err = d.metric(ctx, poolUsed); err != nil {
			return loaded{}, err
		}
	}
	own := cpuTime()
	type answer struct {
		message []byte
		sig     string
		took    time.Duration
	}
	results := make([][]answer, clients)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			for once := true; (once || time.Since(began) < duration) && ctx.Err() == nil; once = false {
				r := next()
				start := time.Now()
				var a signAnswer
				if errs[i] = d.post(ctx, "/api/v1/sign", r.body, &a); errs[i] != nil {
					return
				}
				results[i] = append(results[i], answer{r.message, a.Signature, time.Since(start)})
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	l := loaded{clients: clients}
	after, err := d.cpu()
	if err != nil {
		return l, err
	}
	ownUsed := cpuTime() - own
	if s.pooled {
		if l.pooled, err = d.metric(ctx, poolUsed); err != nil {
			return l, err
		}
		l.pooled -= used
	}
	for i, rs := range results {
		if errs[i] != nil {
			return l, errs[i]
		}
		for _, r := range rs {
			sig, err := hex.DecodeString(strings.TrimPrefix(r.sig, "0x"))
			if err != nil || !s.verify(pub, r.message, sig) {
				return l, fmt.Errorf("a signature under load does not verify: %s", r.sig)
			}
			l.times = append(l.times, r.took)
		}
	}
	slices.Sort(l.times)
	count := float64(len(l.times))
	l.rate, l.own = count/elapsed.Seconds(), float64(ownUsed.Microseconds())/1000/count
	for i := range after {
		l.cpu = append(l.cpu, float64((after[i]-before[i]).Microseconds())/1000/count)
	}
	return l, nil
}
