package benchmarks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/awskms"
	"github.com/luxfi/mpcd/hsm/gcpkms"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/hsm/plugin"
	"github.com/luxfi/mpcd/hsm/tpm"
	gcpserver "github.com/luxfi/mpcd/internal/parts/gcpkms"
	"github.com/luxfi/mpcd/internal/parts/moto"
	"github.com/luxfi/mpcd/internal/parts/nss"
	"github.com/luxfi/mpcd/internal/parts/p11kit"
	"github.com/luxfi/mpcd/internal/parts/swtpm"
	"github.com/luxfi/mpcd/internal/parts/tpm2pkcs11"
	"github.com/luxfi/mpcd/softhsm"
)

// startFunc starts what a provider stands on, in an empty directory, and opens its token. stop, where there is one, ends it.
type startFunc func(ctx context.Context, dir, program string) (t hsm.Token, stop func(), err error)

// provider is one way to have a token.
type provider struct {
	name  string
	note  string
	start startFunc
}

// providers are all that run here. PKCS#11 libraries are loaded by a driver process of the program, as a node has them, unless the name
// says otherwise.
var providers = []provider{
	{"SoftHSM", "PKCS#11 in a driver process", startSoftHSM},
	{"SoftHSM, direct", "the library in this process; no node has it so", startSoftHSMDirect},
	{"NSS softokn", "PKCS#11 in a driver process", startNSS},
	{"tpm2-pkcs11", "PKCS#11 in a driver process, resource manager, emulated TPM", startTPM2PKCS11},
	{"p11-kit remote", "PKCS#11 in a driver process, SoftHSM behind a socket", startP11Kit},
	{"TPM (swtpm)", "an emulated TPM, no network and no bus: a chip is slower by a factor of ten and more", startTPM},
	{"AWS KMS (moto)", "an emulator in Python on this machine: its speed says nothing of AWS", startMoto},
	{"Google Cloud KMS (own server)", "a server of ours in this process: its speed says nothing of Google", startGCP},
}

// driverProcess opens a URI as a node does, with the program's own driver process.
func driverProcess(ctx context.Context, program, uri string, env, paths []string) (hsm.Token, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	u, err := hsm.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	return plugin.Driver(plugin.Config{Command: []string{program, "hsm-plugin"}, Env: env,
		Sandbox: plugin.Sandbox{Read: paths, Write: paths}})(ctx, u, hsm.Options{})
}

// newSoftHSM makes a SoftHSM token in dir with the program, in a process that ends: this one never loads two configurations.
func newSoftHSM(ctx context.Context, dir, program string) (uri, conf string, err error) {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, "hsm", "init", "--softhsm", dir, "--label", filepath.Base(dir), "-o", "json")
	cmd.Stderr = &errs
	b, err := cmd.Output()
	if err != nil {
		return "", "", fmt.Errorf("%s hsm init: %w: %s", program, err, errs.Bytes())
	}
	var v struct {
		URI  string `json:"uri"`
		Conf string `json:"softhsm_conf"`
	}
	return v.URI, v.Conf, errors.Join(json.Unmarshal(b, &v), ctx.Err())
}

func startSoftHSM(ctx context.Context, dir, program string) (hsm.Token, func(), error) {
	uri, conf, err := newSoftHSM(ctx, dir, program)
	if err != nil {
		return nil, nil, err
	}
	t, err := driverProcess(ctx, program, uri, []string{"SOFTHSM2_CONF=" + conf}, nil)
	return t, nil, err
}

func startSoftHSMDirect(ctx context.Context, dir, program string) (hsm.Token, func(), error) {
	uri, conf, err := newSoftHSM(ctx, dir, program)
	if err != nil {
		return nil, nil, err
	}
	restore := setEnv([]string{"SOFTHSM2_CONF=" + conf})
	u, err := hsm.ParseURI(uri)
	if err != nil {
		return nil, restore, err
	}
	t, err := pkcs11.Open(ctx, u, hsm.Options{})
	return t, restore, err
}

func startNSS(ctx context.Context, dir, program string) (hsm.Token, func(), error) {
	n, err := nss.Start(dir)
	if err != nil {
		return nil, nil, err
	}
	t, err := driverProcess(ctx, program, n.URI, nil, []string{dir})
	return t, n.Stop, err
}

func startTPM2PKCS11(ctx context.Context, dir, program string) (hsm.Token, func(), error) {
	s, err := tpm2pkcs11.Start(dir)
	if err != nil {
		return nil, nil, err
	}
	pin := filepath.Join(dir, "pin")
	if err := os.WriteFile(pin, []byte("12345678"), 0o600); err != nil {
		return nil, s.Stop, err
	}
	uri, err := s.AddToken("bench", pin)
	if err != nil {
		return nil, s.Stop, err
	}
	t, err := driverProcess(ctx, program, uri, s.Env, []string{dir})
	return t, s.Stop, err
}

func startP11Kit(ctx context.Context, dir, program string) (hsm.Token, func(), error) {
	uri, conf, err := newSoftHSM(ctx, dir, program)
	if err != nil {
		return nil, nil, err
	}
	behind, err := softhsm.Find()
	if err != nil {
		return nil, nil, err
	}
	client, err := p11kit.Find()
	if err != nil {
		return nil, nil, err
	}
	s, err := p11kit.Start(dir, behind, filepath.Base(dir), []string{"SOFTHSM2_CONF=" + conf})
	if err != nil {
		return nil, nil, err
	}
	u, err := hsm.ParseURI(uri)
	if err == nil {
		u, err = u.With("module-path", client)
	}
	if err != nil {
		return nil, s.Stop, err
	}
	t, err := driverProcess(ctx, program, u.String(), s.Env, []string{dir})
	return t, s.Stop, err
}

func startTPM(ctx context.Context, dir, _ string) (hsm.Token, func(), error) {
	s, err := swtpm.Start(dir)
	if err != nil {
		return nil, nil, err
	}
	stop := func() { _ = s.Stop() }
	u, err := hsm.ParseURI(s.URI())
	if err != nil {
		return nil, stop, err
	}
	t, err := tpm.Open(ctx, u, hsm.Options{})
	return t, stop, err
}

func startMoto(ctx context.Context, _, _ string) (hsm.Token, func(), error) {
	s, err := moto.Start()
	if err != nil {
		return nil, nil, err
	}
	restore := setEnv(s.Environment())
	stop := func() { restore(); s.Stop() }
	u, err := hsm.ParseURI("awskms:region=" + s.Region() + "?endpoint=" + s.URL)
	if err != nil {
		return nil, stop, err
	}
	t, err := awskms.Open(ctx, u, hsm.Options{})
	return t, stop, err
}

func startGCP(ctx context.Context, _, _ string) (hsm.Token, func(), error) {
	s, err := gcpserver.Start("127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	u, err := hsm.ParseURI(s.URI())
	if err != nil {
		return nil, s.Stop, err
	}
	t, err := gcpkms.Open(ctx, u, hsm.Options{})
	return t, s.Stop, err
}

// setEnv sets variables of this process, and returns what sets them back.
func setEnv(entries []string) func() {
	var before []func()
	for _, e := range entries {
		name, value, _ := strings.Cut(e, "=")
		if old, had := os.LookupEnv(name); had {
			before = append(before, func() { _ = os.Setenv(name, old) })
		} else {
			before = append(before, func() { _ = os.Unsetenv(name) })
		}
		_ = os.Setenv(name, value)
	}
	return func() {
		for _, f := range before {
			f()
		}
	}
}
