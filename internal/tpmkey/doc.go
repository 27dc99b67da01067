// Package tpmkey reads the public areas of TPM 2.0 keys and knows the one template of our signing keys.
//
// The driver that makes keys in a TPM (hsm/tpm) and the appraiser that judges what a TPM shows of them (attest/appraise) must mean
// the same by a public area and by a template, and neither may import the other. The parts and sections named in comments are those
// of the TCG's TPM 2.0 Library.
//
// It promises that a public area it read is the only encoding of itself. It judges no attributes, no names and no certificates, and
// talks to no TPM.
package tpmkey
