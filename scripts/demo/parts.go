package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/luxfi/mpcd/internal/parts/gcpkms"
	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
)

// hardware is what the nodes' keys are in.
type hardware struct {
	uri  string // for mpcd dev --hsm; "" for its own choice
	env  []string
	what string
	stop func()
}

// nodes of the demo; each may need a token of its own.
const nodes = 3

// startHardware starts the kind of token that was asked for.
func startHardware(kind, dir string) (hardware, error) {
	h := hardware{uri: kind, stop: func() {}}
	switch kind {
	case "softhsm":
		h.what = "SoftHSM through PKCS#11, a token for each node, its library in a process of its own"
	case "tpm":
		h.what = "TPM 2.0 (swtpm), one for each node"
		var tpms []*swtpm.TPM
		h.stop = func() {
			for _, t := range tpms {
				_ = t.Stop()
			}
		}
		for i := range nodes {
			d := filepath.Join(dir, fmt.Sprintf("node%d", i+1))
			if err := os.Mkdir(d, 0o700); err != nil {
				return h, err
			}
			t, err := swtpm.Start(d)
			if err != nil {
				return h, err
			}
			tpms = append(tpms, t)
		}
		h.uri = "tpm:device=" + escape(filepath.Join(dir, "%n", filepath.Base(tpms[0].Path())))
	case "aws":
		s, err := moto.Start()
		if err != nil {
			return h, err
		}
		h.what, h.env, h.stop = "AWS KMS (moto's server, spoken to by Amazon's SDK), one account for all nodes", s.Environment(), s.Stop
		h.uri = "awskms:region=" + s.Region() + "?endpoint=" + s.URL
	case "gcp":
		s, err := gcpkms.Start("127.0.0.1:0")
		if err != nil {
			return h, err
		}
		h.what = "Google Cloud KMS (a server of our own on Google's service definition: no emulator can be had), one key ring for all nodes"
		h.stop = s.Stop
		h.uri = s.URI()
	default:
		return h, fmt.Errorf("HSM=%s is unknown: softhsm, tpm, aws, gcp", kind)
	}
	return h, nil
}

// escape writes a path as a value in a URI, where % stands for itself only before the n of %n.
func escape(path string) string {
	out := ""
	for _, c := range path {
		if c == '/' {
			out += "%2F"
		} else {
			out += string(c)
		}
	}
	return out
}
