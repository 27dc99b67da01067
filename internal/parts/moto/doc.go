// Package moto starts moto (https://docs.getmoto.org), an AWS emulator in Python that none of us wrote, for the tests of hsm/awskms,
// the demo and the benchmarks. scripts/setup.sh installs it into bin/moto from pinned files.
//
// It keeps keys in memory, in the clear, and lets everybody in: it guards nothing. Every region is a KMS of its own.
//
// Moto's KMS departs from AWS where it would hide mistakes of a driver; serve.py, run in moto's place, corrects just that:
//
//   - Sign ignores MessageType: a DIGEST would be hashed again, and a RAW message may have any length.
//   - RSASSA-PSS takes the longest salt instead of one as long as the digest.
//   - Decrypt answers AccessDeniedException for a foreign or damaged ciphertext; with a KeyId, AWS says IncorrectKeyException or
//     InvalidCiphertextException.
//   - Disabled keys and keys that await deletion go on working.
//
// What it does not have at all: Ed25519 and ML-DSA keys, pages in ListAliases, quotas and throttling.
package moto
