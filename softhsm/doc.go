// Package softhsm makes SoftHSM tokens: for tests (New), and for development clusters and pilots (Provision).
//
// SoftHSM keeps keys in files and guards them with a PIN. It speaks the language of an HSM and has the safety of a file: every
// token of it says SoftwareOnly. PINs never stand on a command line here; `softhsm2-util --pin` would show them in ps.
//
// The library reads SOFTHSM2_CONF once, when the first token of a process is opened, and must not share a token directory with
// another process: two at once break objects.
package softhsm
