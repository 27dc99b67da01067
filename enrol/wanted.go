package enrol

import (
	"github.com/luxfi/mpcd/attest/appraise"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// Wanted is what must be known of a node's keys, in an operator's words.
type Wanted struct {
	Evidence    string // hardware, proof or any
	TPMRoots    string // file with the certificates of makers of TPMs, PEM; "" for none
	GoogleRoots string // the same for Google's Cloud HSM
	Emulators   bool   // let a TPM that is an emulator prove its keys, for tests
}

// rootsMax is the largest file of makers' certificates that is read, in bytes.
const rootsMax = 8 << 20

// Policy reads the files, and refuses what could never be satisfied.
func (w Wanted) Policy() (appraise.Policy, error) {
	p, err := appraise.Named(w.Evidence)
	if err != nil {
		return p, fault.Usage("use --evidence hardware, proof or any", "%w", err)
	}
	p.Software = p.Software || w.Emulators
	for _, x := range []struct {
		path string
		into **appraise.Roots
	}{{w.TPMRoots, &p.TPM}, {w.GoogleRoots, &p.Google}} {
		if x.path == "" {
			continue
		}
		b, err := durable.ReadFile(x.path, rootsMax)
		if err != nil {
			return p, err
		}
		if *x.into, err = appraise.ParseRoots(b); err != nil {
			return p, fault.Doing(x.path, fault.Usage("give certificates in PEM, at least one self-signed", "%w", err))
		}
	}
	if p.Least == appraise.Proven && p.TPM == nil {
		return p, fault.Usage("give --tpm-roots FILE, the certificates of the makers of your TPMs",
			"--evidence proof without roots: nothing could be proven")
	}
	return p, nil
}
