// Package ceremony runs one protocol among parties of the roster, over a network that loses, repeats and reorders: it hands envelopes to
// the ceremony they belong to, drives the engine's sessions, repeats what was lost, waits for who is silent, hears refusals, and notes
// what can be told of peers. It knows no key, no token and no store.
//
// What a peer can make it hold is bounded, in bytes (budget.go) and in number (router.go), for each peer by itself. A ceremony never runs
// twice.
package ceremony
