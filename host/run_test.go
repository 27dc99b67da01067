package host_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// planned makes a cluster of two with software tokens and returns the configuration of its first node, on free addresses.
func planned(t *testing.T) host.Config {
	t.Helper()
	dir := t.TempDir()
	p := enrol.Plan{Cluster: "c", Dir: dir, Nodes: 2, Threshold: 2, HSM: "local", APIPort: enrol.APIPort, RoutePort: enrol.RoutePort,
		Dev: true, Plain: true, Note: t.Logf}
	if _, _, err := p.CarryOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	vs := host.Defaults()
	if err := vs.File(filepath.Join(dir, "node1", "mpcd.yaml")); err != nil {
		t.Fatal(err)
	}
	vs.Set("listen", "127.0.0.1:0", "test")
	vs.Set("nats.listen", "127.0.0.1:0", "test")
	c, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	return c
}

// Goal: a node that was opened from its configuration serves until it is told to end, alone on its directory, and leaves all as it
// found it: it can be opened again. Method: boot twice; ask the API as soon as the node says that it is ready, and after its end.
func TestOpenAndRun(t *testing.T) {
	c := planned(t)
	for range 2 {
		c.Listen = freeAddress(t)
		api, err := host.Listen(c)
		if err != nil {
			t.Fatal(err)
		}
		h, err := host.Open(t.Context(), c, host.Options{Release: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := host.Lock(c); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("another process may have the directory: %v", err)
		}
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		times := 0
		err = h.Run(ctx, api, func() {
			times++
			go func() {
				defer end()
				r, err := http.Get("http://" + c.Listen + "/healthz")
				if err != nil {
					t.Errorf("it says that it is ready and does not answer: %v", err)
					return
				}
				_ = r.Body.Close()
			}()
		})
		if err := errors.Join(err, h.Close()); err != nil || times != 1 {
			t.Errorf("%v, ready %d times", err, times)
		}
		if _, err := http.Get("http://" + c.Listen + "/healthz"); err == nil {
			t.Error("it answers after its end")
		}
	}
}

// Goal: a node that runs ends by itself on another machine than the one it was opened on. Method: another boot ID before it runs.
func TestRunForked(t *testing.T) {
	h, err := host.Open(t.Context(), planned(t), host.Options{Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	h.Carry()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = errors.Join(h.Run(ctx, nil, func() {}), h.Close())
	if err == nil || !strings.Contains(err.Error(), "copied while the node ran") {
		t.Errorf("it ended with %v", err)
	}
}

// Goal: what fails in a boot is told with its step and its kind, and leaves nothing locked. Method: take away one thing after the other.
func TestBootFails(t *testing.T) {
	good := planned(t)
	for name, x := range map[string]struct {
		change func(*host.Config)
		what   string
		code   fault.Code
	}{
		"no roster":    {func(c *host.Config) { c.Roster = "" }, "boot: roster", fault.CodeUsage},
		"another root": {func(c *host.Config) { c.RosterRoot = "r_other" }, "boot: roster", fault.CodeFailed},
		"neither roster nor token": {func(c *host.Config) { c.RosterRoot, c.HSM.URI = "r_other", "local:/nowhere" }, "boot: roster",
			fault.CodeFailed}, // no token is opened for a roster that is not ours
		"another cluster":  {func(c *host.Config) { c.Cluster = "d" }, "boot: roster", fault.CodeUsage},
		"no such token":    {func(c *host.Config) { c.HSM.URI = "local:/nowhere" }, "boot: token", fault.CodeHSM},
		"no software":      {func(c *host.Config) { c.Dev = false }, "boot: token", fault.CodeFailed},
		"no vault":         {func(c *host.Config) { c.DataDir = t.TempDir() }, "boot: vault", fault.CodeIntegrity},
		"no route's files": {func(c *host.Config) { c.NATS.CA = "" }, "boot: network", fault.CodeUsage},
	} {
		c := good
		x.change(&c)
		_, err := host.Open(t.Context(), c, host.Options{})
		var f *fault.Error
		if !errors.As(err, &f) || f.What != x.what {
			t.Errorf("%s: %v, want one of %s", name, err, x.what)
			continue
		}
		code := fault.CodeFailed
		for e := error(f); errors.As(e, &f); e = f.Err {
			if f.Code != 0 {
				code = f.Code
			}
		}
		if code != x.code {
			t.Errorf("%s: kind %d, want %d: %v", name, code, x.code, err)
		}
		held, err := host.Lock(good)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = held.Close()
	}
}

// hangUpTwice runs a node and sends this process two SIGHUPs, the second when the first has the configuration read again, of which again
// tells; before them and after them something is done.
func hangUpTwice(t *testing.T, h *host.Host, again <-chan struct{}, before, after func()) {
	t.Helper()
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	err := h.Run(ctx, nil, func() {
		go func() {
			defer end()
			before()
			for range 2 {
				if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
					t.Error(err)
				}
				select {
				case <-again:
				case <-ctx.Done():
					t.Error("it does not reload")
					return
				}
			}
			after()
		}()
	})
	if err := errors.Join(err, h.Close()); err != nil {
		t.Error(err)
	}
}

// Goal: SIGHUP has a node take up certificates, roster and the log's level, and does not end it. Method: two to this process while a node
// runs in it, whose files were replaced so that nobody who looks at them sees it; the second reload finds what the first has done, another
// node is shown the new certificate, and the log names what counts from the next start only.
func TestHangup(t *testing.T) {
	c := planned(t)
	c.NATS.Listen = free(t)
	renew := renewable(t, c)
	again, level, said := make(chan struct{}), new(slog.LevelVar), new(bytes.Buffer)
	h, err := host.Open(t.Context(), c, host.Options{Release: "test", Level: level, Hangups: host.Hangups(),
		Log: host.NewLogger(said, level, "json"), Again: func() (host.Config, error) {
			again <- struct{}{}
			vs := host.Defaults()
			err := vs.File(filepath.Join(filepath.Dir(c.DataDir), "mpcd.yaml"))
			for key, text := range map[string]string{"listen": "127.0.0.1:0", "nats.listen": "127.0.0.1:1", "threshold": "1", "log.level": "debug"} {
				vs.Set(key, text, "test")
			}
			changed, perr := host.Parse(vs)
			return changed, errors.Join(err, perr)
		}})
	if err != nil {
		t.Fatal(err)
	}
	var taken func(*host.Host)
	hangUpTwice(t, h, again, func() { taken = renew() }, func() {
		taken(h)
		if level.Level() != slog.LevelDebug {
			t.Errorf("the log's level is %s", level.Level())
		}
	})
	if !strings.Contains(said.String(), `count from the next start","settings":"threshold, nats.listen"`) {
		t.Errorf("what is not taken up: %s", said)
	}
}

// Goal: a reload names nothing where nothing was edited, whatever the node has told its token's library. Method: SoftHSM's configuration in
// mpcd.yaml, and at a SIGHUP all gathered anew, variables too; the second reload begins when the first is over.
func TestHangupChangesNothing(t *testing.T) {
	dir := filepath.Dir(planned(t).DataDir)
	file := filepath.Join(dir, "mpcd.yaml")
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(b, "  softhsm_conf: soft.conf\n"...), 0o600)
	}
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "soft.conf"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", "")
	gather := func() (host.Config, error) {
		vs, _, err := host.Gather(file)
		if err != nil {
			return host.Config{}, err
		}
		vs.Set("listen", "127.0.0.1:0", "test")
		vs.Set("nats.listen", "127.0.0.1:0", "test")
		c, err := host.Parse(vs)
		c.Dev = true
		return c, err
	}
	c, err := gather()
	if err != nil {
		t.Fatal(err)
	}
	again, said := make(chan struct{}), new(bytes.Buffer)
	h, err := host.Open(t.Context(), c, host.Options{Release: "test", Hangups: host.Hangups(), Log: slog.New(slog.NewJSONHandler(said, nil)),
		Again: func() (host.Config, error) {
			again <- struct{}{}
			return gather()
		}})
	if err != nil {
		t.Fatal(err)
	}
	hangUpTwice(t, h, again, func() {}, func() {})
	if strings.Contains(said.String(), "count from the next start") {
		t.Errorf("nothing changed: %s", said)
	}
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// renewable returns what puts a newer roster and another certificate in the place of the node's, as large and as old as those, so that
// nobody who looks at the files alone sees it; and what then asks whether the node has taken them up.
func renewable(t *testing.T, c host.Config) func() (taken func(*host.Host)) {
	t.Helper()
	dir := filepath.Dir(filepath.Dir(c.Roster))
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		return b
	}
	ca, err := natsnet.LoadCA(read(filepath.Join(dir, "cluster", "ca.crt")), read(filepath.Join(dir, "cluster", "ca.key")))
	if err != nil {
		t.Fatal(err)
	}
	unseen := func(name string, b []byte) {
		was, err := os.Stat(name)
		if err == nil {
			for len(b) < int(was.Size()) {
				b = append(b, '\n')
			}
			err = errors.Join(durable.WriteFile(name, b, 0o600), os.Chtimes(name, was.ModTime(), was.ModTime()))
		}
		if now, serr := os.Stat(name); err != nil || serr != nil || now.Size() != was.Size() {
			t.Errorf("%s cannot be replaced unseen: %v", name, errors.Join(err, serr))
		}
	}
	return func() func(*host.Host) {
		was, err := attest.LoadRoster(c.Roster)
		a, aerr := enrol.OpenOperator(filepath.Join(dir, "cluster"))
		if err := errors.Join(err, aerr); err != nil {
			t.Error(err)
			return func(*host.Host) {}
		}
		next, err := a.Sign(was, nil)
		cert, key, cerr := ca.Issue(c.Node, nil) // shorter than with hosts
		if err := errors.Join(err, cerr); err != nil {
			t.Error(err)
			return func(*host.Host) {}
		}
		unseen(c.Roster, next.JSON())
		unseen(c.NATS.Cert, cert)
		unseen(c.NATS.Key, key)
		return func(h *host.Host) {
			es, _, err := h.Node.Audit(t.Context(), appliance.Page{})
			if err != nil || !slices.ContainsFunc(es, func(e audit.Entry) bool { return e.Event == "roster.taken" && e.Facts["serial"] == "2" }) {
				t.Errorf("the roster is not taken up: %v", err)
			}
			peer := filepath.Join(dir, "node2", "tls", "node")
			config, err := natsnet.LoadTLS(peer+".crt", peer+".key", c.NATS.CA)
			if err != nil {
				t.Error(err)
				return
			}
			config.ServerName = c.Cluster + ".mpcd.internal"
			conn, err := tls.Dial("tcp", c.NATS.Listen, config)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if block, _ := pem.Decode(cert); !bytes.Equal(conn.ConnectionState().PeerCertificates[0].Raw, block.Bytes) {
				t.Error("the certificate is not taken up")
			}
		}
	}
}

// Goal: a newer roster that is put in the old one's place is taken up by a running node and kept, and one that the root did not
// sign is not. Method: a forged one, then one in the file of a running node; the audit log tells, and so do the next start and the doctor.
func TestRosterFile(t *testing.T) {
	c := planned(t)
	was, err := attest.LoadRoster(c.Roster)
	if err != nil {
		t.Fatal(err)
	}
	a, err := enrol.OpenOperator(filepath.Join(filepath.Dir(filepath.Dir(c.Roster)), "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	next, err := a.Sign(was, nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := *next
	forged.Roster.Serial = 9
	h, err := host.Open(t.Context(), c, host.Options{Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	err = h.Run(ctx, nil, func() {
		go func() {
			defer end()
			if err := h.Node.TakeUp(ctx, &forged); err == nil {
				t.Error("a roster that the root did not sign is taken up")
			}
			if err := durable.WriteFile(c.Roster, next.JSON(), 0o600); err != nil {
				t.Error(err)
			}
			for taken := false; !taken; time.Sleep(10 * time.Millisecond) {
				es, _, err := h.Node.Audit(ctx, appliance.Page{})
				if err != nil || ctx.Err() != nil {
					t.Errorf("it is not taken up: %v", errors.Join(err, ctx.Err()))
					return
				}
				for _, e := range es {
					taken = taken || e.Event == "roster.taken" && e.Facts["serial"] == "2"
				}
			}
		}()
	})
	if err := errors.Join(err, h.Close()); err != nil {
		t.Error(err)
	}
	if err := durable.WriteFile(c.Roster, was.JSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := host.Open(t.Context(), c, host.Options{}); err == nil {
		t.Error("the node forgets that it has used the newer roster")
	}
	for _, f := range (&host.Checkup{Config: c}).Run(t.Context()) {
		if old := f.Check == "roster's serial"; old == (f.Err == nil) && (old || f.Check == "roster") {
			t.Errorf("the doctor says of the older roster: %+v", f)
		}
	}
}

// Goal: an older roster that is put in the place of the one in use is told of at once, by the node and by the doctor beside it, for the
// next start refuses it; and so is another one of that serial. Method: each in the file of a running node, whose API the doctor asks.
func TestOlderRosterFile(t *testing.T) {
	c := planned(t)
	was, err := attest.LoadRoster(c.Roster)
	if err != nil {
		t.Fatal(err)
	}
	a, err := enrol.OpenOperator(filepath.Join(filepath.Dir(filepath.Dir(c.Roster)), "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := a.Remove([]string{"node2"})
	if err != nil {
		t.Fatal(err)
	}
	now, err := a.Sign(was, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(c.Roster, now.JSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Listen = freeAddress(t)
	api, err := host.Listen(c)
	if err != nil {
		t.Fatal(err)
	}
	said := make(lines, 100)
	h, err := host.Open(t.Context(), c, host.Options{Release: "test", Log: slog.New(slog.NewJSONHandler(said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	asker := client.New(client.Config{Nodes: []string{"http://" + c.Listen}})
	doctor := func(ctx context.Context) (f host.Finding) {
		for _, f = range (&host.Checkup{Config: c, Ask: asker.Health}).Run(ctx) {
			if f.Check == "roster's serial" {
				return f
			}
		}
		return host.Finding{}
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	err = h.Run(ctx, api, func() {
		go func() {
			defer end()
			if f := doctor(ctx); f.Err != nil || f.Detail != "2, as the node uses" {
				t.Errorf("of the one in use: %+v", f)
			}
			for text, r := range map[string]*attest.SignedRoster{"has serial 1, the node uses 2": was, "is another one of serial 2": other} {
				if err := durable.WriteFile(c.Roster, r.JSON(), 0o600); err != nil {
					t.Error(err)
				}
				if !said.has(ctx, `"WARN"`, text) {
					t.Errorf("the node does not say that it %s", text)
				}
				if f := doctor(ctx); f.Err == nil || !strings.Contains(f.Err.Error(), text) {
					t.Errorf("the doctor does not say that it %s: %+v", text, f)
				}
			}
		}()
	})
	if err := errors.Join(err, h.Close()); err != nil {
		t.Error(err)
	}
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// lines are what a log says, line by line.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// has tells whether a line comes that has all the pieces, before ctx ends.
func (l lines) has(ctx context.Context, pieces ...string) bool {
	for {
		select {
		case line := <-l:
			if !slices.ContainsFunc(pieces, func(p string) bool { return !strings.Contains(line, p) }) {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
}

// Goal: a running node whose roster file is replaced by one that removes it knows it, and is not ready for that. Method: the operator's
// authority removes the node, and the file is put in the place of the old one.
func TestRemovedByFile(t *testing.T) {
	c := planned(t)
	a, err := enrol.OpenOperator(filepath.Join(filepath.Dir(filepath.Dir(c.Roster)), "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	next, err := a.Remove([]string{string(c.Node)})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(t.Context(), c, host.Options{Release: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	err = h.Run(ctx, nil, func() {
		go func() {
			defer end()
			if err := durable.WriteFile(c.Roster, next.JSON(), 0o600); err != nil {
				t.Error(err)
			}
			isMember := func(x appliance.Check) bool { return x.Name == "member" && x.OK }
			for slices.ContainsFunc(h.Node.Readiness().Checks, isMember) {
				if ctx.Err() != nil {
					t.Error("it does not know")
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}()
	})
	if err := errors.Join(err, h.Close()); err != nil {
		t.Error(err)
	}
}
