package plugin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/hsm"
)

// kills is how often the child is killed; MPCD_PLUGIN_KILLS=1000 for the long form.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("MPCD_PLUGIN_KILLS")); err == nil {
		return n
	}
	return 60
}

// Goal: a child that is killed under load costs no wrong signature, no failed request and no resource of the node.
// Method: four signers and two wrappers, SIGKILL again and again at moments that the load chooses, every answer verified by us;
// then count goroutines, files, children and directories.
//
// A child is killed once it has signed, not while it logs in: SoftHSM rewrites its file token.object in place at every login, and a
// process that dies in that instant leaves a token that is none (seen after some 400 kills). TestKilledAtOnce has the other moments.
func TestKilledUnderLoad(t *testing.T) {
	s := newSoft(t)
	sockets := t.TempDir()
	t.Setenv("TMPDIR", sockets)
	before := resources(t)
	tok, err := openErr(t.Context(), driverOf(s), s.uri, hsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := tok.(token)
	for id, kind := range map[string]hsm.KeyType{"p256": hsm.KeyP256, "ed25519": hsm.KeyEd25519, "kek": hsm.KeyAESWrap} {
		if err := p.GenerateKey(t.Context(), id, kind); err != nil {
			t.Fatal(err)
		}
	}
	var signed, wrapped, unavailable atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for g := range 4 {
		id := []string{"p256", "ed25519"}[g%2]
		pub, err := p.PublicKey(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				message := fmt.Appendf(nil, "%d %d", g, i)
				sig, err := p.Sign(ctx, id, message)
				switch {
				case err == nil:
					if ok, err := hsm.Verify(pub, message, sig); err != nil || !ok {
						t.Errorf("wrong signature: %v, %v", ok, err)
					}
					signed.Add(1)
				case ctx.Err() != nil:
				case errors.Is(err, hsm.ErrUnavailable):
					unavailable.Add(1) // killed again while it was repeated
				default:
					t.Errorf("sign: %v", err)
				}
			}
		})
	}
	for g := range 2 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				dek := fmt.Appendf(nil, "%16d %d", i, g)
				w, err := p.Wrap(ctx, "kek", dek, nil)
				if err == nil {
					var back []byte
					if back, err = p.Unwrap(ctx, "kek", w, nil); err == nil && !bytes.Equal(back, dek) {
						t.Error("another secret comes back")
					}
				}
				switch {
				case err == nil:
					wrapped.Add(1)
				case ctx.Err() != nil:
				case errors.Is(err, hsm.ErrUnavailable):
					unavailable.Add(1)
				default:
					t.Errorf("wrap: %v", err)
				}
			}
		})
	}
	began := time.Now()
	pids := map[int]bool{}
	for n := range kills() {
		pid := 0
		waitFor(t, "a new child", func() bool { pid = p.Stats().PID; return pid != 0 && !pids[pid] })
		was := signed.Load()
		waitFor(t, "signatures of the new child", func() bool { return signed.Load() > was+int64(n%5) })
		pids[pid] = true
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	elapsed := time.Since(began)
	stop()
	wg.Wait()
	st := p.Stats()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d children killed in %s: %d signatures, %d wrappings, %d refused, %+v", len(pids), elapsed.Round(time.Millisecond), signed.Load(),
		wrapped.Load(), unavailable.Load(), st)
	if len(pids) < kills() || int(st.Restarts) < len(pids)-1 {
		t.Errorf("%d children were killed, %d restarted: the test does not do its work", len(pids), st.Restarts)
	}
	if st.Wrong != 0 {
		t.Errorf("%d wrong signatures came from the child", st.Wrong)
	}
	waitFor(t, "an end of the goroutines", func() bool { return resources(t).goroutines <= before.goroutines })
	if after := resources(t); after.files > before.files || after.children > before.children {
		t.Errorf("left behind: %+v, before %+v", after, before)
	}
	if left, _ := filepath.Glob(filepath.Join(sockets, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Goal: a child that is killed while it starts, shakes hands or opens its token is replaced like any other. Method: SIGKILL as soon as
// there is a process, with one signer, against a driver that keeps nothing on disk.
func TestKilledAtOnce(t *testing.T) {
	tok := openTest(t, "signing")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			if sig, err := tok.Sign(ctx, "stable", []byte("m")); err == nil && len(sig) == 64 {
				n++
			} else if ctx.Err() == nil && !errors.Is(err, hsm.ErrUnavailable) {
				t.Error(err)
			}
		}
		done <- n
	}()
	killed := map[int]bool{}
	for len(killed) < kills()/2 {
		for _, pid := range childPIDs(t) {
			if killed[pid] {
				continue
			}
			killed[pid] = true
			for range len(killed) * 100 { // a little later every time
				runtime.Gosched()
			}
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	waitFor(t, "a signature", func() bool {
		sig, err := tok.Sign(t.Context(), "stable", []byte("m"))
		return err == nil && len(sig) == 64
	})
	stop()
	st := tok.Stats()
	t.Logf("%d killed, %d signatures, %+v", len(killed), <-done, st)
	if st.Wrong != 0 {
		t.Errorf("%d wrong signatures", st.Wrong)
	}
}

// counted are the things that a node can run out of.
type counted struct{ goroutines, files, children int }

func resources(t *testing.T) counted {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return counted{runtime.NumGoroutine(), len(files), children(t)}
}

// children counts processes whose parent we are, the dead ones that were not waited for among them.
func children(t *testing.T) int { return len(childPIDs(t)) }

func childPIDs(t *testing.T) []int { return childrenOf(t, os.Getpid()) }

func childrenOf(t *testing.T, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it is gone
		}
		rest := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(rest) > 1 && rest[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			out = append(out, pid)
		}
	}
	return out
}
