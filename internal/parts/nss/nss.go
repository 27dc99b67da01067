// Package nss makes token databases for NSS softokn, Mozilla's software module (Debian: libnss3, libnss3-tools), for tests and
// benchmarks: a PKCS#11 implementation that shares no code with SoftHSM, and makes other mistakes.
//
// It runs in the process that opens it, and is configured by an argument of C_Initialize, which the URI carries (init-args). A process
// has one database open at a time. It guards nothing.
package nss

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/luxfi/mpcd/hsm"
)

// label is what the token of every database is called.
const label = "mpcd-nss"

var places = []string{
	"/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
	"/usr/lib/aarch64-linux-gnu/libsoftokn3.so", "/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so", "/usr/lib64/libsoftokn3.so",
}

// Token is a database in a directory.
type Token struct {
	// URI opens it, with the driver pkcs11.
	URI string
}

// Find returns the path of the library. ErrUnavailable if there is none.
func Find() (string, error) {
	for _, path := range places {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("nss: %w: no libsoftokn3.so; apt-get install libnss3 libnss3-tools", hsm.ErrUnavailable)
}

// Start makes a database in dir, which exists and belongs to the caller, with a random PIN in dir/pin. Nothing runs afterwards.
func Start(dir string) (*Token, error) {
	module, err := Find()
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(dir, `'"\`) {
		return nil, errors.New("nss: the directory has a quotation mark in its name")
	}
	pin := filepath.Join(dir, "pin")
	if err := writeNew(pin, rand.Text()+"\n"); err != nil {
		return nil, fmt.Errorf("nss: %w", err)
	}
	var said bytes.Buffer
	cmd := exec.Command("certutil", "-N", "-d", "sql:"+dir, "-f", pin)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("nss: certutil: %w: %s", err, said.String())
	}
	u, err := hsm.ParseURI("pkcs11")
	for _, attr := range [][2]string{{"token", label}, {"module-path", module}, {"pin-source", "file:" + pin},
		{"init-args", fmt.Sprintf("configdir='sql:%s' certPrefix='' keyPrefix='' secmod='' dbTokenDescription='%s' flags=", dir, label)}} {
		if err == nil {
			u, err = u.With(attr[0], attr[1])
		}
	}
	if err != nil {
		return nil, err
	}
	return &Token{URI: u.String()}, nil
}

// writeNew writes a file that is not there yet: the PIN of a database must not be lost.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Stop does nothing: the database is the directory.
func (*Token) Stop() {}
