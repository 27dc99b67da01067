// Package swtpm starts TPM 2.0 emulators (swtpm, libtpms), one process each, for tests, benchmarks and the demo.
//
// A TPM lives in a directory that the caller owns and removes: its state, and two unix sockets. It has an endorsement key with a
// certificate of a certificate authority that this process made (CA), so that evidence can be verified to a root. It dies with the
// process that started it.
//
// swtpm serves one client at a time: what talks to it while another connection is open waits until that one is closed. Its unique
// value is that it stops, hangs, loses power and is cleared when told to. It guards nothing.
//
// It needs the Debian packages swtpm and swtpm-tools.
package swtpm
