package faults

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/sim"
)

func TestMain(m *testing.M) { os.Exit(sim.Main(m)) }

// bench is a cluster of three processes, of which the third meets the faults.
type bench struct {
	*testing.T
	c       *sim.Processes
	victim  *sim.Process
	disk    *sim.Disk
	clock   *sim.Clock // of the victim, once it was off
	wallets []*client.Wallet
	n       int

	// What was seen since the fault: all that the node and its commands said, and the codes.
	said  bytes.Buffer
	codes []string
	copy  *sim.Process
	from  int // where the node's log began to count
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, c: sim.NewProcesses(t, 3, 2), disk: sim.NewDisk(t)}
	b.victim = b.c.Nodes[2]
	b.victim.Disk = b.disk
	b.c.Start()
	for _, kind := range [][2]string{{"ed25519", "frost"}, {"secp256k1", "frost"}, {"secp256k1", "dkls23"}} {
		w, err := b.c.Nodes[0].Client().Keygen(t.Context(), &client.KeygenRequest{Curve: kind[0], Protocol: kind[1], Threshold: 2, Total: 3})
		if err != nil {
			t.Fatal(err)
		}
		b.wallets = append(b.wallets, w)
	}
	return b
}

// sign asks the victim, once, for a signature by itself and node1, of every kind of key in turn.
func (b *bench) sign() error {
	b.n++
	digest := sha256.Sum256(fmt.Append(nil, b.n))
	_, err := b.victim.Client().Sign(b.Context(), &client.SignRequest{WalletID: b.wallets[b.n%3].WalletID, MessageHash: digest[:],
		SessionID: fmt.Sprintf("fault-%d", b.n)})
	if err == nil {
		return nil
	}
	fmt.Fprintln(&b.said, err)
	var e *client.Error
	if errors.As(err, &e) {
		b.code("%d %s", e.Status, e.Code)
	}
	return err
}

func (b *bench) code(format string, a ...any) {
	if s := fmt.Sprintf(format, a...); !slices.Contains(b.codes, s) {
		b.codes = append(b.codes, s)
	}
}

// ready asks the victim for its readiness.
func (b *bench) ready() bool { ok, _ := b.readyz(b.victim); return ok }

// readyz is whether a node says that it is ready, and what it says.
func (b *bench) readyz(p *sim.Process) (ok bool, said string) {
	resp, err := b.c.HTTP.Get("https://" + p.API + "/readyz")
	if err != nil {
		return false, ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		b.said.Write(body)
	}
	return resp.StatusCode == http.StatusOK, string(body)
}

// ends asks for signatures until the victim has ended by itself.
func (b *bench) ends() {
	sim.Wait(b.T, "it ends", func() bool {
		if b.victim.Running() {
			_ = b.sign()
		}
		return !b.victim.Running()
	})
	b.codes = nil // of what was asked while it ended
	b.exit(b.victim.Exit())
}

func (b *bench) exit(code int) { b.code("exit %d", code) }

// starts starts the victim, and waits until it is ready or has ended.
func (b *bench) starts() {
	b.victim.Start()
	sim.Wait(b.T, "it is ready or ends", func() bool { return !b.victim.Running() || b.ready() })
	if !b.victim.Running() {
		b.exit(b.victim.Exit())
	}
}

// begin forgets what was seen before the fault.
func (b *bench) begin() {
	b.said.Reset()
	b.codes, b.from = nil, len(b.victim.Log.String())
}

// saw is all that was said since the fault.
func (b *bench) saw() string { return b.victim.Log.String()[b.from:] + b.said.String() }

// well is after a fault is healed: the victim runs and signs with every key.
func (b *bench) well() {
	b.Helper()
	for range 3 {
		sim.Wait(b.T, "it signs", func() bool {
			if !b.victim.Running() {
				b.victim.Start()
			}
			return b.sign() == nil
		})
	}
	b.c.WaitReady()
}

// failing has the disk fail at the calls that an expression names, by what they do and the path, below the node's directory if it is there.
func (b *bench) failing(errno syscall.Errno, calls string) { b.failingFrom(errno, calls, 0) }

// failingFrom has the disk fail from the n-th such call on, counted from 0. It counts them.
func (b *bench) failingFrom(errno syscall.Errno, calls string, n int64) *atomic.Int64 {
	seen, match := new(atomic.Int64), regexp.MustCompile(calls)
	b.disk.Fail(func(c sim.DiskCall) syscall.Errno {
		if !match.MatchString(c.Name+" "+strings.TrimPrefix(c.Path, b.victim.Dir)) || seen.Add(1) <= n {
			return 0
		}
		return errno
	})
	return seen
}

// faults are made and healed here; what is seen between, docs/FAULTS.md says.
var faults = map[string]struct{ make, heal func(*bench) }{
	"a write of the store fails": {
		func(b *bench) { b.failing(syscall.EIO, "^(pwrite|fsync|fdatasync) /data/store/"); b.ends() },
		func(b *bench) { b.disk.Fail(nil) }},
	"a write of the store fails while its vault is moved": {
		func(b *bench) { b.victim.Stop(); b.failing(syscall.EIO, "/data/store/db/.*sst"); b.rewrap() },
		func(b *bench) { b.disk.Fail(nil); b.rewrap(); b.victim.Set("hsm.vault_key", "vault-2") }},
	"a write of the audit log fails": {
		func(b *bench) { b.failing(syscall.EIO, "/data/audit.log"); b.refuses("storage"); b.notReady() },
		func(b *bench) { b.disk.Fail(nil) }},
	"less than 64 MiB are free": {
		func(b *bench) { b.disk.Free(60 << 20); b.refuses("storage"); b.notReady() },
		func(b *bench) { b.disk.Free(-1) }},
	"less than 64 MiB are free at the start": {
		func(b *bench) { b.victim.Stop(); b.disk.Free(60 << 20); b.starts() },
		func(b *bench) { b.disk.Free(-1) }},
	"less than 64 MiB are free at the stop": {
		func(b *bench) { b.disk.Free(4 << 20); b.victim.Stop(); b.exit(b.victim.Exit()) },
		func(b *bench) { b.disk.Free(-1) }},
	"fewer than 32 files can still be made, whatever space there is": {
		func(b *bench) {
			b.disk.Inodes(31)
			b.refuses("storage")
			b.notReady()
			b.victim.Stop()
			b.starts()
		},
		func(b *bench) { b.disk.Inodes(-1) }},
	"the disk is mounted read-only": {
		func(b *bench) {
			b.victim.Stop()
			b.failing(syscall.EROFS, "^(create|mkdir|rename|unlink) /data")
			b.starts()
		},
		func(b *bench) { b.disk.Fail(nil) }},
	"the disk fails at the start": {
		func(b *bench) { b.victim.Stop(); b.failing(syscall.EIO, " /data"); b.starts() },
		func(b *bench) { b.disk.Fail(nil) }},
	"the data directory is replaced by a copy while the node runs": {
		func(b *bench) {
			b.move("data", "aside")
			if err := os.CopyFS(filepath.Join(b.victim.Dir, "data"), os.DirFS(filepath.Join(b.victim.Dir, "aside"))); err != nil {
				b.Fatal(err)
			}
			b.refuses("storage")
			b.notReady()
			b.victim.Stop()
			b.exit(b.victim.Exit())
		},
		func(b *bench) { b.move("data", "copy"); b.move("aside", "data") }},
	"a file of the data directory is away while the node runs": {
		func(b *bench) {
			for _, name := range []string{"store.key", "FORMAT", "store/MPCD-STORE", "store/db/KEYREGISTRY", "store/db/MANIFEST", "store/ACKED"} {
				b.move("data/"+name, "away")
				b.refuses("storage")
				b.notReady()
				b.move("away", "data/"+name)
				sim.Wait(b.T, "it goes on with "+name, b.ready)
			}
			b.move("data/audit.acked", "away")
			b.refuses("storage")
			b.notReady()
		},
		func(b *bench) { b.move("away", "data/audit.acked") }},
	"the data directory is not there": {
		func(b *bench) { b.victim.Stop(); b.move("data", "away"); b.starts() },
		func(b *bench) { b.move("away", "data") }},
	"a second process is started on one data directory": {
		func(b *bench) {
			r := b.victim.Run("start", "--listen", "127.0.0.1:0")
			b.said.WriteString(r.Err)
			b.exit(r.Code)
		},
		func(b *bench) {}},
	"the PIN is wrong": {
		func(b *bench) { b.victim.Stop(); b.move("hsm/pin", "hsm/good"); b.write("hsm/pin", "1111"); b.starts() },
		func(b *bench) { b.move("hsm/good", "hsm/pin") }},
	"the token is away": {
		func(b *bench) { b.move("hsm/tokens", "hsm/away"); b.killDriver(); b.refuses("hsm"); b.notReady() },
		func(b *bench) { b.move("hsm/away", "hsm/tokens") }},
	"the token is away at the start": {
		func(b *bench) { b.victim.Stop(); b.move("hsm/tokens", "hsm/away"); b.starts() },
		func(b *bench) { b.move("hsm/away", "hsm/tokens") }},
	"the token's disk is full at the start": {
		func(b *bench) { b.victim.Stop(); b.fullToken(); b.starts() }, (*bench).emptied},
	"the token's disk is full when its driver process is killed": {
		func(b *bench) {
			b.fullToken()
			b.killDriver()
			b.refuses("storage")
			b.notReady()
			sim.Wait(b.T, "it was tried again", func() bool { return strings.Count(b.saw(), "driver process: restart") > 2 })
		},
		(*bench).emptied},
	"the place of temporary files is full at the start": {
		func(b *bench) { b.victim.Stop(); b.failing(syscall.ENOSPC, " "+os.TempDir()+"/.mpcd-"); b.starts() },
		func(b *bench) { b.disk.Fail(nil) }},
	"roster.json cannot be written when a newer roster comes from a peer": {
		func(b *bench) {
			b.failing(syscall.ENOSPC, "^(create|write|fsync|rename) /roster.json")
			b.newerRoster()
			sim.Wait(b.T, "it is told", func() bool { return b.sign() == nil && strings.Contains(b.saw(), "no space left on device") })
		},
		func(b *bench) {
			b.disk.Fail(nil)
			sim.Wait(b.T, "it takes the roster up", func() bool { return strings.Contains(b.saw(), "a newer roster is in use") })
		}},
	"the driver process is killed": {
		func(b *bench) { b.killDriver(); sim.Wait(b.T, "it signs", func() bool { return b.sign() == nil }) },
		func(b *bench) {}},
	"too few nodes are up": {
		func(b *bench) { b.c.Nodes[0].Kill(); b.c.Nodes[1].Kill(); b.refuses("quorum"); b.notReady() },
		func(b *bench) { b.c.Nodes[0].Start(); b.c.Nodes[1].Start() }},
	"a copy of the node runs beside it": {
		func(b *bench) { b.clone() },
		func(b *bench) { b.copy.Kill(); b.victim.Stop() }},
	"a byte is flipped in roster.json": flipped("roster.json"),
	"a byte is flipped in mpcd.yaml":   flipped("mpcd.yaml"),
	"a byte is flipped in a certificate": {
		func(b *bench) {
			for _, at := range certificatePlaces {
				flipAt(b, "tls/node.crt", at)
				b.starts()
				flipAt(b, "tls/node.crt", at)
			}
		}, func(*bench) {}},
	"the certificate is of another cluster's CA": {
		func(b *bench) { b.victim.Stop(); b.strange(); b.starts() },
		func(b *bench) { b.move("tls/good.crt", "tls/node.crt"); b.move("tls/good.key", "tls/node.key") }},
	"another cluster's certificate is put over that of a node that runs": {
		func(b *bench) {
			b.strange()
			sim.Wait(b.T, "it is told", func() bool {
				saw := b.saw()
				return b.sign() == nil && b.ready() && strings.Contains(saw, "its peers refuse it") &&
					strings.Contains(saw, "its clients refuse it")
			})
		},
		func(b *bench) { b.move("tls/good.crt", "tls/node.crt"); b.move("tls/good.key", "tls/node.key") }},
	"a byte is flipped in the certificate's key":       flipped("tls/node.key"),
	"a byte is flipped in the key of the API's tokens": flipped("api-tokens.pub"),
	"a byte is flipped in authority.json":              flippedOver("authority.json"),
	"a byte is flipped in the file of the CA": {
		func(b *bench) { flipAt(b, "tls/ca.crt", first); b.starts() }, func(b *bench) { flipAt(b, "tls/ca.crt", first) }},
	"a byte is flipped in the file of the PIN": flipped("hsm/pin"),
	"a byte is flipped in softhsm2.conf":       flipped("hsm/softhsm2.conf"),
	"a byte is flipped in FORMAT":              flipped("data/FORMAT"),
	"a byte is flipped in the audit log": {
		func(b *bench) {
			flip(b, "data/audit.log")
			r := b.victim.Run("audit verify")
			b.said.WriteString(r.Err)
			b.exit(r.Code)
		},
		func(b *bench) { flip(b, "data/audit.log") }},
	"a byte is flipped in audit.checkpoint": {
		func(b *bench) {
			b.over("data/audit.checkpoint", func() {
				r := b.victim.Run("audit verify")
				b.said.WriteString(r.Out + r.Err)
				if r.Code != 0 {
					b.exit(r.Code)
				}
			})
		},
		func(*bench) {}},
	"a byte is flipped in a table of the store":                  flipped("data/store/db/*.sst"),
	"a byte is flipped in the store's list of tables":            flipped("data/store/db/MANIFEST"),
	"a byte is flipped in the store's key registry":              flipped("data/store/db/KEYREGISTRY"),
	"a byte is flipped in the machine's secret":                  flippedOver("data/store.key"),
	"a byte is flipped in the token":                             flippedOver("hsm/tokens/*/token.object"),
	"a byte is flipped in a key of the token, private or public": flippedOver("hsm/tokens/*/????????-*.object"),
	"the clock is off by 30 s or more": {
		func(b *bench) {
			b.restarts(-90 * time.Second)
			sim.Wait(b.T, "it is told", func() bool { return b.sign() == nil && strings.Contains(b.saw(), "clocks differ") })
		},
		(*bench).setClock},
	"the clock is ahead by more than two minutes": {
		func(b *bench) { b.off(210*time.Second, "ahead") }, (*bench).setClock},
	"the clock is behind by more than two minutes": {
		func(b *bench) { b.off(-210*time.Second, "behind") }, (*bench).setClock},
	"the clock is behind that of who issued a token": {
		func(b *bench) { b.tooNew() }, (*bench).setClock},
	"the clock is ahead by more than a certificate lives": {
		func(b *bench) { b.restarts(0); b.clock.Off(400 * 24 * time.Hour); b.says("it is valid from") }, (*bench).setClock},
	"the clock was set back before a restart": {
		func(b *bench) {
			b.restarts(time.Minute)
			b.restarts(0)
			sim.Wait(b.T, "it signs", func() bool { return b.sign() == nil })
		},
		(*bench).setClock},
	"the node's certificate has expired": {
		func(b *bench) { b.victim.Stop(); b.expire(); b.victim.Start(); b.says("has expired") },
		func(b *bench) { b.move("tls/good.crt", "tls/node.crt"); b.move("tls/good.key", "tls/node.key") }},
}

// fullToken leaves 2 MiB on the disk, and fails each write to the token: without a check before, SoftHSM has cut its file by then.
func (b *bench) fullToken() {
	b.failing(syscall.ENOSPC, "^(write|fsync) /hsm/tokens/")
	b.disk.Free(2 << 20)
}

// emptied ends both.
func (b *bench) emptied() {
	b.disk.Fail(nil)
	b.disk.Free(-1)
}

// newerRoster signs a roster with another endpoint of node1, and brings it to node1 alone.
func (b *bench) newerRoster() {
	path := filepath.Join(b.c.Nodes[0].Dir, "roster.json")
	before, err := attest.LoadRoster(path)
	if err != nil {
		b.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(b.pem(filepath.Join(b.c.Dir, "cluster", "root.key")))
	if err != nil {
		b.Fatal(err)
	}
	r := before.Roster
	r.Nodes = slices.Clone(r.Nodes)
	r.Serial++
	r.Nodes[0].Endpoint = fmt.Sprintf("https://127.0.0.1:%d", 20000+r.Serial)
	now, err := r.Sign(key.(ed25519.PrivateKey))
	if err == nil {
		err = os.WriteFile(path, now.JSON(), 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// pem is the first block of a file.
func (b *bench) pem(name string) []byte {
	raw, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	return block.Bytes
}

// rewrap moves the victim's vault to another key of its token.
func (b *bench) rewrap() { b.rewrapTo("vault-2") }

// rewrapTo moves it to a key, and tells whether that was done.
func (b *bench) rewrapTo(key string) bool {
	done := make(chan sim.Result, 1)
	go func() { done <- b.victim.Run("hsm rewrap", "--to-key", key) }()
	select {
	case r := <-done:
		b.said.WriteString(r.Err)
		b.exit(r.Code)
		return r.Code == 0
	case <-time.After(time.Minute):
		b.Fatal("mpcd hsm rewrap does not end")
		return false
	}
}

// refuses asks for signatures until one is refused with a code.
func (b *bench) refuses(code string) {
	sim.Wait(b.T, "it refuses with "+code, func() bool {
		var e *client.Error
		return errors.As(b.sign(), &e) && e.Code == code
	})
}

// says asks for the readiness until a piece was said.
func (b *bench) says(piece string) {
	sim.Wait(b.T, "it says "+piece, func() bool { return !b.ready() && strings.Contains(b.saw(), piece) })
}

func (b *bench) notReady() { sim.Wait(b.T, "it is not ready", func() bool { return !b.ready() }) }

func (b *bench) move(from, to string) {
	if err := os.Rename(filepath.Join(b.victim.Dir, from), filepath.Join(b.victim.Dir, to)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) write(name, what string) {
	if err := os.WriteFile(filepath.Join(b.victim.Dir, name), []byte(what), 0o600); err != nil {
		b.Fatal(err)
	}
}

// clone runs a copy of the victim's directory until the peers name it, and both runs know.
func (b *bench) clone() {
	b.copy = b.victim.Clone()
	b.copy.Start()
	sim.Wait(b.T, "the peers name it", func() bool {
		nodes, err := b.c.Nodes[0].Client().Nodes(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintln(&b.said, nodes[2].Trouble)
		return strings.Contains(nodes[2].Trouble, "twice")
	})
	_ = b.sign()
	for _, run := range []*sim.Process{b.victim, b.copy} { // over routes neither hears the other
		sim.Wait(b.T, "it knows that it runs twice", func() bool {
			ok, said := b.readyz(run)
			return !ok && strings.Contains(said, "this node runs twice")
		})
	}
}

// restarts starts the victim again, with its clock off by d from then on.
func (b *bench) restarts(d time.Duration) {
	if b.clock == nil {
		b.clock = sim.NewClock(b.c.TB)
		b.clock.Off(-time.Hour)
		b.c.Token = b.clock.Token(b.c) // of before, whatever the clock will be
	}
	b.victim.Stop()
	b.victim.Clock = b.clock
	b.clock.Off(d)
	b.starts()
}

// setClock sets the victim's clock right; when it is started again, it has the machine's.
func (b *bench) setClock() {
	b.clock.Off(0)
	b.victim.Clock = nil
}

// off has the victim's clock jump while it runs, until it refuses and its peers say how far it is off.
func (b *bench) off(d time.Duration, how string) {
	b.restarts(0)
	b.clock.Off(d)
	b.refuses("quorum")
	b.says("this node's clock differs from most")
	seen := regexp.MustCompile("its clock is 3m[0-9]+s " + how)
	sim.Wait(b.T, "the peers name it", func() bool {
		nodes, err := b.c.Nodes[0].Client().Nodes(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintln(&b.said, nodes[2].Trouble)
		return seen.MatchString(nodes[2].Trouble)
	})
}

// tooNew asks the victim for a signature with a token that a right clock has just issued, its own being behind.
func (b *bench) tooNew() {
	b.restarts(0)
	old := b.c.Token
	b.c.Token = b.clock.Token(b.c)
	b.clock.Off(-time.Minute)
	_ = b.sign()
	b.c.Token = old
}

// killDriver kills the process that holds the token's library.
func (b *bench) killDriver() {
	pids := regexp.MustCompile(`"driver process: started".* pid=(\d+)`).FindAllStringSubmatch(b.victim.Log.String(), -1)
	var pid int
	if _, err := fmt.Sscan(pids[len(pids)-1][1], &pid); err != nil {
		b.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
}

// flipped starts the victim with a byte flipped in a file, and puts the byte back.
func flipped(pattern string) struct{ make, heal func(*bench) } {
	return struct{ make, heal func(*bench) }{func(b *bench) { flip(b, pattern); b.starts() }, func(b *bench) { flip(b, pattern) }}
}

// places is at how many places over a small file a byte is flipped, one after the other; two of them are the same distance apart.
const places = 12

// flippedOver starts the victim with a byte flipped at places over each file that pattern names, one after the other. Of the public keys of
// SoftHSM (623 bytes) they meet the point.
func flippedOver(pattern string) struct{ make, heal func(*bench) } {
	return struct{ make, heal func(*bench) }{func(b *bench) { b.over(pattern, b.starts) }, func(*bench) {}}
}

// over does something with a byte flipped at each of the places of each file, and puts the file back as it was: SoftHSM may write it
// meanwhile.
func (b *bench) over(pattern string, do func()) {
	b.victim.Stop()
	names, err := filepath.Glob(filepath.Join(b.victim.Dir, pattern))
	if err != nil || len(names) == 0 {
		b.Fatal(pattern, err)
	}
	for i := range places * len(names) {
		name, at := names[i/places], 2*(i%places)+1
		was, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		raw := bytes.Clone(was)
		raw[len(raw)*at/(2*places)] ^= 1
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			b.Fatal(err)
		}
		do()
		b.victim.Stop()
		if err := os.WriteFile(name, was, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// flip stops the victim and flips a byte, at a tenth, of the files that pattern names; once more, and they are as they were.
func flip(b *bench, pattern string) { flipAt(b, pattern, place) }

// first is where a byte of the CA's file is flipped: elsewhere it may be one that nobody asks for, as the serial number of a root.
func first([]byte) int { return 0 }

func flipAt(b *bench, pattern string, place func(raw []byte) int) {
	b.victim.Stop()
	names, err := filepath.Glob(filepath.Join(b.victim.Dir, pattern))
	if err != nil || len(names) == 0 {
		b.Fatal(pattern, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		raw[place(raw)] ^= 1
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// place is where a byte of a file is flipped: at a tenth, or in the name of the setting that a configuration needs most.
func place(raw []byte) int {
	if i := bytes.Index(raw, []byte("uster: ")); i > 0 {
		return i - 1
	}
	if i := bytes.Index(raw, []byte("irectories.tokendir = ")); i > 0 { // SoftHSM's, below a comment
		return i - 1
	}
	return len(raw) / 10
}

// certificatePlaces are in the head of a certificate's file, in its names, its key and its signature.
var certificatePlaces = []func([]byte) int{first, place, part(3), part(5), part(7), part(9)}

// part is the place after so many tenths.
func part(tenths int) func([]byte) int { return func(raw []byte) int { return len(raw) * tenths / 10 } }

// strange puts a certificate in the place of the victim's that another cluster's CA has issued, with the same names.
func (b *bench) strange() {
	ca, err := natsnet.NewCA(sim.ClusterName)
	if err != nil {
		b.Fatal(err)
	}
	cert, key, err := ca.Issue(transport.NodeID(b.victim.ID), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.move("tls/node.crt", "tls/good.crt")
	b.move("tls/node.key", "tls/good.key")
	b.write("tls/node.crt", string(cert))
	b.write("tls/node.key", string(key))
}

// expire puts a certificate in the place of the victim's that ended yesterday.
func (b *bench) expire() {
	operator := filepath.Join(b.c.Dir, "cluster")
	ca, err := x509.ParseCertificate(b.pem(filepath.Join(operator, "ca.crt")))
	if err != nil {
		b.Fatal(err)
	}
	caKey, err := x509.ParsePKCS8PrivateKey(b.pem(filepath.Join(operator, "ca.key")))
	if err != nil {
		b.Fatal(err)
	}
	b.move("tls/node.crt", "tls/good.crt")
	b.move("tls/node.key", "tls/good.key")
	was, err := x509.ParseCertificate(b.pem(filepath.Join(b.victim.Dir, "tls/good.crt")))
	if err != nil {
		b.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	was.NotBefore, was.NotAfter = time.Now().AddDate(0, 0, -2), time.Now().AddDate(0, 0, -1)
	der, err := x509.CreateCertificate(rand.Reader, was, ca, public, caKey)
	if err != nil {
		b.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	b.write("tls/node.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	b.write("tls/node.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
}

// row is one of the table.
type row struct {
	fault       string
	says, codes []string
	tests       []string // that run it; the one below where it is empty
}

// table reads docs/FAULTS.md: fault, what is said, code or status, what heals, and by which tests the row is run.
func table(t *testing.T) (rows []row) {
	b, err := os.ReadFile("../../docs/FAULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile("`([^`]+)`")
	list := func(cell string) (out []string) {
		for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
			out = append(out, m[1])
		}
		return out
	}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || cells[0] == "fault" {
			continue
		}
		if len(cells) != 5 {
			t.Fatalf("a row of %d cells: %s", len(cells), line)
		}
		rows = append(rows, row{cells[0], list(cells[1]), list(cells[2]), list(cells[4])})
	}
	return rows
}

var debugging = regexp.MustCompile(".* level=DEBUG .*\n")

// Goal: an operator who meets a fault finds in docs/FAULTS.md what the node says, and what heals it, and it is so. Method: each row is made
// on a process of a cluster of three, by a disk that fails as told, a token that is moved away, a copy that runs beside it; every quoted
// piece must be in what the node and its API said, and the codes must be those; then it is healed, and every key signs at the node.
func TestFaults(t *testing.T) {
	rows := table(t)
	b := newBench(t)
	for _, r := range rows {
		if !slices.Contains(r.tests, "TestFaults") {
			continue
		}
		f, ok := faults[r.fault]
		if !ok {
			t.Errorf("nothing makes %q", r.fault)
			continue
		}
		t.Run(r.fault, func(t *testing.T) {
			b.T = t
			b.begin()
			defer func() {
				if t.Failed() {
					t.Log(debugging.ReplaceAllString(b.saw(), ""))
				}
				f.heal(b)
				b.well()
			}()
			f.make(b)
			for _, piece := range r.says {
				if !strings.Contains(b.saw(), piece) {
					t.Errorf("it does not say %q", piece)
				}
			}
			for _, code := range b.codes {
				if !slices.Contains(r.codes, code) {
					t.Errorf("%s is not in the table", code)
				}
			}
			for _, code := range r.codes {
				if !slices.Contains(b.codes, code) {
					t.Errorf("%s was not seen, but %q", code, b.codes)
				}
			}
		})
	}
	for _, r := range rows {
		for _, name := range r.tests {
			if out, err := exec.Command("grep", "-rqE", "--include=*_test.go", "^func "+name+`\(`, "../..").CombinedOutput(); err != nil {
				t.Errorf("%s: no test %s %s", r.fault, name, out)
			}
		}
	}
	for name := range faults {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.fault == name }) {
			t.Errorf("%q is in no row", name)
		}
	}
}

// every has TestEveryWrite and its like fail each write, and not some of them.
var every = flag.Bool("faults.every", false, "fail each write of the work, and not a few of them")

// each has do meet a disk that fails at one of n writes after the other, full and broken in turn, from when it calls from on; some of them
// without -faults.every. Then the disk is well, and so must be the victim.
func (b *bench) each(what string, n int64, do func(t *testing.T, from func())) {
	if n < 20 {
		b.Fatalf("%s makes %d writes: the test looks in the wrong place", what, n)
	}
	step := int64(1)
	if !*every {
		step = n/5 + 1
	}
	all := b.T
	for k := int64(0); k < n; k += step {
		errno := []syscall.Errno{syscall.ENOSPC, syscall.EIO}[k/step%2]
		all.Run(fmt.Sprintf("%d of %d, %v", k, n, errno), func(t *testing.T) {
			b.T = t
			do(t, func() {
				b.begin()
				b.failingFrom(errno, " /data", k)
			})
			b.disk.Fail(nil)
			b.well()
		})
	}
}

// Goal: whichever write is the first that fails, nothing is lost and the node is well again once the disk is. Method: the victim signs and
// refreshes a key while its disk fails from the k-th write on, full or broken: it ends with the code of storage, or refuses and goes on;
// then the disk is well, and so is the node, with every key.
func TestEveryWrite(t *testing.T) {
	b := newBench(t)
	work := func() {
		for range 2 {
			_ = b.sign()
		}
		if b.victim.Running() {
			_, _ = b.victim.Client().Refresh(t.Context(), &client.RefreshRequest{WalletID: b.wallets[2].WalletID})
		}
	}
	seen := b.failingFrom(0, " /data", 0)
	work()
	b.each("the work", seen.Load(), func(t *testing.T, from func()) {
		from()
		work()
		if !b.victim.Running() {
			b.exit(b.victim.Exit())
		}
		for _, code := range b.codes {
			if !slices.Contains([]string{"exit 8", "503 storage", "503 not_ready", "503 quorum"}, code) {
				t.Errorf("%s: %s", code, debugging.ReplaceAllString(b.saw(), ""))
			}
		}
	})
}

// Goal: whichever write is the first that fails while a node starts that was killed, nothing is lost and it starts again once the disk is
// well. Method: the disk fails from the k-th write of the start on, full or broken: the node ends with the code of storage, or serves
// without it; then the disk is well, and so is the node, with every key.
func TestEveryWriteOfAStart(t *testing.T) {
	b := newBench(t)
	b.victim.Kill()
	seen := b.failingFrom(0, " /data", 0)
	b.starts()
	b.each("a start", seen.Load(), func(t *testing.T, from func()) {
		b.victim.Kill()
		from()
		b.victim.Start()
		sim.Wait(b.T, "it serves or ends", func() bool {
			up, _ := b.victim.Get(t.Context(), "/startupz")
			return up != nil || !b.victim.Running()
		})
		if !b.victim.Running() {
			b.exit(b.victim.Exit())
		}
		said := b.saw()
		failed := strings.Contains(said, "no space left on device") || strings.Contains(said, "input/output error")
		for _, code := range b.codes {
			if code != "exit 8" || !failed {
				t.Errorf("%s: %s", code, debugging.ReplaceAllString(said, ""))
			}
		}
	})
}

// Goal: whichever write beside the data directory is the first that fails while a node starts, it serves, or says what failed, and starts
// again once the disk is well; where SoftHSM had cut its token, which it writes without a copy, once the token's backup is back. Method:
// the disk fails from the k-th such write on, full or broken.
func TestEveryWriteBeside(t *testing.T) {
	b := newBench(t)
	const beside = "/(hsm|\\.mpcd-[0-9a-f]+)(/|$)"
	tokens, backup := filepath.Join(b.victim.Dir, "hsm/tokens"), filepath.Join(t.TempDir(), "tokens")
	b.victim.Stop()
	if err := os.CopyFS(backup, os.DirFS(tokens)); err != nil {
		t.Fatal(err)
	}
	seen := b.failingFrom(0, beside, 0)
	b.starts()
	n, lost, all := seen.Load(), 0, ""
	if n < 8 {
		t.Fatalf("a start makes %d writes beside: the test looks in the wrong place", n)
	}
	for k := range 2 * n {
		b.victim.Stop()
		b.begin()
		b.failingFrom([]syscall.Errno{syscall.ENOSPC, syscall.EIO}[k%2], beside, k/2)
		b.starts()
		said := b.saw()
		all += said
		for _, code := range b.codes {
			if code != "exit 8" && (code != "exit 5" || !strings.Contains(said, "token unavailable")) {
				t.Errorf("write %d: %s: %s", k/2, code, debugging.ReplaceAllString(said, ""))
			}
		}
		b.disk.Fail(nil)
		if b.victim.Stop(); !b.healthy() {
			all += b.saw()
			if lost++; !strings.Contains(b.saw(), "restore the token") {
				t.Errorf("write %d: after: %s", k/2, debugging.ReplaceAllString(b.saw(), ""))
			}
			if err := errors.Join(os.RemoveAll(tokens), os.CopyFS(tokens, os.DirFS(backup))); err != nil {
				t.Fatal(err)
			}
		}
		b.well()
	}
	if lost > 2 {
		t.Errorf("the token was lost %d times, by more than the write of token.object", lost)
	}
	for _, piece := range []string{"token not found", "CKR_GENERAL_ERROR"} {
		if !strings.Contains(all, piece) {
			t.Errorf("it never says %q", piece)
		}
	}
}

// healthy starts the victim, and tells whether it runs.
func (b *bench) healthy() bool {
	b.starts()
	return b.victim.Running()
}

// Goal: whichever write is the first that fails while a vault is moved to another key, the command says that the disk failed, and repeated
// it goes on. Method: the vault is moved to and fro, on a disk that fails from the k-th write on; then the disk is well, the command is
// repeated, and the node signs.
func TestEveryWriteOfAMove(t *testing.T) {
	b := newBench(t)
	b.victim.Stop()
	keys := [2]string{"vault", "vault-2"}
	seen := b.failingFrom(0, " /data", 0)
	if !b.rewrapTo(keys[1]) {
		t.Fatal(b.saw())
	}
	b.victim.Set("hsm.vault_key", keys[1])
	repeated := false
	b.each("a move", seen.Load(), func(t *testing.T, from func()) {
		keys[0], keys[1] = keys[1], keys[0]
		b.victim.Stop()
		from()
		done := b.rewrapTo(keys[1])
		repeated = repeated || !done && strings.Contains(b.saw(), "repeat the command")
		if !done && !slices.Equal(b.codes, []string{"exit 8"}) {
			t.Errorf("%v: %s", b.codes, b.saw())
		}
		b.disk.Fail(nil)
		if !done && !b.rewrapTo(keys[1]) {
			t.Fatalf("it is not repeated: %s", b.saw())
		}
		b.victim.Set("hsm.vault_key", keys[1])
	})
	if !repeated {
		t.Error("it never says to repeat the command")
	}
}
