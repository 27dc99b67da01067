// Package pkcs11 drives hardware security modules through their PKCS#11 library (OASIS PKCS#11 v2.40, Ed25519 as in v3.0).
//
// A token is selected by its label or serial number, never by a slot number, which changes. A key ID is the CKA_LABEL of an
// object; two objects of one class and label are an error, not a choice. Nothing is assumed of a token: mechanisms are read from its
// list, and every new key is tried before GenerateKey returns. SoftHSM, NSS softokn, the TPM 2.0 stack's library and p11-kit's
// remote pass the same suite; what a token lacks is hsm.ErrUnsupported.
//
// What it promises:
//
//   - A PIN that was refused once is never tried again by this process, neither by this token nor by another Open.
//   - A lost session or device is reconnected once for an operation, the library initialised anew if it must be; then the operation
//     fails with hsm.ErrUnavailable.
//   - Every signature is verified in Go before it is handed out, so a faulty module cannot leak a key through a wrong one.
//   - What is wrapped can neither be read nor made without the token, by whatever method the key wraps (wrap.go); it names its method,
//     and opens for ever. Where the token has no AES-GCM that works, it computes a value that it alone can, and AES-256-GCM under a key
//     from that value runs here (hybrid.go). A wrapping key pair signs nothing for callers.
//   - Evidence is the token's report: an attribute that it does not tell is missing, and counts as the worse.
//   - Calls into the library cannot be interrupted, but callers can: at the end of ctx the caller returns and the call runs out
//     in the background, still counted in the bound on sessions.
//   - All administration (finding, making and opening things) of a library stands behind one lock: SoftHSM, for one, breaks
//     objects otherwise. One token directory of SoftHSM belongs to one process.
//   - No more sessions are opened than the token allows; where others hold them, operations wait for one of ours.
//
// What it does not do: PIN pads, change of PINs, RSA of other lengths, key objects wrapped in key objects. The module runs in our address
// space, and a call that hangs in it holds its session, and a reconnection, until the process ends: the client of p11-kit 0.24 hangs so
// when two calls wait for a far end that dies. Package hsm/plugin gives a library a process of its own.
package pkcs11
