package host_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/api"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// kind is the exit code of an error.
func kind(err error) fault.Code {
	if err == nil {
		return 0
	}
	code, f := fault.CodeFailed, new(fault.Error)
	for e := err; errors.As(e, &f); e = f.Err {
		code = cmp.Or(f.Code, code)
	}
	if code == fault.CodeFailed {
		code, _ = host.KindOf(err)
	}
	return code
}

// started starts a node and stops it at once.
func started(t *testing.T, c host.Config) error {
	t.Helper()
	api, err := host.Listen(c)
	if err != nil {
		return err
	}
	h, err := host.Open(t.Context(), c, host.Options{Release: "test"})
	if err != nil {
		return errors.Join(err, api.Close())
	}
	ctx, end := context.WithTimeout(t.Context(), time.Minute)
	return errors.Join(h.Run(ctx, api, end), h.Close())
}

// checked is the first failure that the doctor finds at a node that is not running.
func checked(t *testing.T, c host.Config) (first host.Finding) {
	t.Helper()
	for _, f := range (&host.Checkup{Config: c, Ask: unanswered}).Run(t.Context()) {
		if f.Err != nil && first.Err == nil {
			first = f
		}
	}
	return first
}

// unanswered is a node that does not answer.
func unanswered(context.Context) (*wire.Health, error) { return nil, errors.New("no answer") }

// Goal: what ends a start the doctor finds before, with the code that the start ends with and the same next step. Method: a node that has
// run; one file after the other of those that it reads is taken away or replaced, and one address after the other is had by somebody else
// or by no interface; doctor and start are held against each other, and both are content when it is put back.
func TestDoctorFindsWhatStartRefuses(t *testing.T) {
	good := planned(t)
	tls := filepath.Join(good.DataDir, "..", "tls")
	operator := filepath.Join(good.DataDir, "..", "..", "cluster")
	good.API.Cert, good.API.Key = filepath.Join(tls, "node.crt"), filepath.Join(tls, "node.key")
	good.API.ClientCA = copyOf(t, filepath.Join(tls, "ca.crt"))
	good.API.JWTKeys = []string{copyOf(t, filepath.Join(operator, "api-tokens.pub"))}
	if err := started(t, good); err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadFile(good.API.Key)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const nowhere = "192.0.2.1:8080" // RFC 5737: nobody's
	listen := func(a string) func(*host.Config) { return func(c *host.Config) { c.Listen = a } }
	routes := func(a string) func(*host.Config) { return func(c *host.Config) { c.NATS.Listen = a } }
	broker := func(c *host.Config) {
		c.NATS.URL, c.NATS.Listen, c.NATS.Routes, c.NATS.CA = "nats://127.0.0.1:1", "", nil, "/nowhere/ca.crt"
	}
	creds := func(c *host.Config) {
		broker(c)
		c.NATS.CA, c.NATS.Cert, c.NATS.Key, c.NATS.Creds = "", "", "", "/nowhere/nats.creds"
	}
	events := func(key string) func(*host.Config) {
		return func(c *host.Config) {
			c.Events.Key, c.Events.Hooks = key, []api.Hook{{URL: "http://127.0.0.1:1", Events: []string{"*"}}}
		}
	}
	jwt, ca, log := good.API.JWTKeys[0], good.API.ClientCA, good.AuditPath()
	cas, err := os.ReadFile(good.NATS.CA)
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(good.NATS.Cert)
	if err != nil {
		t.Fatal(err)
	}
	other := strangerFiles(t, good)
	for name, x := range map[string]struct {
		file   string
		puts   []byte // nil takes the file away
		change func(*host.Config)
		code   fault.Code
		do     string
		says   string // by both
	}{
		"no token keys":            {file: jwt, code: fault.CodeUsage, do: "correct api.jwt.keys, or put the file there again"},
		"empty token keys":         {file: jwt, puts: []byte{}, code: fault.CodeUsage, do: "correct api.jwt"},
		"a private key for tokens": {file: jwt, puts: private, code: fault.CodeUsage, do: "correct api.jwt"},
		"no client CA":             {file: ca, code: fault.CodeUsage, do: "correct api.tls.client_ca"},
		"a client CA that is none": {file: ca, puts: []byte("junk"), code: fault.CodeUsage, do: "PEM"},
		"no CA":                    {file: good.NATS.CA, code: fault.CodeUsage, do: "correct nats.tls.ca"},
		"an empty CA":              {file: good.NATS.CA, puts: []byte{}, code: fault.CodeUsage, do: "correct nats.tls.ca"},
		"a CA that is cut":         {file: good.NATS.CA, puts: cas[:len(cas)/2], code: fault.CodeUsage, do: "correct nats.tls.ca"},
		"a second CA that is cut":  {file: good.NATS.CA, puts: slices.Concat(cas, cas[:99]), code: fault.CodeUsage, do: "nats.tls.ca"},
		"a node's, not a CA's":     {file: good.NATS.CA, puts: own, code: fault.CodeUsage, do: "correct nats.tls.ca", says: "is no CA's"},
		"a CA of junk":             {file: good.NATS.CA, puts: []byte("junk"), code: fault.CodeUsage, do: "correct nats.tls.ca"},
		"no CA of a broker":        {change: broker, code: fault.CodeUsage, do: "correct nats.tls.ca"},
		"no credentials for it":    {change: creds, code: fault.CodeUsage, do: "correct nats.creds", says: "credentials of the broker"},
		"another cluster's CA":     {file: good.NATS.CA, puts: other.ca, code: fault.CodeUsage, do: "api.tls.cert"},
		"another CA's certificate": {change: other.api, code: fault.CodeUsage, do: "api.tls.cert"},
		"another CA's, for routes": {change: other.routes, code: fault.CodeUsage, do: "nats.tls.cert"},
		"no key of events":         {change: events("/nowhere/events.key"), code: fault.CodeUsage, do: "openssl genpkey"},
		"no Ed25519 key of events": {change: events(good.API.Key), code: fault.CodeUsage, do: "openssl genpkey"},
		"no audit log":             {file: log, code: fault.CodeIntegrity},
		"no audit.acked":           {file: filepath.Join(filepath.Dir(log), "audit.acked"), code: fault.CodeIntegrity},
		"address in use":           {change: listen(taken.Addr().String()), code: fault.CodeUsage, do: "--listen"},
		"another's address":        {change: listen(nowhere), code: fault.CodeUsage, do: "--listen"},
		"routes' address in use":   {change: routes(taken.Addr().String()), code: fault.CodeUsage, do: "nats.listen or --nats-listen"},
		"routes, another's":        {change: routes(nowhere), code: fault.CodeUsage, do: "nats.listen or --nats-listen"},
	} {
		c := good
		was := []byte(nil)
		if x.change != nil {
			x.change(&c)
		} else if was, err = os.ReadFile(x.file); err != nil {
			t.Fatal(err)
		}
		if x.file != "" && x.puts == nil {
			err = os.Remove(x.file)
		} else if x.file != "" {
			err = os.WriteFile(x.file, x.puts, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		f, err := checked(t, c), started(t, c)
		if kind(err) != x.code || kind(f.Err) != x.code || !strings.Contains(do(f.Err), x.do) ||
			x.code == fault.CodeUsage && do(f.Err) != do(err) ||
			!strings.Contains(fmt.Sprint(err), x.says) || !strings.Contains(fmt.Sprint(f.Err), x.says) {
			t.Errorf("%s: the doctor finds %s: %v, do %q; the start: %v, do %q", name, f.Check, f.Err, do(f.Err), err, do(err))
		}
		if was != nil {
			if err := os.WriteFile(x.file, was, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if f := checked(t, good); f.Err != nil {
			t.Fatalf("%s, put back: %s: %v", name, f.Check, f.Err)
		}
	}
	if err := started(t, good); err != nil {
		t.Errorf("all is as it was: %v", err)
	}
}

// Goal: beside a running node the doctor finds of its files what the next start refuses, before it asks the node, and tries no PIN. Method:
// a node that has run, and whose directory is had; one file after the other is taken away or replaced; doctor and next start are held
// against each other. Tokens that are named by URIs alone are not started.
func TestDoctorBesideTheNodeFindsWhatStartRefuses(t *testing.T) {
	good := planned(t)
	if err := started(t, good); err != nil {
		t.Fatal(err)
	}
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("1234"), 0o644); err != nil {
		t.Fatal(err)
	}
	uri := func(s string) func(*host.Config) { return func(c *host.Config) { c.HSM.URI = s } }
	beside := func(c host.Config, changes ...error) host.Finding {
		t.Helper()
		if err := errors.Join(changes...); err != nil {
			t.Fatal(err)
		}
		return checked(t, c)
	}
	held, err := host.Lock(good)
	if err != nil {
		t.Fatal(err)
	}
	if f := beside(good); !strings.HasPrefix(f.Check, "node") {
		t.Fatalf("%s: %v", f.Check, f.Err)
	}
	for name, x := range map[string]struct {
		file   string
		puts   []byte // nil takes the file away
		change func(*host.Config)
		code   fault.Code
		do     string
	}{
		"no store.key":        {file: "store.key", code: fault.CodeUsage, do: "put a copy of this one file back"},
		"store.key of junk":   {file: "store.key", puts: []byte("junk"), code: fault.CodeHSM, do: "put a copy of this one file back"},
		"no FORMAT":           {file: "FORMAT", code: fault.CodeIntegrity, do: "put that back"},
		"no audit.acked":      {file: "audit.acked", code: fault.CodeIntegrity},
		"no audit.log":        {file: "audit.log", code: fault.CodeIntegrity},
		"no ACKED":            {file: "store/ACKED", code: fault.CodeIntegrity},
		"no MPCD-STORE":       {file: "store/MPCD-STORE", code: fault.CodeIntegrity},
		"MPCD-STORE of junk":  {file: "store/MPCD-STORE", puts: []byte("junk"), code: fault.CodeIntegrity},
		"no MANIFEST":         {file: "store/db/MANIFEST", code: fault.CodeIntegrity},
		"no KEYREGISTRY":      {file: "store/db/KEYREGISTRY", code: fault.CodeIntegrity},
		"no PIN":              {change: uri("pkcs11:token=t?pin-source=file:/nowhere/pin"), code: fault.CodeUsage, do: "pin-source in hsm.uri"},
		"a PIN that all read": {change: uri("pkcs11:token=t?pin-source=file:" + pin), code: fault.CodeUsage, do: "pin-source in hsm.uri"},
		"no library":          {change: uri("pkcs11:token=t?module-path=/nowhere/p.so"), code: fault.CodeHSM, do: "its library installed"},
	} {
		c, path := good, filepath.Join(good.DataDir, x.file)
		if x.change != nil {
			x.change(&c)
			if f := beside(c); kind(f.Err) != x.code || !strings.Contains(do(f.Err), x.do) {
				t.Errorf("%s: the doctor finds %s: %v, do %q", name, f.Check, f.Err, do(f.Err))
			}
			continue
		}
		changes := []error{os.Rename(path, path+".was")}
		if x.puts != nil {
			changes = append(changes, os.WriteFile(path, x.puts, 0o600))
		}
		f := beside(c, changes...)
		err := errors.Join(held.Close(), started(t, c))
		if kind(err) != x.code || kind(f.Err) != x.code || !strings.Contains(do(f.Err), x.do) || strings.HasPrefix(f.Check, "node") {
			t.Errorf("%s: the doctor finds %s: %v, do %q; the start: %v, do %q", name, f.Check, f.Err, do(f.Err), err, do(err))
		}
		if err := os.Rename(path+".was", path); err != nil {
			t.Fatal(err)
		}
		if held, err = host.Lock(good); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(held.Close(), started(t, good)); err != nil {
		t.Errorf("all is as it was: %v", err)
	}
}

// strange is another cluster of the same name, with a node of this one's name.
type strange struct {
	ca          []byte
	api, routes func(*host.Config) // have the node show its certificate
}

// strangerFiles makes one.
func strangerFiles(t *testing.T, c host.Config) (x strange) {
	t.Helper()
	ca, err := natsnet.NewCA(c.Cluster)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue(c.Node, nil)
	dir := t.TempDir()
	crt, private := filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key")
	if err := errors.Join(err, os.WriteFile(crt, cert, 0o600), os.WriteFile(private, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	x.ca = ca.CertPEM()
	x.api = func(c *host.Config) { c.API.Cert, c.API.Key = crt, private }
	x.routes = func(c *host.Config) { c.NATS.Cert, c.NATS.Key = crt, private }
	return x
}

// do is what is to be done about an error.
func do(err error) (next string) {
	_, next = host.KindOf(err)
	f := new(fault.Error)
	for e := err; errors.As(e, &f); e = f.Err {
		next = cmp.Or(f.Do, next)
	}
	return next
}

// copyOf is a copy of a file, for a test to change.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// Goal: beside a running node its addresses and its log are its own. Method: the doctor where the node has the addresses and the lock.
func TestDoctorLeavesAddressesToTheNode(t *testing.T) {
	c := planned(t)
	held, err := host.Lock(c)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.Listen, c.NATS.Listen = l.Addr().String(), l.Addr().String()
	if f := checked(t, c); !strings.HasPrefix(f.Check, "node") {
		t.Errorf("%s: %v", f.Check, f.Err)
	}
}

// Goal: a store's key that is gone is told with what brings it back, a file without end is no configuration, and a byte order mark is
// named. Method: each.
func TestFilesThatAreNone(t *testing.T) {
	c := planned(t)
	if err := os.Remove(c.StoreKeyPath()); err != nil {
		t.Fatal(err)
	}
	if err := started(t, c); kind(err) != fault.CodeUsage || !strings.Contains(do(err), "put a copy of this one file back") {
		t.Errorf("%v; %s", err, do(err))
	}
	for _, path := range []string{c.Roster, c.NATS.Cert} {
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, append([]byte("\xef\xbb\xbf"), b...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d := &host.Checkup{Config: c, Ask: unanswered}
	for _, f := range d.Run(t.Context()) {
		marked := f.Check == "roster" || f.Check == "route certificate"
		if marked && !strings.Contains(fmt.Sprint(f.Err), "byte order mark") {
			t.Errorf("%s: %v", f.Check, f.Err)
		}
	}
	if err := host.Defaults().File("/dev/zero"); kind(err) != fault.CodeUsage || !strings.Contains(do(err), "mpcd.yaml") {
		t.Errorf("%v; %s", err, do(err))
	}
}

// Goal: where this node's own certificate is out of its time, no keeper is sent to the other nodes and to firewalls. Method: a peer that is
// down, by a clock of today and of in three years.
func TestDoctorOwnCertificateFirst(t *testing.T) {
	c := planned(t)
	tls := filepath.Join(c.DataDir, "..", "tls")
	c.NATS.Cert, c.NATS.Key = filepath.Join(tls, "node.crt"), filepath.Join(tls, "node.key")
	c.NATS.CA, c.NATS.Routes = filepath.Join(tls, "ca.crt"), []string{"127.0.0.1:1"}
	for ahead, want := range map[time.Duration]string{0: "start the other nodes", 3 * 365 * 24 * time.Hour: "`mpcd node renew`"} {
		o := host.Options{Clock: func() time.Time { return time.Now().Add(ahead) }}
		all := (&host.Checkup{Config: c, Options: o, Ask: unanswered}).Run(t.Context())
		i := slices.IndexFunc(all, func(f host.Finding) bool { return f.Check == "peers" })
		if i < 0 || !strings.Contains(all[i].Warn, want) {
			t.Errorf("%s ahead: %+v", ahead, all)
		}
	}
}
