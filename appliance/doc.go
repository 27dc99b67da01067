// Package appliance is the node: it turns requests into ceremonies of the engine, under hardware and on record.
//
// Four straight lines run through it: keygen, sign, refresh and presign. Each begins with an intent, which passes this node's gate
// (judgement, policy, memory of request IDs, audit log) and is co-signed by its hardware before anything is proposed; every other node
// checks that cosignature and lets the intent pass its own gate before its first message of the protocol. A signature share leaves only
// after the audit log holds the act durably, the presignature is burnt and the node's hardware has attested what the share is for. A
// signature leaves only after it verified as an outsider would.
//
// Order that is never changed: burn before send, stage before acknowledge, audit before act.
//
// Concurrent requests for one quorum and scheme become one ceremony: one proposal, one cosignature over the Merkle root of
// the intents, one attestation per signer over the root of its shares, one durable write. After a crash every open session is
// gone; ceremonies are repeated, never resumed.
//
// The package knows no driver, no store and no network by name; it is given values. Its rooms are packages of their own: problem, ceremony,
// keys, presign, policy, audit, operation; none of them, and no line, holds the node. ARCHITECTURE.md, "Inside the node", draws it.
package appliance
