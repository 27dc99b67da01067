// Package appraise judges what a security module shows of a key: it is the verifier of RFC 9334.
//
// A node enrols with evidence for its keys (hsm.KeyEvidence). Appraise reads it by a Policy and gives a Verdict, whose Level is one of
//
//   - proven: hardware signed that it made the key and keeps it, and the signature leads to a root that the caller trusts;
//   - reported: the driver or the service says so, over a channel that the node trusts, and nobody signed it;
//   - software: the token says of itself that no hardware guards its keys;
//   - none: there is no evidence;
//   - refused: the policy wants more, or the evidence is broken.
//
// What is proven and what is only reported are different types, Proven and Reported, and are never mixed. A report can make a verdict
// worse, never better: a token that calls itself software is believed. What is broken (a changed byte, another key, another nonce,
// parts that contradict one another) is refused under every policy.
//
// A TPM's statement is proven only if its endorsement certificate chains to a root of the policy, and the attestation key that signed it is
// known to be in the TPM of that certificate. The evidence cannot show the latter by itself, so that the TPM has to answer a challenge
// (TPM 2.0 part 1, 24, "Credential Protection"): Expected and Binding. Until then nothing of the statement is proven.
//
// The package needs no token, network or driver. It knows the drivers' reports by their documented fields; a test runs the drivers and
// appraises what they show. To add a format, write a method of judge that fills in a claim, and name it in judge.read.
//
// What it does not do: it does not read the statements of Google's HSMs, whose format is their manufacturer's; a signature on them that
// leads to a trusted root proves that an HSM made a statement, not what it says. It does not ask for revocation lists.
package appraise
