// Package client talks to a cluster of mpcd nodes over HTTP.
//
//	c := client.New(client.Config{Nodes: []string{"node1:8080", "node2:8080", "node3:8080"}, Token: token})
//	key, err := c.Keygen(ctx, &client.KeygenRequest{Threshold: 2, Total: 3, Curve: "secp256k1"})
//	sig, err := c.Sign(ctx, &client.SignRequest{PublicKey: key.PublicKey, MessageHash: digest, Signers: []string{"node1", "node2"}})
//
// Any node answers for the cluster. A call that fails where another node, or a little later the same one, may succeed is
// repeated, always under the same session_id: the caller's, or one that the client makes at the start of the call. So an answer
// that was lost on the way is not a second key or a second act. Retry-After is honoured, node by node. A caller who wants to repeat a
// call after it failed for good, or after its own restart, gives a SessionID of its own and keeps it.
//
// A node that takes a connection and gives nothing, as a stopped process does, holds a call up for three seconds: where another could be
// asked, a node is first asked for a sign of life, which does nothing there, and the request is sent to one that gives it. So a request is
// with one node at a time, and is given to a second only after the first failed.
//
// The client holds no key and checks no signature: a caller who trusts no node verifies what it gets, with the public key, and
// the receipt with mpcd attest verify. The token is sent over TLS only, except on the same machine.
package client
