package plugin_test

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/luxfi/mpcd/hsm/plugin/wire"
)

// stranger is a driver that another project wrote against the published protocol, of another version.
type stranger struct {
	goplugin.NetRPCUnsupportedPlugin
	wire.UnimplementedDriverServer
}

func (stranger) Handshake(context.Context, *wire.HandshakeRequest) (*wire.HandshakeReply, error) {
	return &wire.HandshakeReply{Version: 2, Driver: "stranger"}, nil
}

func (s stranger) GRPCServer(_ *goplugin.GRPCBroker, g *grpc.Server) error {
	wire.RegisterDriverServer(g, s)
	return nil
}

func (stranger) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// serveStranger says its version to go-plugin, or only in the handshake.
func serveStranger(version uint) {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{ProtocolVersion: version, MagicCookieKey: "MPCD_HSM_PLUGIN",
			MagicCookieValue: "driver-of-a-node"},
		Plugins:    goplugin.PluginSet{"driver": stranger{}},
		GRPCServer: goplugin.DefaultGRPCServer,
		Logger:     hclog.NewNullLogger(),
	})
	os.Exit(0)
}
