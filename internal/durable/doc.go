// Package durable writes files that survive power loss.
//
// WriteFile replaces a small file as a whole: after a crash it is the old one or the new one. Log is an append-only file of
// records; Append returns when the record is on the disk, and many appenders share one fsync. Counter remembers the highest
// number it was given. Group is the group commit beneath them, for other stores to use.
//
// Every promise ends at the disk: fsync is believed. After a failed write or fsync nothing is known of what reached the
// disk (the lesson of fsyncgate). A Log then cuts off what may have been left behind its acknowledged end, and syncs that, before it
// writes on: so it heals when a full disk has space again. A Counter writes the
// same slot again. Held tells when a path leads elsewhere than to what was opened there.
//
// What the package does not do: it neither encrypts nor authenticates. Checksums find accidents, not attackers; whoever needs
// the latter chains and signs the records.
package durable
