// Package tpm drives a TPM 2.0 (TCG TPM 2.0 Library, revision 1.59) through its command interface, without a daemon.
//
//	tpm:                                                        /dev/tpmrm0, the kernel's resource manager
//	tpm:device=%2Frun%2Fswtpm%2Fs?pcrs=sha256:0,2,7             a unix socket; what is wrapped is bound to PCRs
//	tpm:handle=0x81000001;object=attest?pin-source=cred:tpm     another parent, a default key, an authorization value
//
// # Where keys are
//
// A TPM has few places for persistent objects, seven in many chips, and names none of them. So a key is a child of the storage root
// key (0x81000001, made by the TCG's template if it is not there), and its encrypted blob, which only this TPM can load, lies with its
// name in an NV index of the owner: 0x0184D000 to 0x0184D07F, some 300 bytes a key. All is in the TPM; there is no file to lose. A key
// is loaded for one operation and flushed after it. A counter is such a record and an NV counter 0x100 above it.
//
// # What it promises
//
//   - A key is made in the TPM and bound to it: fixedTPM, fixedParent, sensitiveDataOrigin. AttestKey proves it.
//   - Wrap seals a fresh AES-256 key under the wrapping key, to the PCRs of the URI if it names any, and encrypts the secret with it
//     (AES-256-GCM). The key crosses the bus only in sessions that are salted and encrypt their parameters, so that a sniffer on the
//     bus learns nothing; one who answers in the TPM's place at the time keys are made is not kept out.
//   - An authorization value (pin-source) travels as an HMAC only. It is not tried where the TPM reports that another failure may lock
//     it (hsm.ErrLastPINTry), and one that was refused is never tried again by this process.
//     A loss of power after its use counts as a failure too (part 1, 19.8.6): so says the specification, not we.
//   - Operations are one at a time, in the order of their coming, and end with their context; then the connection is given up, and the
//     next operation opens another. Increment, GenerateKey and CreateCounter are never repeated by themselves.
//   - Every signature is verified in Go before it is handed out.
//
// # What it does not do
//
// Curves other than P-256, RSA, ECDAA; field upgrades; setting of owner or lockout authorization (tpm2_changeauth does). Keys are of
// 128-bit strength, as their parents are. PublicKey and Verify answer from what was read last.
package tpm
