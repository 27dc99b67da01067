package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
)

// finding is a line of the doctor.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Do     string `json:"do,omitempty"`
	code   fault.Code
}

// doctorTimeout bounds the checkup: a slow token opens some 20 records a second.
const doctorTimeout = 10 * time.Minute

// checkup collects findings. Nothing it does changes the node.
type checkup struct {
	c          *config
	findings   []finding
	identities []age.Identity // of a recovery officer, for a drill
}

func doctorCommand(o *output) *cobra.Command {
	var flags nodeFlags
	var identity string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this node from configuration to peers, with the next step for what fails",
		Long: "Checks configuration, arithmetic, roster, certificates, token and its keys, vault, audit log and peers. Beside a running node, which\n" +
			"alone may use the token and the vault, it asks the node's API for these.\n\nThe exit code is that of the first failure.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &checkup{}
			if identity != "" {
				var err error
				if d.identities, err = readIdentities(identity); err != nil {
					return err
				}
			}
			c, err := flags.load()
			if d.say("configuration", err, "read") {
				d.c = c
				d.examine(cmd.Context())
			}
			if err := o.result(d.findings, d.table); err != nil {
				return err
			}
			for _, f := range d.findings {
				if !f.OK {
					return &fault.Error{Code: f.code, Err: fmt.Errorf("%s: %s", f.Check, f.Detail), Do: f.Do}
				}
			}
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&identity, "identity", "", "age identity of a recovery officer: proves that it opens the vault without the token")
	return cmd
}

func (d *checkup) table(w io.Writer) {
	for _, f := range d.findings {
		if f.OK {
			row(w, "ok", f.Check, f.Detail)
			continue
		}
		row(w, "FAIL", f.Check, f.Detail)
		row(w, "", "", "→ "+f.Do)
	}
}

// say adds a finding and returns whether all is well.
func (d *checkup) say(check string, err error, detail string) bool {
	f := finding{Check: check, OK: err == nil, Detail: detail}
	if err != nil {
		x := explain(err)
		f.Detail, f.Do, f.code = oneLine(x.Error()), x.Do, x.Code
	}
	d.findings = append(d.findings, f)
	return err == nil
}

func (d *checkup) examine(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	d.say("self-test", selfTest(), "the arithmetic gives the known answers")
	d.memory()
	roster, err := d.c.loadRoster()
	if d.say("roster", err, "signed by the pinned operator") {
		last := len(d.findings) - 1
		d.findings[last].Detail = fmt.Sprintf("signed by the pinned operator, serial %d, %d nodes", roster.Roster.Serial, len(roster.Roster.Nodes))
	}
	d.certificates()
	held, err := d.c.lockExisting()
	var f *fault.Error
	switch {
	case err == nil:
		d.atRest(ctx, roster)
		_ = held.Close()
	case errors.As(err, &f) && errors.Is(err, durable.ErrLocked):
		d.atWork(ctx)
	default:
		d.say("data directory", err, "")
	}
	d.audit()
	if held != nil { // a running node says itself who is live
		d.routes(ctx)
	}
}

// memory tells whether secrets can be locked into memory.
func (d *checkup) memory() {
	s := secret.New(32)
	defer s.Wipe()
	detail := "secrets are locked into memory"
	if !s.Locked() {
		detail = "secrets cannot be locked into memory and may be swapped: raise LimitMEMLOCK, or switch swap off"
	}
	d.say("memory", nil, detail)
}

// certificates checks that the files are there, belong together and are in their time.
func (d *checkup) certificates() {
	for _, f := range []struct{ what, cert, key string }{
		{"API certificate", d.c.API.Cert, d.c.API.Key}, {"route certificate", d.c.NATS.Cert, d.c.NATS.Key},
	} {
		if f.cert == "" {
			continue
		}
		left, err := validFor(f.cert, f.key)
		d.say(f.what, err, fmt.Sprintf("valid for %d more days", int(left.Hours()/24)))
	}
}

func validFor(cert, key string) (time.Duration, error) {
	const do = "have a new one made: `mpcd node roster sign`, or your CA"
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return 0, fault.Usage(do, "%w", err)
	}
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return 0, fault.Usage(do, "%w", err)
	}
	left := time.Until(c.NotAfter)
	if left < 0 || time.Now().Before(c.NotBefore) {
		return 0, fault.Usage(do, "%s is valid from %s to %s", cert, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly))
	}
	return left, nil
}

// atRest checks token and vault of a node that is not running.
func (d *checkup) atRest(ctx context.Context, roster *attest.SignedRoster) {
	c := d.c
	t, err := c.openTokens(ctx, newLogger(io.Discard, "error", "text"))
	if !d.say("token", err, "opened, not running") {
		return
	}
	defer t.Close()
	_, err = t.prove(ctx)
	if !d.say("token keys", err, "cosign, attest and vault keys do their work") {
		return
	}
	var member attest.RosterNode
	if roster != nil {
		if member, err = roster.Roster.Node(string(c.Node)); err == nil {
			err = c.enrolledKeys(ctx, t.Token, member)
		}
		d.say("keys and roster", err, "the token's keys are the ones enrolled")
	}
	s, err := c.openSealed(ctx, t, true, newLogger(io.Discard, "error", "text"), func(key *secret.Bytes, v *vault.Vault) error {
		d.storeRecovery(key, v)
		return nil
	})
	if err == nil {
		defer s.Close()
		err = errors.Join(s.vault.Check(ctx), s.vault.CheckToken(ctx))
	}
	if !d.say("vault", err, "every record stands as written, and the token opens it") {
		return
	}
	d.unwrapping(ctx, s.vault)
	_, peer, err := c.identity(ctx, s.vault)
	if err == nil && roster != nil && (!bytes.Equal(peer.Identity, member.Identity) || !bytes.Equal(peer.HPKE, member.Seal)) {
		err = &fault.Error{Code: fault.CodeIntegrity, Err: errors.New("it is not the one in the roster"), Do: "use the data directory that was enrolled"}
	}
	d.say("identity", err, "it is the one enrolled")
}

// unwrapping tells by what the vault can be opened, and against what it is anchored.
func (d *checkup) unwrapping(ctx context.Context, v *vault.Vault) {
	recipients := v.RecoveryRecipients()
	switch {
	case len(recipients) == 0:
		d.say("recovery", nil, "none: if the token dies, this node's shares are gone; set hsm.recovery and run `mpcd hsm rewrap`")
	case len(d.identities) == 0:
		d.say("recovery", v.CheckRecovery(ctx), fmt.Sprintf("every record is sealed to %d recipients; --identity FILE proves that it opens", len(recipients)))
	default:
		d.say("recovery", v.CheckRecovery(ctx, d.identities...), "the identity opens every record without the token")
	}
	if id, value := v.Anchored(); id == "" {
		d.say("rollback", nil, "not anchored: an older copy of the data directory would not be noticed; a TPM's counter would (hsm.counter)")
	} else {
		d.say("rollback", nil, fmt.Sprintf("anchored in counter %s at %d", id, value))
	}
}

// storeRecovery tells whether those who can recover the vault can open the store, without which the vault is of no use to them.
func (d *checkup) storeRecovery(key *secret.Bytes, v *vault.Vault) {
	if len(v.RecoveryRecipients()) == 0 {
		return
	}
	const do = "start the node once, which seals the store's key to the vault's recipients; then run the drill again"
	path := d.c.storeKeyPath()
	if d.c.Password.Provider != "hsm" {
		path = d.c.recoveryPath()
	}
	if len(d.identities) == 0 {
		sealed, err := durable.ReadFile(path, vault.MaxSealedKey)
		n := 0
		if err == nil {
			n, err = vault.KeyRecipients(sealed)
		}
		if err == nil && n != len(v.RecoveryRecipients()) {
			err = fmt.Errorf("%s is sealed to %d recipients, the vault to %d", path, n, len(v.RecoveryRecipients()))
		}
		if err != nil {
			err = &fault.Error{Code: fault.CodeIntegrity, Err: err, Do: do}
		}
		d.say("store's recovery", err, "the store's key is sealed to as many recipients as the vault")
		return
	}
	found, err := d.c.recoverStoreKey(d.identities)
	if err == nil {
		if !found.Equal(key.Bytes()) {
			err = errors.New("it opens another key than the store's")
		}
		found.Wipe()
	}
	if err != nil {
		err = &fault.Error{Code: fault.CodeHSM, Err: err, Do: "compare the identity with hsm.recovery; if it is the right one, " + do}
	}
	d.say("store's recovery", err, "the identity opens the store's key without the token")
}

// enrolledKeys compares the token's keys with the roster's.
func (c *config) enrolledKeys(ctx context.Context, t hsm.Token, m attest.RosterNode) error {
	for _, k := range []struct {
		id  string
		pin attest.Hex
	}{{c.HSM.CosignKey, m.CosignKey}, {c.HSM.AttestKey, m.AttestKey}} {
		der, err := publicDER(ctx, t, k.id)
		if err != nil {
			return err
		}
		if !bytes.Equal(der, k.pin) {
			return &fault.Error{Code: fault.CodeHSM, Err: fmt.Errorf("key %q of the token is not the one enrolled", k.id), Do: "use the token that was enrolled, or enrol the node anew"}
		}
	}
	return nil
}

// atWork asks a running node how it is.
func (d *checkup) atWork(ctx context.Context) {
	r := remote{api: "http://" + d.c.Listen, timeout: 5 * time.Second, ca: d.c.NATS.CA}
	if d.c.API.Cert != "" {
		r.api = "https://" + d.c.Listen
	}
	var h *wire.Health
	asker, err := r.client()
	if err == nil {
		if h, err = asker.Health(ctx); err != nil {
			err = r.failed("", err, "")
		}
	}
	if !d.say("node", err, "running; token and vault are in use by it") {
		return
	}
	for _, check := range h.Checks {
		var err error
		if !check.OK {
			err = &fault.Error{Code: fault.CodeQuorum, Err: errors.New(check.Detail), Do: "see the node's log, and `mpcd node list`"}
		}
		d.say("node: "+check.Name, err, check.Detail)
	}
}

func (d *checkup) audit() {
	if _, err := os.Stat(d.c.auditPath()); errors.Is(err, os.ErrNotExist) {
		d.say("audit log", nil, "none yet: the node has not run")
		return
	}
	n, _, err := verifyAudit(d.c.auditPath())
	if err != nil {
		err = &fault.Error{Code: codeIfNone(err, fault.CodeIntegrity), Err: err, Do: "keep the file as evidence and restore the log from its backup"}
	}
	d.say("audit log", err, fmt.Sprintf("%d entries, the chain holds", n))
}

// routes tries to reach the other nodes.
func (d *checkup) routes(ctx context.Context) {
	reached := 0
	var last error
	for _, addr := range d.c.NATS.Routes {
		dialer := net.Dialer{Timeout: 2 * time.Second}
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			last = err
			continue
		}
		_ = conn.Close()
		reached++
	}
	switch n := len(d.c.NATS.Routes); {
	case d.c.NATS.URL != "":
		d.say("peers", nil, "an external broker is configured; `mpcd node list` tells who is live")
	case n == 0:
		d.say("peers", fault.Usage("set nats.routes, or nats.url", "no routes to other nodes are configured"), "")
	case reached == 0:
		d.say("peers", &fault.Error{Code: fault.CodeQuorum, Err: fmt.Errorf("none of %d is reached: %w", n, last), Do: "start the other nodes, and check firewalls for nats.routes"}, "")
	default:
		d.say("peers", nil, fmt.Sprintf("%d of %d reached", reached, n))
	}
}
