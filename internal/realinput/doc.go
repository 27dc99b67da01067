// Package realinput builds real transactions for tests and the demo to sign: a Solana transfer and the key-path spend of a
// Bitcoin Taproot output. So what mpcd shows is not a signature of a test string but one that the chain would take.
//
// It computes what is signed and puts the signature in its place. It does not choose inputs, estimate fees, know addresses or
// talk to a chain, and no production package uses it. Its tests hold both formats against code none of us wrote: btcd's
// script engine executes the whole spend, crypto/ed25519 and OpenSSL verify the transfer.
package realinput
