// Package dkg is the one distributed key generation of mpcd, for every curve, and the refresh that lives beside it.
//
// After OPEN it has three rounds, all broadcast and echoed (PROTOCOLS B.3):
//
//	D1  commitment to everything of D2, and an ephemeral encryption key
//	D2  opening: Feldman commitments, proof of possession of the constant term, chain code share, and for every party its
//	    share, encrypted under a pad from ECDH (as EncPedPop of ChillDKG does)
//	D3  digest of the resulting key, and complaints
//
// Committing first keeps a rushing party from choosing its contribution last (rogue key, biased key). The proof of possession
// is bound to session and party, so it cannot be replayed (CVE-2022-47930). Because the encrypted shares are public, a wrong
// one is judged by everybody: the receiver's complaint reveals the ECDH point with a proof of equal discrete logarithms
// (Chaum and Pedersen, CRYPTO '92), and either the dealer or the complainer is proven guilty. VerifyEvidence repeats every
// judgement for third parties, by the same code; the accused party's own session ID and echo bind what it is judged by.
//
// A result is not yet a key to use: the appliance stores the share durably, exchanges signed success certificates over the
// key's digest, proves the threshold, and only then calls it active.
//
// Refresh (PROTOCOLS B.4) is the same with polynomials whose constant term is zero and is not sent: D2 carries t-1
// commitments. The group key, chain code and purpose stay; every share changes; the epoch is one more.
//
// Security: Feldman-based DKG with proofs of possession, as PedPop in "Provably Secure FROST" (Chu, Gerhart, Ruffing,
// Schröder, CRYPTO 2023) and Komlo and Goldberg (SAC 2020), secure against static corruption of t-1 parties with abort.
package dkg
