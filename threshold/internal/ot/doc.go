// Package ot is the pairwise layer of DKLs23: two parties who meet once to set up, and from then on multiply secrets by oblivious transfer.
package ot
