// Package frost is threshold Schnorr signing in two rounds (Komlo and Goldberg, SAC 2020), in two variants:
//
//   - Ed25519: RFC 9591 FROST(Ed25519, SHA-512); signatures are RFC 8032's, checked by crypto/ed25519.
//   - Taproot: BIP 445 (draft), FROST3 for BIP-340 public keys with BIP-341 tweaks. It is not RFC 9591's secp256k1 suite,
//     whose signatures no chain takes. A group key is an output key without a script path.
//
// The nonce commitments ride in the OPEN message, so presigning costs no round of its own, and the session ID binds them.
// Nonces are hedged with the share (RFC 9591 §4.1; BIP 445 NonceGen), live in memory only and are burnt before anything is
// made from them; whoever comes second gets threshold.ErrBurnt, even from another goroutine. A share is verified before it
// leaves, because a miscomputed one can give the key share away. Combine verifies the signature as an outsider would; only
// if that fails are the shares verified one by one, and every culprit is named (RFC 9591 §5.4).
//
// There is no pool of nonces, on purpose. Presigning a batch ahead of the requests moves the nonces' cost (two fixed-base
// multiplications, about 20 µs) and the round trip out of the way together; a pool of bare nonces would save the former only,
// and add a place where secrets wait that no session binds. The pool of presignatures is the appliance's.
//
// Security: one-more unforgeability under static corruption of t-1 parties in the random oracle model (Bellare, Crites,
// Komlo, Maller, Tessaro, Zhu, CRYPTO 2022; for FROST3: Ruffing, Ronge, Jin, Schneider-Bensch, Schröder, CCS 2022). Nothing is
// claimed against adaptive corruption. Binding factors are what makes concurrent sessions safe (ROS attacks).
//
// To add a ciphersuite of RFC 9591, fill in an rfcScheme as ed25519.go does and run its vector as rfc9591_test.go does.
package frost
