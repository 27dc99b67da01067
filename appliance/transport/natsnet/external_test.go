package natsnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/appliance/transport/transporttest"
)

// broker starts a nats-server that knows a user for every node, with the permissions that the package documents.
func broker(t *testing.T, port int, maxPayload int32, nodes []transport.NodeID) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, MaxPayload: maxPayload}
	for _, id := range nodes {
		opts.Users = append(opts.Users, &server.User{Username: string(id), Password: "pw-" + string(id), Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"mpcd." + cluster + ".>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"mpcd." + cluster + ".*.all", "mpcd." + cluster + ".*.n." + string(id)}},
		}})
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("broker is not ready")
	}
	return s
}

func external(t *testing.T, id transport.NodeID, hostPort string) *natsnet.Network {
	t.Helper()
	n, err := natsnet.Start(t.Context(),
		natsnet.Config{Cluster: cluster, Node: id, ExternalURL: fmt.Sprintf("nats://%s:pw-%s@%s", id, id, hostPort)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// Goal: an external broker serves as well as the embedded ones, and the documented permissions suffice. Method: the
// conformance suite.
func TestExternalConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T, nodes []transport.NodeID) map[transport.NodeID]transport.Network {
		b := broker(t, -1, transport.FrameMax, nodes)
		nets := map[transport.NodeID]transport.Network{}
		for _, id := range nodes {
			nets[id] = external(t, id, b.Addr().String())
		}
		return nets
	})
}

// Goal: nodes start before their broker, and outlive its restart. Method: start and join, then start the broker; messages
// must flow; stop it: Send says that it is offline; start it again.
func TestExternalAbsent(t *testing.T) {
	first := broker(t, -1, transport.FrameMax, nil)
	addr := first.Addr().String()
	first.Shutdown()
	first.WaitForShutdown()
	nodes := []transport.NodeID{"a", "b"}
	conns := map[transport.NodeID]transport.Conn{}
	for _, id := range nodes {
		c, err := external(t, id, addr).Join(t.Context(), "news", nil)
		if err != nil {
			t.Fatal(err)
		}
		conns[id] = c
	}
	if err := conns["a"].Send(t.Context(), transport.Envelope{Body: []byte("x")}); !errors.Is(err, natsnet.ErrOffline) ||
		strings.Contains(err.Error(), "pw-") {
		t.Errorf("Send without a broker: %v, want ErrOffline", err)
	}
	var number int
	if _, err := fmt.Sscanf(addr[strings.LastIndex(addr, ":")+1:], "%d", &number); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := broker(t, number, transport.FrameMax, nodes)
		untilHeard(t, conns["a"], conns["b"])
		b.Shutdown()
		b.WaitForShutdown()
	}
}

// untilHeard sends until one arrives.
func untilHeard(t testing.TB, from, to transport.Conn) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	heard := make(chan struct{})
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			_ = from.Send(t.Context(), transport.Envelope{Body: []byte("x")}) // offline at first
			select {
			case <-heard:
				return
			case <-tick.C:
			}
		}
	})
	defer close(heard)
	if _, err := to.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Goal: a body that the broker would refuse is refused by Send, with the remedy. Method: a broker with a small max_payload.
func TestExternalSmallPayload(t *testing.T) {
	nodes := []transport.NodeID{"a", "b"}
	addr := broker(t, -1, 1000, nodes).Addr().String()
	a, err := external(t, "a", addr).Join(t.Context(), "news", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := external(t, "b", addr).Join(t.Context(), "news", nil)
	if err != nil {
		t.Fatal(err)
	}
	untilHeard(t, a, b)
	err = a.Send(t.Context(), transport.Envelope{Body: bytes.Repeat([]byte("x"), 1001)})
	if !errors.Is(err, transport.ErrTooLarge) || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("got %v, want ErrTooLarge with the remedy", err)
	}
}

// brokerOfJWTs is a broker that takes users of one account, by their JWTs, and the credentials of two of them.
func brokerOfJWTs(t *testing.T) (addr string, a, b []byte) {
	t.Helper()
	must := func(k nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		if err != nil {
			t.Fatal(err)
		}
		public, err := k.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		return k, public
	}
	operator, op := must(nkeys.CreateOperator())
	account, acc := must(nkeys.CreateAccount())
	signed := func(c jwt.Claims, by nkeys.KeyPair) string {
		text, err := c.Encode(by)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	claims, err := jwt.DecodeOperatorClaims(signed(jwt.NewOperatorClaims(op), operator))
	if err != nil {
		t.Fatal(err)
	}
	accounts := &server.MemAccResolver{}
	if err := accounts.Store(acc, signed(jwt.NewAccountClaims(acc), operator)); err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, MaxPayload: transport.FrameMax,
		TrustedOperators: []*jwt.OperatorClaims{claims}, AccountResolver: accounts})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("broker is not ready")
	}
	user := func() []byte {
		key, id := must(nkeys.CreateUser())
		seed, err := key.Seed()
		if err != nil {
			t.Fatal(err)
		}
		creds, err := jwt.FormatUserConfig(signed(jwt.NewUserClaims(id), account), seed)
		if err != nil {
			t.Fatal(err)
		}
		return creds
	}
	return s.Addr().String(), user(), user()
}

// Goal: credentials that no broker takes end the start, and do not leave a node that tries for ever. Method: a real broker of JWTs, at
// which two nodes hear each other; then files that are not there, that are junk, that are cut, and of two users at once.
func TestExternalCredentials(t *testing.T) {
	addr, a, b := brokerOfJWTs(t)
	dir := t.TempDir()
	config := func(id transport.NodeID, creds []byte) natsnet.Config {
		file := filepath.Join(dir, string(id)+".creds")
		if creds != nil {
			if err := os.WriteFile(file, creds, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return natsnet.Config{Cluster: cluster, Node: id, ExternalURL: "nats://" + addr, CredsFile: file}
	}
	conns := map[transport.NodeID]transport.Conn{}
	for id, creds := range map[transport.NodeID][]byte{"a": a, "b": b} {
		n, err := natsnet.Start(t.Context(), config(id, creds))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		if conns[id], err = n.Join(t.Context(), "news", nil); err != nil {
			t.Fatal(err)
		}
	}
	untilHeard(t, conns["a"], conns["b"])

	seed := bytes.Index(a, []byte("-----BEGIN USER NKEY SEED"))
	other := bytes.Index(b, []byte("-----BEGIN USER NKEY SEED"))
	for id, creds := range map[transport.NodeID][]byte{"none": nil, "empty": {}, "junk": []byte("junk"), "cut": a[:seed], "no-jwt": a[seed:],
		"two-users": slices.Concat(a[:seed], b[other:])} {
		c := config(id, creds)
		if err := c.CheckFiles(); !errors.Is(err, natsnet.ErrCreds) || !strings.Contains(err.Error(), "credentials of the broker") {
			t.Errorf("%s: looked at: %v, want ErrCreds", id, err)
		}
		if n, err := natsnet.Start(t.Context(), c); !errors.Is(err, natsnet.ErrCreds) {
			t.Errorf("%s: started: %v, want ErrCreds", id, err)
			if err == nil {
				_ = n.Close()
			}
		}
	}
}
