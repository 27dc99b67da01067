// Package attest says what hardware vouched for, and lets anybody check it without a network.
//
// A node's security module signs three things: the intents of a batch before the cluster acts on them (KindCosign), the
// signature shares this node sends (KindShare), and the outcome (KindSettlement, KindKeygen). A module may take
// milliseconds for one operation, so one operation always covers many leaves: Attest signs the Merkle root of all of them
// (RFC 9162 §2.1) in one COSE_Sign1 (RFC 9052), and Batch.Proof gives each leaf the path that shows it was among them.
//
// A share's leaf is its Statement: which cluster, node, party, key, epoch, session, signers, message, presignature and
// intent the share is for. So a share that is genuine, but made for something else, is refused with the name of the field
// that does not fit. Statements do not travel: a ShareBatch carries shares and one signature, and the receiver derives
// every statement from what it expects.
//
// Who may attest stands in a Roster, signed by the operator's root key and pinned by its fingerprint. A Receipt holds all
// of it for one signature: VerifyReceipt re-checks the chain from the intent to the chain's own signature, with the
// roster alone. Its settlement covers every other field, so a receipt with one field changed is refused.
//
// What it does not do: it does not judge policy, keep state, remember what was attested before (replay is the session's
// and the presignature's business), or appraise the hardware itself; a roster says which keys the operator found to be in
// hardware at enrolment. It never imports the vault, the appliance or a scheme: verifiers elsewhere want it alone, and hand
// schemes in as a function.
//
// A new kind of attestation is a new Kind constant and a definition of its leaf; the kind is in the signature's external
// data, so no leaf of one kind passes as another.
package attest
