// Package sim runs whole clusters of real parts, for tests.
//
// It has three forms. New puts the nodes into the process of the test: enrolled by package enrol and booted by package host, as the
// program does it, with a SoftHSM token each behind the PKCS #11 driver, Badger on disk, NATS with TLS on loopback, audit logs on disk.
// Only the token's library is loaded into the process of the test, and a tap sits before the network: the test reaches the node, its
// token, its vault and what it says on the network, and knows the randomness it drew. NewProcesses runs the program itself, one process a
// node, made by `mpcd init` and reached over HTTPS with tokens; such a node can be killed as a power cut would.
//
// RunSeeded runs whole nodes on a network, a clock, stores and randomness from one seed, so that a run can be had again.
//
// A Scanner looks for known secrets in whatever a cluster leaves behind, in every encoding that a leak would likely have.
//
// A missing part fails the test; nothing here skips. Waiting is for conditions, never for time.
package sim
