package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
	"github.com/luxfi/mpcd/internal/sim"
)

// startTPM starts a TPM of the test's own.
func startTPM(t *testing.T) *swtpm.TPM {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tpm, err := swtpm.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tpm.Stop() })
	return tpm
}

// amazon is moto, started when the first test needs it; it dies with the test binary.
var amazon = sync.OnceValues(moto.Start)

// startAWS gives a KMS of the test's own: a region of moto, and its URI.
func startAWS(t *testing.T) (uri string, env []string, region string) {
	t.Helper()
	s, err := amazon()
	if err != nil {
		t.Fatal(err)
	}
	region = s.Region()
	return fmt.Sprintf("awskms:region=%s?endpoint=%s", region, s.URL), s.Environment(), region
}

// wants checks how a command ended: its exit code, and what its error says.
func wants(t *testing.T, what string, r sim.Result, code fault.Code, says ...string) {
	t.Helper()
	if fault.Code(r.Code) != code {
		t.Errorf("%s: exit code %d, want %d\n%s%s", what, r.Code, code, r.Out, r.Err)
	}
	for _, s := range says {
		if !strings.Contains(r.Out+r.Err, s) {
			t.Errorf("%s: says nothing of %q:\n%s%s", what, s, r.Out, r.Err)
		}
	}
}

// startLimit is how long `mpcd start` may take to refuse: it would run for ever if it did not.
const startLimit = 40 * time.Second

// starting runs `mpcd start` where it must fail.
func starting(t *testing.T, p *sim.Process, what string, code fault.Code, says ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := sim.Command(t, p.Env, p.Args("start")...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := sim.StartChild(cmd); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(startLimit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait()
	wants(t, "start "+what, sim.Result{Code: cmd.ProcessState.ExitCode(), Err: out.String()}, code, says...)
}

// checks are the findings of `mpcd doctor`, by what was looked at.
func checks(t *testing.T, p *sim.Process, more ...string) map[string]finding {
	t.Helper()
	r := p.Run("doctor", append(more, "-o", "json")...)
	var all []finding
	if err := json.Unmarshal([]byte(r.Out), &all); err != nil {
		t.Fatalf("doctor: %v\n%s%s", err, r.Out, r.Err)
	}
	out := map[string]finding{}
	for _, f := range all {
		out[f.Check] = f
	}
	return out
}

// healthy checks that the doctor finds these well, and says what is wanted.
func healthy(t *testing.T, p *sim.Process, wanted map[string]string, more ...string) {
	t.Helper()
	found := checks(t, p, more...)
	for check, says := range wanted {
		if f := found[check]; !f.OK || !strings.Contains(f.Detail, says) {
			t.Errorf("doctor %v of %s: %q is %+v, want %q", more, p.ID, check, f, says)
		}
	}
}

// book signs with wallets, and checks each signature with the wallet's key.
type book struct {
	t       *testing.T
	c       *sim.Processes
	wallets []*client.Wallet
	n       int
}

// keygen makes ed25519 wallets that all nodes share.
func (b *book) keygen(count int) {
	b.t.Helper()
	for range count {
		w, err := b.c.Client(1).Keygen(b.t.Context(), &client.KeygenRequest{Curve: "ed25519"})
		if err != nil {
			b.t.Fatal(err)
		}
		b.wallets = append(b.wallets, w)
	}
}

// sign asks a node for a signature with each wallet.
func (b *book) sign(through *sim.Process) {
	b.t.Helper()
	for _, w := range b.wallets {
		b.n++
		message := fmt.Appendf(nil, "message %d", b.n)
		s, err := through.Client().Sign(b.t.Context(), &client.SignRequest{WalletID: w.WalletID, Message: message})
		if err != nil {
			b.t.Fatalf("sign through %s: %v\n%s", through.ID, err, through.Tail(5))
		}
		if !ed25519.Verify(ed25519.PublicKey(w.PublicKey), message, s.Signature) {
			b.t.Fatal("a wrong signature")
		}
	}
}

func refreshOf(w *client.Wallet) *client.RefreshRequest {
	return &client.RefreshRequest{WalletID: w.WalletID}
}

// officer is a recovery officer.
type officer struct{ recipient, file string }

func newOfficer(t *testing.T) officer {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	o := officer{id.Recipient().String(), filepath.Join(t.TempDir(), "officer.age")}
	if err := os.WriteFile(o.file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// restore puts a copy of a directory in the place of what is there.
func restore(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(sim.CopyDir(t, from), to); err != nil {
		t.Fatal(err)
	}
}
