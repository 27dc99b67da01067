// Package pkcs11 drives hardware security modules through their PKCS#11 library (OASIS PKCS#11 v2.40, Ed25519 as in v3.0).
//
// A token is selected by its label or serial number, never by a slot number, which changes. A key ID is the CKA_LABEL of an
// object; two objects of one class and label are an error, not a choice.
//
// What it promises:
//
//   - A PIN that was refused once is never tried again by this process, neither by this token nor by another Open.
//   - A lost session or device is reconnected once for an operation; then the operation fails with hsm.ErrUnavailable.
//   - Every signature is verified in Go before it is handed out, so a faulty module cannot leak a key through a wrong one.
//   - Calls into the library cannot be interrupted, but callers can: at the end of ctx the caller returns and the call runs out
//     in the background, still counted in the bound on sessions.
//   - All administration (finding, making and opening things) of a library stands behind one lock: SoftHSM, for one, breaks
//     objects otherwise. One token directory of SoftHSM belongs to one process.
//
// What it does not do: RSA, unauthenticated wrapping, PIN pads, change of PINs. The module runs in our address space.
package pkcs11
