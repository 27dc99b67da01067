package swtpm

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// The files of a certificate authority, and of a TPM's state.
const (
	caDir     = "ca"
	stateFile = "tpm2-00.permall"
)

// template is a TPM as it leaves the factory, with the authority that certified it; made once in a process, kept in memory.
type template struct {
	state []byte
	ca    map[string][]byte // by file name
}

var factory = sync.OnceValues(func() (*template, error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("swtpm-%d-", os.Getpid()))
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := manufacture(dir); err != nil {
		return nil, err
	}
	t := &template{ca: map[string][]byte{}}
	if t.state, err = os.ReadFile(filepath.Join(dir, stateFile)); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(filepath.Join(dir, caDir))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if t.ca[n.Name()], err = os.ReadFile(filepath.Join(dir, caDir, n.Name())); err != nil {
			return nil, err
		}
	}
	return t, nil
})

// manufacture makes a TPM's state in dir, with endorsement keys (RSA 2048, P-384) and certificates of the authority in dir/ca, which
// is made if it is not there.
func manufacture(dir string) error {
	ca := filepath.Join(dir, caDir)
	if err := os.MkdirAll(ca, 0o700); err != nil {
		return err
	}
	tool, err := exec.LookPath("swtpm_localca")
	if err != nil {
		return fmt.Errorf("swtpm: %w; apt-get install swtpm-tools", err)
	}
	caConf, options, conf := filepath.Join(ca, "localca.conf"), filepath.Join(ca, "localca.options"), filepath.Join(ca, "setup.conf")
	for path, text := range map[string]string{
		caConf: fmt.Sprintf("statedir = %s\nsigningkey = %s/signkey.pem\nissuercert = %s/issuercert.pem\ncertserial = %s/certserial\n",
			ca, ca, ca, ca),
		options: "--platform-manufacturer mpcd\n--platform-version 1\n--platform-model test\n",
		conf: fmt.Sprintf("create_certs_tool = %s\ncreate_certs_tool_config = %s\ncreate_certs_tool_options = %s\nactive_pcr_banks = sha256\n",
			tool, caConf, options),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	out, err := exec.Command("swtpm_setup", "--tpm2", "--tpmstate", dir, "--createek", "--create-ek-cert", "--lock-nvram", "--config",
		conf).CombinedOutput()
	if err != nil {
		return fmt.Errorf("swtpm: swtpm_setup: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// CA returns the certificates that the endorsement certificates of all TPMs of this process chain to, root first.
func CA() ([]*x509.Certificate, error) {
	t, err := factory()
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, name := range []string{"swtpm-localca-rootca-cert.pem", "issuercert.pem"} {
		block, _ := pem.Decode(t.ca[name])
		if block == nil {
			return nil, fmt.Errorf("swtpm: %s of the certificate authority is not there", name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, cert)
	}
	return all, nil
}
