// Package address writes a public key the way each chain's users read it.
//
// It is a table: one line for each chain and kind of key that the chain takes, with the function that encodes it. For asks the
// table for every address of one key; the first line of a family gives the primary address.
//
// It promises the standard main-network form and nothing else: no test networks, no staking parts, no scripts. The addresses
// are derived from the group key alone, so a refresh never changes them. To add a chain, add a line to the table, a function of
// a few lines beside it, and a vector that somebody else published.
package address
