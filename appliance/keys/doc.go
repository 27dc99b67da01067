// Package keys holds what a node has of its keys: a public record of each, a bounded number of key shares opened through the vault, the
// locks that keep two lines from changing one key at once, and the pair state of committees. It runs no protocol.
//
// A share is wiped when its epoch is over and nobody uses it any more. A record is durable before Put returns.
package keys
