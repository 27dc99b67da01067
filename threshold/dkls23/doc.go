// Package dkls23 is threshold ECDSA on secp256k1 by oblivious transfer, after Doerner, Kondi, Lee and shelat ("Threshold ECDSA in
// Three Rounds", ePrint 2023/765).
package dkls23
