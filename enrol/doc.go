// Package enrol is the operator's side of a cluster: who is a member, and how a node becomes one.
//
// A [Node] is prepared on its host and tells its public keys, signed by its identity, with what its token shows for them: an [Enrolment].
// The operator judges the evidence ([Judge]), for a TPM with a [Challenge] that only this TPM can answer ([Authority.Challenge],
// [Respond]). An [Authority], which belongs on a machine that runs no node, then signs the roster and issues the certificates
// ([Authority.Admit]): nodes keep their parties, parties are never given twice, and serials go up. What was judged is kept, and can be
// judged again. A [Plan] does all of it for a cluster whose nodes are made in one place.
//
// It promises that nobody enters a roster but by an enrolment that its own identity signed, and that evidence for another node, key or
// enrolment is refused always. It does not judge whether a level of evidence suffices: that is the policy's (attest/appraise). It holds
// no share of any key and opens no vault but that of the node it prepares.
package enrol
