// Package transport carries envelopes between the nodes of a cluster over networks that nobody has to trust.
//
// A Network only moves bytes: in memory (memnet), through NATS (natsnet), or by carried media. It may lose, repeat, reorder
// and read everything. Secure wraps any Network so that an application sees only envelopes that
//
//   - were authenticated to this node by a peer of the roster, for this cluster and channel, and signed by it,
//   - are fresh (a clock within SkewMax) and were never delivered before, while this process lives,
//   - and, where Private, could be read by the one recipient only.
//
// Everything else is dropped and counted by reason, and what is authentic and finds no room by sender (Secured.Stats); nothing a stranger
// sends is fatal. Every delivered envelope brings a Proof, by which a third party can be shown later that the sender said exactly this.
//
// What it does not do: it never repeats a lost envelope, orders envelopes, or notices a peer's silence; the ceremony loop
// does. Traffic patterns (who talks to whom, when, how much, and the header with kind and topic) stay visible to the network.
// HPKE to a static key gives no forward secrecy against theft of the recipient's key. A restarted receiver has forgotten what
// it saw: while envelopes are fresh, a network can repeat them to it once more, so ceremonies must agree on fresh session
// ids. Whoever may write to a network can flood it, but takes no place that is another's: by a MAC for each addressee, under a key of the
// pair, sender and number of an envelope are known before it waits (Gate). A full inbox loses the newest of the sender that has most there.
//
// To add a network, implement Network and Conn, and pass transporttest.Run.
package transport
