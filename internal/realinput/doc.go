// Package realinput builds real transactions for tests and the demo to sign: an Ethereum transfer (EIP-1559), the spends of a
// Bitcoin output to a key's hash (P2WPKH) and to a Taproot key, and a Solana transfer. So what mpcd shows is not a signature of
// a test string but one that the chain would take.
//
// It computes what is signed and puts the signature in its place. It does not choose inputs, estimate fees, know addresses or
// talk to a chain, and no production package uses it. Its tests hold every format against code none of us wrote: go-ethereum
// decodes the transaction and recovers its sender, btcd's script engine executes the whole spends, crypto/ed25519 and OpenSSL
// verify the transfer.
package realinput
