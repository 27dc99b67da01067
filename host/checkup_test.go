package host

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/vault"
)

// found is what a checkup found by a check.
func found(t *testing.T, d *Checkup, check string) error {
	t.Helper()
	all := d.Run(t.Context())
	for _, f := range all {
		if f.Check == check {
			return f.Err
		}
	}
	t.Fatalf("the checkup says nothing of %s: %+v", check, all)
	return nil
}

// sealToOld leaves the store's key as a rewrap does that was cut short before its end: for the token, and to another officer.
func sealToOld(ctx context.Context, c Config, recipient string) error {
	return withTokens(ctx, c, func(tok *Tokens) error {
		key, err := tok.StoreKey(ctx)
		if err != nil {
			return err
		}
		defer key.Wipe()
		slot, err := tok.slot()
		if err != nil {
			return err
		}
		return c.keyFile().write(ctx, key, []string{recipient}, slot)
	})
}

// Goal: a drill that passes means that recovery works: who can open the vault can open the store. Method: a move to another officer is
// cut short before the store's key is sealed to him, as a kill does or somebody with the disk; the drill must fail, with and without
// his identity, until the node was started, and recovery must work then.
func TestDrillIsHonest(t *testing.T) {
	ctx := t.Context()
	old, next := newOfficer(t), newOfficer(t)
	c := testNode(t, "n1")
	c.HSM.Recovery = []string{old.recipient}
	prepare(t, c)
	if _, err := Rewrap(ctx, c, Options{}, Target{Recovery: []string{next.recipient}}, silent); codeOf(err) != fault.CodeUsage {
		t.Errorf("an officer was removed and the key that his copies open with was kept: %v", err)
	}
	if _, err := Rewrap(ctx, c, Options{}, Target{Recovery: []string{old.recipient, next.recipient}},
		silent); err != nil { // to add one is fine
		t.Fatal(err)
	}
	if _, err := Rewrap(ctx, c, Options{}, Target{Key: "vault2", Recovery: []string{next.recipient}}, silent); err != nil {
		t.Fatal(err)
	}
	c.HSM.KEK = "vault2"
	if err := sealToOld(ctx, c, old.recipient); err != nil {
		t.Fatal(err)
	}
	c.HSM.Recovery = []string{next.recipient}
	drill := func() error {
		d := &Checkup{Config: c, Identities: []age.Identity{next.identity}}
		if err := found(t, d, "recovery"); err != nil {
			t.Errorf("the vault: %v", err)
		}
		return found(t, d, "store's recovery")
	}
	if err := drill(); codeOf(err) != fault.CodeHSM {
		t.Errorf("nobody could open the store: %v", err)
	}
	if err := withTokens(ctx, c, func(tok *Tokens) error { // as a start does
		disk, err := tok.OpenDisk(ctx, true)
		if err != nil {
			return err
		}
		return disk.Close()
	}); err != nil {
		t.Fatal(err)
	}
	if err := drill(); err != nil {
		t.Errorf("after a start: %v", err)
	}
	if err := found(t, &Checkup{Config: c}, "store's recovery"); err != nil {
		t.Errorf("without an identity: %v", err)
	}
	spare := Target{URI: "local:" + filepath.Join(t.TempDir(), "spare")}
	if _, err := Recover(ctx, c, Options{}, spare, []age.Identity{next.identity}, silent); err != nil {
		t.Errorf("recovery: %v", err)
	}
}

// Goal: the doctor does not say of what it could not compare that it is right. Method: a node without a roster.
func TestDoctorWithoutRoster(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	d := &Checkup{Config: c}
	for _, f := range d.Run(t.Context()) {
		if f.Check == "keys and roster" || f.Check == "identity" && (f.Err != nil || !strings.Contains(f.Detail, "only the roster tells")) {
			t.Errorf("%+v", f)
		}
	}
	if err := found(t, d, "roster"); codeOf(err) != fault.CodeUsage {
		t.Errorf("%v", err)
	}
}

// Goal: the doctor reads what a node keeps beside its vault. Method: one record that cannot be read, of the node's own, then the roster's
// serial, then the head of the audit log.
func TestDoctorReadsRecords(t *testing.T) {
	for _, key := range []string{serialKey, headKey, "node/wallet/w_x"} {
		c := testNode(t, "n1")
		prepare(t, c)
		if err := found(t, &Checkup{Config: c}, "records"); err != nil {
			t.Fatal(err)
		}
		if err := withTokens(t.Context(), c, func(tok *Tokens) error {
			disk, err := tok.OpenDisk(t.Context(), true)
			if err != nil {
				return err
			}
			return errors.Join(disk.Store.Batch(t.Context(), []vault.Pair{{Key: []byte(key), Value: []byte{1}}}, nil), disk.Close())
		}); err != nil {
			t.Fatal(err)
		}
		if err := found(t, &Checkup{Config: c}, "records"); problem.As(err).Code != problem.Integrity {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Goal: the doctor makes nothing where nothing is mounted. Method: a data directory that is not there.
func TestDoctorMakesNothing(t *testing.T) {
	c := testNode(t, "n1")
	c.DataDir = filepath.Join(t.TempDir(), "not", "mounted")
	if err := found(t, &Checkup{Config: c}, "data directory"); codeOf(err) != fault.CodeUsage {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(c.DataDir); err == nil {
		t.Error("the doctor made the data directory")
	}
}

// Goal: of what fails at a running node the doctor says what the node says is to be done, and ends with the code of its kind: a disk or
// damage is no want of nodes. Method: each check, failing, as such a node answers.
func TestDoctorBesideRunning(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	held, err := Lock(c)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for name, want := range map[string]fault.Code{"quorum": fault.CodeQuorum, "heard": fault.CodeQuorum, "clock": fault.CodeQuorum,
		"run": fault.CodeQuorum, "epochs": fault.CodeQuorum, "store": fault.CodeStorage, "audit": fault.CodeStorage, "token": fault.CodeHSM,
		"driver": fault.CodeHSM, "member": fault.CodeUsage, "certificate-api": fault.CodeUsage, "certificate-routes": fault.CodeUsage,
		appliance.SecretsCheck: fault.CodeIntegrity, appliance.AuthorityCheck: fault.CodeUsage} {
		for next, do := range map[string]string{"do this": "do this", "": "see the node's log, and `mpcd node list`"} {
			d := &Checkup{Config: c, Ask: func(context.Context) (*wire.Health, error) {
				return &wire.Health{Checks: []wire.Check{{Name: name, Detail: "why", Next: next}}}, nil
			}}
			var f *fault.Error
			if err := found(t, d, "node: "+name); !errors.As(err, &f) || f.Code != want || f.Do != do || f.Err.Error() != "why" {
				t.Errorf("%s: %+v", name, err)
			}
		}
	}
}

// Goal: what a running node says is to be done although it is ready, the doctor warns of; what is well it does not. Method: a check that is
// well, with something to do and without.
func TestDoctorWarnsOfRunning(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	held, err := Lock(c)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, next := range []string{"", "start it on its newest data directory"} {
		d := &Checkup{Config: c, Ask: func(context.Context) (*wire.Health, error) {
			return &wire.Health{Checks: []wire.Check{{Name: "epochs", OK: true, Detail: "why", Next: next}}}, nil
		}}
		if err := found(t, d, "node: epochs"); err != nil {
			t.Error(err)
		}
		for _, f := range d.findings {
			if f.Check == "node: epochs" && (f.Warn != next || f.Detail != "why") {
				t.Errorf("%q: %+v", next, f)
			}
		}
	}
}

// Goal: where the doctor cannot speak to the node beside it, it says what to do there, and names no flag of other commands; what the node
// answers stands, and so does that its certificate has expired. Method: failures as a client's commands tell them.
func TestDoctorUnheard(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	held, err := Lock(c)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	dialled := func(err error) error { return &url.Error{Op: "Get", URL: "https://127.0.0.1:1", Err: err} }
	fail := func(code fault.Code, err error) error {
		return fault.Doing("", &fault.Error{Code: code, Err: err, Do: "give --ca, --cert, --api or --timeout"})
	}
	for name, x := range map[string]struct {
		err error
		do  string
	}{
		"unknown authority": {fail(fault.CodeQuorum, dialled(x509.UnknownAuthorityError{})), "nats.tls.ca is not its CA's"},
		"another name":      {fail(fault.CodeQuorum, dialled(x509.HostnameError{Certificate: &x509.Certificate{}})), "nats.tls.ca is not"},
		"nobody":            {fail(fault.CodeQuorum, dialled(syscall.ECONNREFUSED)), "see the node's log"},
		"no TLS":            {fail(fault.CodeQuorum, dialled(http.ErrSchemeMismatch)), "give the doctor the same"},
		"no CA":             {fail(fault.CodeUsage, os.ErrNotExist), "give the doctor the same"},
		"silence":           {fail(fault.CodeTimeout, errors.New("no answer")), "see the node's log"},
		"an answer":         {&fault.Error{Code: fault.CodeStorage, Err: errors.New("503"), Do: "as the node says"}, "as the node says"},
		"expired": {&fault.Error{Code: fault.CodeQuorum, Err: dialled(x509.CertificateInvalidError{Reason: x509.Expired}),
			Do: "renew it"}, "renew it"},
	} {
		d := &Checkup{Config: c, Ask: func(context.Context) (*wire.Health, error) { return nil, x.err }}
		var f, given *fault.Error
		errors.As(x.err, &given)
		for given.Code == 0 {
			errors.As(given.Err, &given)
		}
		err := found(t, d, "node")
		if !errors.As(err, &f) || f.Code != given.Code || f.Err != given.Err || !strings.Contains(f.Do, x.do) ||
			strings.Contains(f.Do, "--") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Goal: a peer whose certificate has expired is not told to be down. Method: the error of its handshake, for who has a good certificate.
func TestExpiredPeer(t *testing.T) {
	now := time.Now()
	own := &x509.Certificate{NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour)}
	if do := ofRoute(x509.CertificateInvalidError{Reason: x509.Expired}, own, now); !strings.Contains(do, "the peer's certificate") {
		t.Error(do)
	}
	if do := ofRoute(syscall.ECONNREFUSED, own, now); do != "" {
		t.Error(do)
	}
}
