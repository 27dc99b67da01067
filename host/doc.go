// Package host makes a node from a configuration.
//
// It is the only place that names the drivers, the store and the network of a node. Whoever starts one, the program, a cluster for tests,
// a benchmark, starts it here, so that what is tested is what ships.
//
// [Settings] is the manual: every key with its flag, its variables, its default and its meaning. [Values] are gathered from defaults, file,
// environment and flags, in this order, and know where each came from and what its paths are relative to; [Parse] makes a [Config] of
// them, which is a value and opens nothing.
//
// What a node has is opened in this order, each by what was opened before it: [Lock] the data directory, [OpenTokens], [Tokens.OpenDisk]
// (the store's key, the store, the vault). [Open] does all of it and the rest of the boot, and returns a [Host] that is ready to run:
// whatever fails ends the boot with its reason, before the node has spoken to anybody. [Prepare] makes what a new node needs before it
// can be enrolled. [Rewrap], [Recover] and [Reanchor] move the vault of a node that does not run, and may be cut short at any moment.
// A [Checkup] looks at everything and changes nothing.
//
// Errors say what to do where the code here knows it (package fault); what the errors of other packages mean to a keeper, the program
// tells.
//
// It does not decide who is a member (package enrol) and prints nothing. Options are for what a configuration cannot say: the release, the
// logger, and what tests put in the place of clock, randomness, drivers and network.
package host
