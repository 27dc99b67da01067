// Package memnet is a network in memory, for tests, simulation and the single-process node.
//
// A Hub connects Nodes. Envelopes arrive at once and in order unless a Fault decides otherwise: it may drop, repeat or delay
// (and so reorder) each copy. Chaos makes a Fault whose decisions depend only on a seed and on the position of the envelope on
// its link, so a run under testing/synctest replays from its seed. Partition and Kill cut links and nodes. A Tap sees all bytes.
package memnet
