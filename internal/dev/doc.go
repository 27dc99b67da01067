// Package dev is a cluster for development: real node processes on this machine, each with a token of its own, made by a plan of package
// enrol and reached through their API as any client would.
//
// It promises that the processes end with this one, however it ends, and that a cluster without a directory of its own leaves nothing
// behind. Plain HTTP on loopback and no tokens for the API: it is never for anything of value.
package dev
