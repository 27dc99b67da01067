package natsnet

import (
	"github.com/nats-io/nats.go"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Publish sends a frame to a node as if from another, which every node of the network can.
func (n *Network) Publish(channel string, as, to transport.NodeID, frame []byte) error {
	subject := prefix(n.config.Cluster) + channel + ".n." + string(to)
	return n.client.PublishMsg(&nats.Msg{Subject: subject, Reply: string(as), Data: frame})
}
