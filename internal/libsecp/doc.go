// Package libsecp asks Bitcoin Core's libsecp256k1 about signatures. It is a judge for tests that shares no code with us nor with
// the Go libraries; only tests import it. It needs Linux, cgo and Debian's libsecp256k1-dev, which scripts/setup.sh installs.
package libsecp
