package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// Program is what runs in a driver process.
type Program struct {
	// Name and Release tell the node who it is: "mpcd", "0.1.0".
	Name, Release string
	// Drivers are what it opens. An executable of its own, mpcd-hsm-<name>, has one, under "plugin": it gets the URI
	// plugin:<name>?pin-source=….
	Drivers hsm.Drivers
}

// Serve runs a driver process: the whole of `mpcd hsm-plugin`, and of the main of an executable of its own. It returns when the node
// asks it to end, closes the connection or is no more. ErrByHand if no node started it.
//
// It hardens the process at once: no core dumps, no debugger, no inherited files, files for the owner alone; and fences it in when
// the node says with what. It changes the process for good, so it comes first and alone.
func Serve(p Program) error {
	if os.Getenv(cookieName) != cookieValue {
		return fmt.Errorf("hsm plugin: %w; to look into a token, use `mpcd hsm list`", ErrByHand)
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // the node decides when it ends
	done, err := harden()
	if err != nil {
		return err
	}
	// go-plugin puts pipes in the place of os.Stdout and os.Stderr; ours is the true one, which the node reads.
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	srv := &server{program: p, log: log, hardened: done, tokens: map[uint64]*held{}}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // the node holds the other end, and lets go of it when it ends
		srv.closeAll()
		os.Exit(0)
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         goplugin.PluginSet{service: side{srv: srv}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(messageMax), grpc.MaxSendMsgSize(messageMax), grpc.MaxConcurrentStreams(callsMax),
				experimental.BufferPool(wiping))...)
		},
	})
	srv.closeAll()
	return nil
}

// callsMax bounds the calls that a child works on at a time; more of them wait in the node.
const callsMax = 1024

// side is the driver's side of the plugin.
type side struct {
	goplugin.NetRPCUnsupportedPlugin
	srv *server
}

// GRPCServer registers the driver.
func (s side) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	wire.RegisterDriverServer(g, s.srv)
	return nil
}

// GRPCClient is not for us.
func (side) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("this is the side of the driver")
}
