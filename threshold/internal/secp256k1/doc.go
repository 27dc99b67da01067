// Package secp256k1 is the arithmetic of the curve y² = x³ + 7 over GF(2²⁵⁶ - 2³² - 977) (SEC 2, section 2.4.1): its field, its
// scalars and its group of prime order n, with methods in the manner of filippo.io/edwards25519.
//
// What it promises. Every operation whose name does not begin with VarTime runs in constant time: no branch and no memory address
// depends on a value, only on lengths and on whether a decoding failed; a test holds the source to it, and the amd64 assembly of Go 1.26
// was read for it. Group operations use the complete formulas of Renes,
// Costello and Batina (ePrint 2015/1060, algorithms 7 to 9), so doubling, the identity and inverse points are ordinary cases.
// Receivers and arguments may alias. A decoder accepts exactly one encoding of each value and leaves its receiver alone on failure.
//
// What it does not do. It hides nothing from power or fault attacks, it does not lock or place memory (see internal/secret), and it
// cannot stop the Go runtime from copying a scalar to another stack; owners of secrets wipe what they hold. VarTime methods are for
// public values only: verification, Feldman checks, combination.
//
// To extend it, add the operation in constant time first, a test against an independent implementation second, and a known answer
// to SelfTest third; every node runs SelfTest before it touches a key.
package secp256k1
