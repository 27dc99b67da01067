// Package hsmtest holds drivers to the contract of package hsm: Run is the suite that every driver passes, and Faulty is a token
// that fails on cue, for the tests of those who use one.
package hsmtest
