// Package memnet is a network in memory, for tests, simulation and the single-process node.
//
// A Hub connects Nodes. Envelopes arrive at once and in order unless a Fault decides otherwise: it may drop, repeat or delay
// (and so reorder) each copy. Chaos makes a Fault whose decisions depend only on a seed and on the position of the envelope on
// its link, and copies that arrive at one instant do so in the order of their links, so a run under testing/synctest replays
// from its seed; give every frame some delay, for those without arrive in the order in which goroutines happen to send.
// Partition and Kill cut links and nodes. A tap sees all bytes.
package memnet
