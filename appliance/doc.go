// Package appliance is the node: it turns requests into ceremonies of the engine, under hardware and on record.
//
// Three straight lines run through it: keygen, sign and refresh. Each begins with an intent, which this node's hardware
// co-signs before anything is proposed; every other node checks that cosignature, and its own policy, before its first
// protocol message. A signature share leaves only after the audit log holds the act durably, the presignature is burnt and
// the node's hardware has attested what the share is for. A signature leaves only after it verified as an outsider would.
//
// Order that is never changed: burn before send, stage before acknowledge, audit before act.
//
// Concurrent requests for one quorum and scheme become one ceremony: one proposal, one cosignature over the Merkle root of
// the intents, one attestation per signer over the root of its shares, one durable write. After a crash every open session is
// gone; ceremonies are repeated, never resumed.
//
// The package knows no driver, no store and no network by name; it is given values.
package appliance
