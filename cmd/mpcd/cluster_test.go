package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/internal/dev"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/threshold"
)

var (
	killSeed  = flag.Uint64("kill.seed", 1, "which moments TestKillAnyMoment kills at")
	killTimes = flag.Int("kill.times", 4, "how often TestKillAnyMoment kills")
)

// testCluster is a dev cluster of real processes, for tests in Go.
type testCluster struct {
	dev.Ready
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	log  bytes.Buffer
	pids map[string]int
}

// startCluster starts `mpcd dev`; TestMain has put mpcd into the PATH.
func startCluster(t *testing.T, args ...string) *testCluster {
	t.Helper()
	c := &testCluster{t: t, dir: filepath.Join(t.TempDir(), "data"), pids: map[string]int{}}
	c.cmd = exec.Command("mpcd", append([]string{"dev", "-o", "json", "--listen", "127.0.0.1:0", "--data", c.dir}, args...)...)
	c.cmd.Stderr = &c.log
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	line, err := bufio.NewReaderSize(out, 1<<20).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &c.Ready)
	}
	if err != nil {
		t.Fatalf("dev did not get ready: %v\n%s", err, &c.log)
	}
	for _, n := range c.Nodes {
		c.pids[n.ID] = n.PID
	}
	return c
}

// stop ends the cluster and waits.
func (c *testCluster) stop() {
	c.t.Helper()
	_ = c.cmd.Process.Signal(os.Interrupt)
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("dev ended with %v\n%s", err, &c.log)
	}
}

func (c *testCluster) client(nodes ...dev.Node) *client.Client {
	if len(nodes) == 0 {
		nodes = c.Nodes
	}
	var urls []string
	for _, n := range nodes {
		urls = append(urls, n.API)
	}
	return client.New(client.Config{Nodes: urls, HTTPClient: &http.Client{Timeout: 15 * time.Second}})
}

// killAndRestart kills a node's process and starts it again, with its log going where the node's log goes.
func (c *testCluster) killAndRestart(n dev.Node) error {
	pid := c.pids[n.ID]
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	for alive(pid) {
		time.Sleep(time.Millisecond)
	}
	log, err := os.OpenFile(filepath.Join(c.dir, n.ID, "mpcd.log"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(n.Command[0], n.Command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	c.pids[n.ID] = cmd.Process.Pid
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	c.t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	return c.waitReady(n, done)
}

func (c *testCluster) waitReady(n dev.Node, done <-chan struct{}) error {
	asker := client.New(client.Config{Nodes: []string{n.API}, Attempts: 1})
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if h, err := asker.Health(context.Background()); err == nil && h.Ready {
			return nil
		}
		select {
		case <-done:
			log, _ := os.ReadFile(filepath.Join(c.dir, n.ID, "mpcd.log"))
			return fmt.Errorf("%s did not start again\n%s", n.ID, log)
		default:
		}
	}
	return fmt.Errorf("%s does not get ready again", n.ID)
}

// waitPeers waits until a node sees all others live, and accuses none.
func (c *testCluster) waitPeers(n dev.Node) error {
	var last string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		nodes, err := c.client(n).Nodes(context.Background())
		if err != nil {
			return err
		}
		live := 0
		for _, m := range nodes {
			if m.Accused {
				return fmt.Errorf("%s accuses %s, which did nothing wrong", n.ID, m.ID)
			}
			if m.Live {
				live++
			}
		}
		if live == len(nodes) {
			return nil
		}
		last = fmt.Sprint(nodes)
	}
	return fmt.Errorf("%s does not see all others live: %s", n.ID, last)
}

// Goal: kill -9 of any node at any moment: the cluster signs on, the node rejoins, no signature is wrong and no nonce is used
// twice. Method: clients sign without pause while processes are killed at seeded moments and started again; then every request
// that failed is repeated under its session until it is answered; then each quorum signs.
func TestKillAnyMoment(t *testing.T) {
	c := startCluster(t)
	wallet := c.Wallets[0]
	random := rand.New(rand.NewPCG(*killSeed, 0))
	book := &signatureBook{key: ed25519.PublicKey(wallet.PublicKey), byR: map[string]string{}}
	ctx, stopWork := context.WithCancel(context.Background())
	var work sync.WaitGroup
	var mu sync.Mutex
	var failed []*client.SignRequest
	for worker := range 3 {
		work.Go(func() {
			asker := c.client()
			for i := 0; ctx.Err() == nil; i++ {
				q := &client.SignRequest{SessionID: fmt.Sprintf("kill-%d-%d", worker, i), WalletID: wallet.WalletID,
					Message: fmt.Appendf(nil, "worker %d message %d", worker, i)}
				s, err := asker.Sign(context.Background(), q)
				if err != nil {
					mu.Lock()
					failed = append(failed, q)
					mu.Unlock()
					continue
				}
				book.enter(t, q.Message, s)
			}
		})
	}
	for range *killTimes {
		time.Sleep(time.Duration(random.IntN(150)) * time.Millisecond) // the moment, not the waiting for something
		if err := c.killAndRestart(c.Nodes[random.IntN(len(c.Nodes))]); err != nil {
			t.Error(err)
			break
		}
	}
	stopWork()
	work.Wait()
	for _, q := range failed {
		s, err := c.client().Sign(context.Background(), q)
		for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
			s, err = c.client().Sign(context.Background(), q)
		}
		if err != nil {
			t.Errorf("session %s is never answered: %v", q.SessionID, err)
			continue
		}
		book.enter(t, q.Message, s)
	}
	t.Logf("%d signatures, %d requests repeated after a loss", book.count, len(failed))
	if book.count == 0 {
		t.Error("nothing was signed")
	}
	for i, n := range c.Nodes {
		if err := c.waitPeers(n); err != nil {
			t.Error(err)
		}
		q := &client.SignRequest{WalletID: wallet.WalletID, Message: []byte("after all " + n.ID),
			Signers: []string{n.ID, c.Nodes[(i+1)%len(c.Nodes)].ID}}
		s, err := c.client(n).Sign(context.Background(), q)
		if err != nil {
			t.Errorf("quorum %v: %v", q.Signers, err)
			continue
		}
		book.enter(t, q.Message, s)
		if _, err := host.VerifyAuditLog(filepath.Join(c.dir, n.ID, "data", "audit.log")); err != nil {
			t.Errorf("audit log of %s: %v", n.ID, err)
		}
	}
}

// signatureBook holds every signature against the key, and every nonce against all others.
type signatureBook struct {
	key   ed25519.PublicKey
	mu    sync.Mutex
	count int
	byR   map[string]string // the nonce's point: the message it was used for
}

func (b *signatureBook) enter(t *testing.T, message []byte, s *client.Signature) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !ed25519.Verify(b.key, message, s.Signature) {
		t.Errorf("the signature of %q does not verify", message)
		return
	}
	b.count++
	r := string(s.Signature[:32])
	if before, used := b.byR[r]; used && before != string(message) {
		t.Errorf("one nonce signed %q and %q", before, message)
	}
	b.byR[r] = string(message)
}

// Goal: no PIN, share, identity or store key stands anywhere on disk, in logs, metrics, answers or the process's environment.
// Method: open every vault after the cluster has worked, and look for what is in it, raw, in hex and in base64, in everything the
// cluster left or said. The PIN may stand in its own file.
func TestNothingLeaks(t *testing.T) {
	c := startCluster(t, "--threshold", "2")
	said := c.hear(t)
	c.stop()
	said["dev's own output"] = c.log.Bytes()
	needles := map[string][]byte{}
	for _, n := range c.Nodes {
		c.secrets(t, n.ID, needles)
	}
	if len(needles) < 3*(1+1+2) { // PIN, identity, two shares of each node
		t.Fatalf("only %d secrets to look for", len(needles))
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		said[path] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for where, b := range said {
		for what, secret := range needles {
			for _, form := range [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(secret)),
				[]byte(base64.RawURLEncoding.EncodeToString(secret)), reversed(secret)} {
				if !bytes.Contains(b, form) {
					continue
				}
				found++
				if filepath.Base(where) != "pin" || !bytes.HasPrefix([]byte(what), []byte("PIN")) {
					t.Errorf("%s stands in %s", what, where)
				}
			}
		}
	}
	if found < len(c.Nodes) {
		t.Errorf("the search finds only %d PINs in their own files: it does not search", found)
	}
}

func reversed(b []byte) []byte {
	out := bytes.Clone(b)
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// hear asks every node for what it says to anybody.
func (c *testCluster) hear(t *testing.T) map[string][]byte {
	said := map[string][]byte{}
	for _, n := range c.Nodes {
		s, err := c.client(n).Sign(context.Background(), &client.SignRequest{WalletID: c.Wallets[0].WalletID, Message: []byte("hear " + n.ID)})
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/metrics", "/healthz", "/api/v1/wallets", "/api/v1/nodes", "/api/v1/audit",
			"/api/v1/receipts/" + s.ReceiptID} {
			resp, err := http.Get(n.API + path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 && resp.StatusCode != 404 {
				t.Fatalf("%s%s: %s %v", n.API, path, resp.Status, err)
			}
			said[n.API+path] = b
		}
		for _, file := range []string{"environ", "cmdline"} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", n.PID, file))
			if err != nil {
				t.Logf("%s of %s cannot be read: %v", file, n.ID, err) // undumpable processes belong to root
			}
			said[n.ID+" "+file] = b
		}
	}
	return said
}

// secrets opens a stopped node and gathers what must not be found.
func (c *testCluster) secrets(t *testing.T, node string, into map[string][]byte) {
	t.Helper()
	ctx := context.Background()
	vs := host.Defaults()
	if err := vs.File(filepath.Join(c.dir, node, "mpcd.yaml")); err != nil {
		t.Fatal(err)
	}
	conf, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	conf.Dev = true
	pin, err := os.ReadFile(filepath.Join(c.dir, node, "hsm", "pin"))
	if err != nil {
		t.Fatal(err)
	}
	into["PIN of "+node] = bytes.TrimSpace(pin)
	token, err := host.OpenTokens(ctx, conf, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer token.Close()
	key, err := token.StoreKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	into["store key of "+node] = bytes.Clone(key.Bytes())
	key.Wipe()
	disk, err := token.OpenDisk(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	identity, err := disk.Vault.GetSecret(ctx, "identity")
	if err != nil {
		t.Fatal(err)
	}
	into["identity key of "+node], into["seal key of "+node] = bytes.Clone(identity.Bytes()[1:33]), bytes.Clone(identity.Bytes()[33:])
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
		into["share of "+node+" of "+id] = bytes.Clone(share.Secret())
		share.Destroy()
		b.Wipe()
	}
}
