// Package vaulttest has what tests of the vault and of its stores need: a Store in memory that fails on cue, a KeyWrapper and a
// counter in software, and RunStore, the suite that every Store passes.
package vaulttest
