package swtpm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-tpm/tpm2"
)

func start(t *testing.T) *TPM {
	t.Helper()
	tpm, err := Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tpm.Stop() })
	return tpm
}

// primary is the public key that the storage seed gives.
func primary(t *testing.T, tpm *TPM) []byte {
	t.Helper()
	var public []byte
	err := tpm.Do(func(c Conn) error {
		r, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(c)
		if err != nil {
			return err
		}
		public = r.OutPublic.Bytes()
		_, err = tpm2.FlushContext{FlushHandle: r.ObjectHandle}.Execute(c)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// Goal: a restarted TPM is the same one, a cleared one and another one are not. Method: compare the key its storage seed gives.
func TestSeeds(t *testing.T) {
	a, b := start(t), start(t)
	before := primary(t, a)
	if bytes.Equal(before, primary(t, b)) {
		t.Error("two TPMs have one seed")
	}
	if err := a.Restart(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, primary(t, a)) {
		t.Error("a restart changed the seed")
	}
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := a.Restart(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, primary(t, a)) {
		t.Error("a loss of power changed the seed")
	}
	if err := a.Clear(); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(before, primary(t, a)) {
		t.Error("the seed outlived TPM2_Clear")
	}
}

// Goal: a TPM that was stopped in order counts no failed authorization, so restarts never lock it. Method: read the counter.
func TestOrderlyStop(t *testing.T) {
	a := start(t)
	for range 5 {
		if err := a.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	err := a.Do(func(c Conn) error {
		r, err := tpm2.GetCapability{Capability: tpm2.TPMCapTPMProperties, Property: uint32(tpm2.TPMPTLockoutCounter),
			PropertyCount: 1}.Execute(c)
		if err != nil {
			return err
		}
		p, err := r.CapabilityData.Data.TPMProperties()
		if err == nil && p.TPMProperty[0].Value != 0 {
			t.Errorf("%d failed authorizations", p.TPMProperty[0].Value)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Goal: making the template leaves no file behind, and the authority is the process's own. Method: look for it.
func TestAuthority(t *testing.T) {
	cas, err := CA()
	if err != nil {
		t.Fatal(err)
	}
	if len(cas) != 2 || cas[1].CheckSignatureFrom(cas[0]) != nil {
		t.Errorf("no chain: %d certificates", len(cas))
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), fmt.Sprintf("swtpm-%d-*", os.Getpid())))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Goal: a path that unix sockets cannot have is named. Method: a deep directory.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", pathMax))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(dir); err == nil || !strings.Contains(err.Error(), "shorter directory") {
		t.Errorf("got %v", err)
	}
}

// Goal: the emulator dies with a starter that is killed. Method: the test binary starts itself, as a starter, and kills it.
func TestDiesWithItsStarter(t *testing.T) {
	if dir := os.Getenv("SWTPM_STARTER"); dir != "" {
		tpm, err := Start(dir)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("started in", tpm.dir)
		select {}
	}
	dir := t.TempDir()
	starter := exec.Command(os.Args[0], "-test.run=TestDiesWithItsStarter$")
	starter.Env = append(os.Environ(), "SWTPM_STARTER="+dir)
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	_ = starter.Process.Kill()
	_ = starter.Wait()
	// The state is locked by a running swtpm, so another one only starts when the first is gone.
	again := &TPM{dir: dir}
	for again.start() != nil {
		if t.Context().Err() != nil {
			t.Fatal("it runs on")
		}
	}
	_ = again.Stop()
}
