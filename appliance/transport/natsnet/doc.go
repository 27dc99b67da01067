// Package natsnet carries envelopes through NATS: by a server embedded in every node, clustered by routes, or by an existing
// broker named by a URL.
//
// NATS is an untrusted relay here. It is asked to be quick, not to be durable (no JetStream) nor honest: wrap the Network in
// transport.Secure. TLS still keeps strangers from loading it. Routes speak TLS 1.3 only, and both ends must show a
// certificate of the cluster's CA that names the cluster and a node of the roster (see CA). No port is opened for clients;
// the node itself is connected in process.
//
// Subjects are mpcd.<cluster>.<channel>.all for everybody and mpcd.<cluster>.<channel>.n.<node> for one node; the reply
// subject names the sender, which nobody should believe, and Secure does not. A user of an external broker needs these permissions:
//
//	publish:   mpcd.<cluster>.>
//	subscribe: mpcd.<cluster>.*.all, mpcd.<cluster>.*.n.<node>
//
// and the broker a max_payload of at least transport.FrameMax, or Send refuses what is larger.
//
// Nodes may start in any order and come back at any time: every node dials its Routes until they answer. What is sent while a
// peer is away, or before its subscription has spread, is lost. The Network logs in the words of nats-server.
package natsnet
