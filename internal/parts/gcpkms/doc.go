// Package gcpkms is a Google Cloud KMS for tests, the demo and benchmarks: a server of our own, built on the official service
// definition (google.cloud.kms.v1, kmspb.KeyManagementServiceServer). It is not Google's, and not an emulator that somebody else
// wrote: none can be had. What it shows is that the driver speaks the protocol to the letter of Google's definition; that the
// real service agrees with the letter, only the real service shows.
//
// It is a gRPC listener on loopback or a unix socket, without TLS and without credentials, whose keys lie in the memory of this
// process and die with it. The cryptography is real. It enforces what the definition says: the syntax of names, purposes, states
// of versions, protection levels, sizes and every CRC32C. A protection level of HSM is a word here, there is no hardware behind
// it; the attestation statements it makes have Google's shape and chain to a root that says so and that nobody trusts.
//
// Inject makes it fail on cue.
package gcpkms
