package plugin

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// version is that of the protocol. A driver of another version is refused.
const version = 1

// The cookie tells a child that a node started it. It is no secret: that the right two talk with each other is up to TLS.
const (
	cookieName  = "MPCD_HSM_PLUGIN"
	cookieValue = "driver-of-a-node"
)

// service is the name of the driver among go-plugin's plugins.
const service = "driver"

// messageMax bounds what is sent and received in one piece, in bytes.
const messageMax = 4 << 20

// endPatience is how long a child may take to close its tokens when it is asked to end.
const endPatience = 6 * time.Second

var handshake = goplugin.HandshakeConfig{ProtocolVersion: version, MagicCookieKey: cookieName, MagicCookieValue: cookieValue}

// child is a driver process, past its handshake.
type child struct {
	*process
	rpc   wire.DriverClient
	about About
	fence Sandbox // as it was told
	given map[string]file
	since time.Time

	condemned atomic.Bool   // it is being ended: no new calls
	clean     chan struct{} // closed when nothing of it is left
}

// socketConfig has the child make its socket below Dir, also where it runs as another user.
func socketConfig(c Config) *goplugin.UnixSocketConfig {
	s := &goplugin.UnixSocketConfig{TempDir: c.Dir}
	if c.GID != 0 {
		s.Group = strconv.FormatUint(uint64(c.GID), 10)
	}
	return s
}

// stub is the node's side of the plugin.
type stub struct {
	goplugin.NetRPCUnsupportedPlugin
}

// GRPCServer is not for us.
func (stub) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the side of the node")
}

// GRPCClient is the connection.
func (stub) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return wire.NewDriverClient(c), nil
}

// start starts a process and shakes hands, within the limit for starts.
func start(c Config, limits Limits, cmd *exec.Cmd, fence Sandbox) (*child, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limits.Start)
	defer cancel()
	var p *process
	said := newRelay(c.log())
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          goplugin.PluginSet{service: stub{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     2 * limits.Start, // ours ends it before, and says why
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: socketConfig(c),
		GRPCDialOptions: []grpc.DialOption{
			experimental.WithBufferPool(wiping),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(messageMax), grpc.MaxCallSendMsgSize(messageMax)),
		},
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, _ string) (runner.Runner, error) {
			cmd.Env = append(cmd.Env, spec.Env...)
			cmd.Dir = "/"
			cmd.SysProcAttr = attributes(c)
			made, err := newProcess(cmd, c)
			if err != nil {
				return nil, err
			}
			p = made
			go said.run(p.stderr)
			context.AfterFunc(ctx, func() {
				if ctx.Err() == context.DeadlineExceeded {
					p.kill(fmt.Sprintf("it was not ready in %s", limits.Start))
				}
			})
			return p, nil
		},
	})
	ch := &child{process: p, fence: fence, since: time.Now(), clean: make(chan struct{})}
	err := ch.shake(ctx, client, fence)
	ch.process = p
	if p != nil {
		go ch.cleanUp(client)
	}
	if err == nil {
		return ch, nil
	}
	if p != nil {
		p.kill("")
		<-p.gone
		<-ch.clean
		if !p.asked() && p.why() != p.died {
			err = errors.New(p.why())
		}
		if words := said.words(); words != "" {
			err = fmt.Errorf("%w; it said: %s", err, words)
		}
	}
	return nil, err
}

// shake starts the process and asks who it is.
func (ch *child) shake(ctx context.Context, client *goplugin.Client, fence Sandbox) error {
	if _, err := client.Start(); err != nil {
		if strings.Contains(err.Error(), "incompatible API version") {
			return fmt.Errorf("%w: the node speaks %d: %s", ErrVersion, version, clean(err.Error(), textMax))
		}
		return errors.New(clean(err.Error(), textMax))
	}
	protocol, err := client.Client()
	if err != nil {
		return errors.New(clean(err.Error(), textMax))
	}
	raw, err := protocol.Dispense(service)
	if err != nil {
		return err
	}
	ch.rpc = raw.(wire.DriverClient)
	r, err := ch.rpc.Handshake(ctx, &wire.HandshakeRequest{Version: version, Sandbox: &wire.Sandbox{
		Network: fence.Network, Exec: fence.Exec, Read: fence.Read, Write: fence.Write,
	}})
	if err != nil {
		return fmt.Errorf("handshake: %s", clean(err.Error(), textMax))
	}
	if r.GetVersion() != version {
		return fmt.Errorf("%w: the driver %s speaks %d, the node %d", ErrVersion, clean(r.GetDriver(), nameMax), r.GetVersion(), version)
	}
	if f := opened(r.GetFailure()); f != nil {
		return fmt.Errorf("handshake: %w", f)
	}
	ch.about = About{Driver: clean(r.GetDriver(), nameMax), Release: clean(r.GetRelease(), nameMax), Schemes: cleanAll(r.GetSchemes()),
		Sandbox: cleanAll(r.GetSandbox())}
	return nil
}

func cleanAll(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), 64)] {
		out = append(out, clean(s, nameMax))
	}
	return out
}

// cleanUp waits for the end of the process, and takes away the connection and the directory of the socket.
func (ch *child) cleanUp(client *goplugin.Client) {
	<-ch.gone
	client.Kill()
	_ = ch.stdout.Close()
	_ = ch.stderr.Close()
	close(ch.clean)
}

// usable tells that calls may be sent.
func (ch *child) usable() bool { return !ch.condemned.Load() && !ch.dead() }

// condemn kills the child; the cause is for the log.
func (ch *child) condemn(cause string) {
	ch.condemned.Store(true)
	ch.kill(cause)
}

// exitPatience is how long a process may take to end after its connection did: its death is then the cause that is told.
const exitPatience = 250 * time.Millisecond

// disconnected ends a child whose connection broke, if it has not ended itself.
func (ch *child) disconnected(err error) {
	ch.condemned.Store(true)
	timer := time.NewTimer(exitPatience)
	defer timer.Stop()
	select {
	case <-ch.gone:
	case <-timer.C:
		ch.kill("the connection broke: " + clean(err.Error(), nameMax))
	}
}

// retire ends the child in good order.
func (ch *child) retire() {
	ch.condemned.Store(true)
	ch.end(endPatience)
	<-ch.clean
}
