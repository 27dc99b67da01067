package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// children are the processes that a process has started and that are not yet waited for, with their state as ps(1) has it.
func children(t *testing.T, pid int) map[int]string {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that ended
		}
		for _, word := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				t.Fatal(err)
			}
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
			if _, rest, ok := strings.Cut(string(stat), ") "); ok && err == nil {
				out[child] = rest[:1]
			}
		}
	}
	return out
}

// driverOf is the process of the node's library.
func driverOf(t *testing.T, p *sim.Process) int {
	t.Helper()
	for pid, state := range children(t, p.PID()) {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && state != "Z" &&
			bytes.Contains(b, []byte(host.DriverCommand)) {
			return pid
		}
	}
	return 0
}

// mapped are the files that a process has mapped.
func mapped(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// memoryOf looks for secrets in all that a process has in memory, and tells how many bytes that is. The process is stopped meanwhile,
// so that it holds still.
func memoryOf(t *testing.T, pid int, what string, s *sim.Scanner) (finds []sim.Find, size int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(mapped(t, pid)) {
		span, rest, _ := strings.Cut(line, " ")
		from, to, _ := strings.Cut(span, "-")
		begin, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || begin >= 1<<63 || !strings.HasPrefix(rest, "r") || strings.Contains(rest, "[vvar") {
			continue
		}
		b := make([]byte, end-begin)
		n, err := mem.ReadAt(b, int64(begin))
		if err != nil && n == 0 {
			continue // memory_secret areas, and what is reserved only
		}
		size += n
		finds = append(finds, s.Scan(fmt.Sprintf("memory of %s (%s)", what, strings.TrimSpace(line)), b[:n])...)
	}
	return finds, size
}

// vaultSecrets opens a stopped node, as somebody who took its token and its disk could.
func vaultSecrets(t *testing.T, p *sim.Process) (shares, vaultKey []sim.Secret) {
	t.Helper()
	ctx := context.Background()
	c := configOf(t, p)
	tok, err := host.OpenTokens(ctx, c, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tok.Close()
	disk, err := tok.OpenDisk(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	ids, err := disk.Vault.IDs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		b, meta, err := disk.Vault.Load(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		share, err := sim.ParseShare(threshold.KindID(meta.KeyKind), b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, sim.Secret{Name: "share of " + id, Bytes: bytes.Clone(share.Secret())})
		share.Destroy()
		b.Wipe()
	}
	return shares, []sim.Secret{{Name: "vault key", Bytes: canaryOf(t, disk.Store, tok.Wrap)}}
}

func configOf(t *testing.T, p *sim.Process) host.Config {
	t.Helper()
	vs := host.Defaults()
	if err := vs.File(p.Config); err != nil {
		t.Fatal(err)
	}
	c, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// canaryOf opens the vault's key: the body of the canary of a vault that was never moved, as vault/envelope.go seals it.
func canaryOf(t *testing.T, s vault.Store, token hsm.Token) []byte {
	t.Helper()
	get := func(part string) []byte {
		b, err := s.Get(t.Context(), append([]byte("vault/"+part+"/canary/canary"), make([]byte, 9)...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	header := get("h")
	aad := canon.Hash("mpcd/v1/vault/header", header)
	dek, err := token.(hsm.KeyWrapper).Unwrap(t.Context(), sim.VaultKey, get("d"), aad[:])
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(dek)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	key, err := gcm.Open(nil, nil, get("b"), header)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// load asks nodes for signatures, from several sides at once, until it is ended; it checks each.
type load struct {
	t             *testing.T
	c             *sim.Processes
	through       *sim.Process
	wallets       []*client.Wallet
	signed, wrong atomic.Int64
	failed        atomic.Int64
	last          atomic.Value // the error of the last that failed
	end           context.CancelFunc
	work          sync.WaitGroup
}

func startLoad(t *testing.T, c *sim.Processes, through *sim.Process, wallets []*client.Wallet) *load {
	ctx, end := context.WithCancel(context.Background())
	l := &load{t: t, c: c, through: through, wallets: wallets, end: end}
	for worker := range 4 {
		l.work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				w := wallets[i%len(wallets)]
				message := fmt.Appendf(nil, "load %d %d", worker, i)
				s, err := through.Client().Sign(context.Background(), &client.SignRequest{WalletID: w.WalletID, Message: message})
				switch {
				case err != nil:
					l.failed.Add(1)
					l.last.Store(err.Error())
				case !ed25519.Verify(ed25519.PublicKey(w.PublicKey), message, s.Signature):
					l.wrong.Add(1)
				default:
					l.signed.Add(1)
				}
			}
		})
	}
	return l
}

// more waits until so many further signatures are there.
func (l *load) more(n int64) {
	l.t.Helper()
	from, until := l.signed.Load(), time.Now().Add(patience)
	for l.signed.Load() < from+n {
		if time.Now().After(until) {
			l.t.Fatalf("no %d signatures in %v; the last failed with: %v\n%s", n, patience, l.last.Load(), l.through.Tail(30))
		}
		time.Sleep(time.Millisecond)
	}
}

func (l *load) stop() { l.end(); l.work.Wait() }

// kills is how often TestDriverKilled kills; a time ends it before that unless MPCD_KILLS asks for the number.
func kills(t *testing.T) (count int, until time.Time) {
	text := os.Getenv("MPCD_KILLS")
	if text == "" {
		return 1000, time.Now().Add(10 * time.Second)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n, time.Now().Add(24 * time.Hour)
}

// Goal: Must show 6 and 4, of a running node. The core never maps the vendor's library; the process that does never holds a share or
// the vault's key in memory, and can be killed again and again while signatures are asked for: none is wrong, the node goes on in
// one process, and leaves no zombie. Method: a 2-of-3 cluster with one node down, so that each signature needs both others; root
// reads the memory of both processes under load, and finds shares and key in the core's, so that the search can find them; then
// SIGKILL at random moments, each after a signature through the process that replaced the last.
func TestDriverProcess(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	c.Start()
	b := &book{t: t, c: c}
	b.keygen(3)
	node := c.Nodes[0]
	node.Stop()
	shares, key := vaultSecrets(t, node)
	if len(shares) != len(b.wallets) || len(key[0].Bytes) != 32 {
		t.Fatalf("%d shares", len(shares))
	}
	node.Start()
	c.WaitReady()
	c.Nodes[2].Kill()
	scanner := sim.NewScanner(append(shares, key...)...)
	core := node.PID()
	l := startLoad(t, c, node, b.wallets)
	defer l.stop()
	l.more(20)

	for range 2 {
		child := driverOf(t, node)
		l.more(5)
		const library = "libsofthsm2.so"
		if m := mapped(t, child); !strings.Contains(m, library) {
			t.Errorf("the driver process does not map %s: nothing is shown\n%s", library, m)
		}
		if m := mapped(t, core); strings.Contains(m, library) || strings.Contains(m, "pkcs11") {
			t.Errorf("the core maps the vendor's library\n%s", m)
		}
		finds, size := memoryOf(t, child, "the driver process", scanner)
		for _, f := range finds {
			t.Error("leak:", f)
		}
		t.Logf("driver process: %d MiB read, %d finds", size>>20, len(finds))
	}
	finds, size := memoryOf(t, core, "the core", scanner)
	found := map[string]bool{}
	for _, f := range finds {
		found[f.Secret] = true
	}
	t.Logf("core: %d MiB read, %d finds of %d secrets", size>>20, len(finds), len(found))
	if len(found) < len(shares) {
		t.Errorf("control: of the core's own secrets only %v are found: the search does not search", found)
	}

	count, until := kills(t)
	began, done, before := time.Now(), 0, l.signed.Load()
	last := 0
	for ; done < count && time.Now().Before(until); done++ {
		var child int
		sim.Wait(t, "the next driver process", func() bool { child = driverOf(t, node); return child != 0 && child != last })
		if done%2 == 0 {
			l.more(1) // through this process; else in the midst of its start
		}
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		last = child
	}
	took := time.Since(began)
	l.more(20)
	if n := l.wrong.Load(); n != 0 {
		t.Errorf("%d wrong signatures", n)
	}
	if !node.Running() || node.PID() != core {
		t.Errorf("the node ended:\n%s", node.Tail(20))
	}
	l.stop()
	sim.Wait(t, "one driver process and no zombie", func() bool {
		all := children(t, core)
		for _, state := range all {
			if state == "Z" {
				return false
			}
		}
		return len(all) == 2 // the other prints crashes
	})
	t.Logf("%d kills in %v: %d signatures, %d requests failed, %d wrong", done, took.Round(time.Millisecond), l.signed.Load()-before,
		l.failed.Load(), l.wrong.Load())
	if done < 5 {
		t.Errorf("only %d kills", done)
	}
}
