package main

import (
	"encoding/pem"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// scriptTPM starts a TPM; it is stopped at the script's end.
func scriptTPM(ts *testscript.TestScript, _ bool, args []string) {
	dir, err := os.MkdirTemp("", "tpm") // the script's own directory is too long for a socket's path
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(dir) })
	tpm, err := swtpm.StartNew(dir)
	ts.Check(err)
	ts.Defer(func() { _ = tpm.Stop() })
	ts.Setenv(args[0], tpm.URI())
	cas, err := swtpm.CA()
	ts.Check(err)
	var text []byte
	for _, c := range cas {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o600))
}
