package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/badgerstore"
)

// Finding is what a check found: that all is well where Err is nil.
type Finding struct {
	Check  string
	Err    error
	Detail string // of what is well
	Warn   string // what should be done nevertheless; "" for nothing
}

// Checkup looks at a node from arithmetic to peers. Nothing it does changes the node.
type Checkup struct {
	Config     Config
	Options    Options
	Identities []age.Identity // of a recovery officer, for a drill
	// Ask asks the API of the node how it is: a running node alone may use its token and its vault.
	Ask func(context.Context) (*wire.Health, error)

	findings []Finding
	heads    []audit.Head // of the audit log, as vault and store keep them
	opened   bool         // they are known
}

// checkupTimeout bounds the checkup: a slow token opens some 20 records a second.
const checkupTimeout = 10 * time.Minute

// Run makes all checks, and returns what each found.
func (d *Checkup) Run(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, checkupTimeout)
	defer cancel()
	d.findings, d.heads, d.opened = nil, nil, false
	d.say("self-test", selfTest(), "the arithmetic gives the known answers")
	d.memory()
	roster, err := loadRoster(d.Config)
	detail := ""
	if err == nil {
		detail = fmt.Sprintf("signed by the pinned operator, serial %d, %s", roster.Roster.Serial, countNodes(len(roster.Roster.Members())))
	}
	d.say("roster", err, detail)
	if err == nil {
		warn, do, err := d.Config.checkCluster(roster.Roster)
		if err == nil && warn != "" {
			d.warn("cluster", false, warn, do)
		} else {
			d.say("cluster", err, "threshold and routes fit the roster")
		}
	}
	d.certificates()
	d.modes()
	d.door(ctx)
	d.events()
	held, err := Lock(d.Config)
	switch {
	case err == nil:
		d.addresses()
		d.atRest(ctx, roster)
		_ = held.Close()
	case errors.Is(err, durable.ErrLocked):
		d.nextStart()
		d.atWork(ctx, roster)
	default:
		d.say("data directory", err, "")
	}
	d.audit(roster)
	if roster != nil {
		d.routes(ctx, roster.Roster)
	}
	return d.findings
}

// say adds a finding and returns whether all is well.
func (d *Checkup) say(check string, err error, detail string) bool {
	d.findings = append(d.findings, Finding{check, err, detail, ""})
	return err == nil
}

// warn adds a finding that is well, or works and should be changed.
func (d *Checkup) warn(check string, well bool, detail, do string) {
	if well {
		do = ""
	}
	d.findings = append(d.findings, Finding{check, nil, detail, do})
}

// memory tells what keeps secrets in memory, of a process that has the limits of this one.
func (d *Checkup) memory() {
	detail, well := guarded()
	d.warn("memory", well, detail, memoryAdvice)
}

// certificates checks that the files are there, belong together, to this node and to the cluster's CA, and are in their time.
func (d *Checkup) certificates() {
	now := d.Options.withDefaults().Clock()
	for _, f := range []struct {
		what string
		open func() (*certificate, error)
	}{{"API certificate", d.Config.apiCertificate}, {"route certificate", d.Config.routeCertificate}} {
		c, err := f.open()
		if c == nil && err == nil || errors.Is(err, natsnet.ErrCA) { // which is told of below
			continue
		}
		if err == nil {
			if err = inTime(c.leaf, now); err != nil {
				err = fault.Usage(renewal, "%s: %w", c.cert, err)
			}
		}
		if err != nil {
			d.say(f.what, err, "")
			continue
		}
		left := c.leaf.NotAfter.Sub(now)
		d.warn(f.what, !now.After(RenewalDue(c.leaf)), fmt.Sprintf("valid for %d more days", int(left.Hours()/24)), renewal)
	}
	what, ca, creds := "CA", d.Config.NATS.CA, d.Config.NATS.Creds
	switch {
	case ca == "" && creds == "":
		return
	case creds != "":
		what = "files of the broker"
	}
	_, err := d.Config.authorities()
	if err == nil {
		err = d.Config.network(attest.Roster{}, &certificate{}).CheckFiles()
	}
	d.say(what, err, strings.Trim(ca+" "+creds, " ")+" can be read")
}

// door reads the keys of the API's tokens and the CAs of its clients, as a start does, and asks the issuer for its keys, which a start does
// not wait for.
func (d *Checkup) door(ctx context.Context) {
	cert, err := d.Config.apiCertificate()
	if err != nil {
		cert = &certificate{} // it is told of already
	}
	a, err := d.Config.door(cert)
	if !d.say("API", err, "the files that judge who asks can be read") || a.tokens == nil || a.tokens.Issuer == nil {
		return
	}
	i := a.tokens.Issuer
	err = i.Fetch(ctx)
	d.warn("issuer of tokens", err == nil, fmt.Sprintf("%s: %s", i.URL, cmp.Or(problem.Plain(err), "its keys can be fetched")),
		"compare api.oidc with what the provider says of itself, and let this host reach it without a proxy")
}

// events reads the key that webhooks know the node by.
func (d *Checkup) events() {
	key, err := d.Config.eventsKey()
	if key != nil {
		key.Wipe()
	}
	if hooks := len(d.Config.Events.Hooks); hooks > 0 {
		d.say("events", err, fmt.Sprintf("told to %d webhooks; their key can be read", hooks))
	}
}

// addresses takes the addresses of a node that is not running, both at once as it does, and gives them back.
func (d *Checkup) addresses() {
	l, err := take(d.Config.Listen)
	if err != nil {
		err = notTaken("listen", "--listen", err)
	} else {
		defer l.Close()
	}
	if d.say("address", err, d.Config.Listen+" is free") && d.Config.NATS.Listen != "" {
		d.say("address of routes", d.Config.routesFree(), d.Config.NATS.Listen+" is free")
	}
}

// atRest checks token and vault of a node that is not running.
func (d *Checkup) atRest(ctx context.Context, roster *attest.SignedRoster) {
	c := d.Config
	t, err := OpenTokens(ctx, c, d.Options)
	if err != nil {
		d.say("token", err, "")
		return
	}
	defer t.Close()
	software := slices.ContainsFunc(t.All(), func(x hsm.Token) bool { i, err := x.Info(ctx); return err == nil && i.SoftwareOnly })
	detail := "opened; the node is not running"
	if software {
		detail += "; it is software: no hardware guards its keys"
	}
	d.warn("token", !software, detail, "use a token in hardware for what is of value")
	_, err = t.Prove(ctx)
	if !d.say("token keys", err, "cosign, attest and vault keys do their work") {
		return
	}
	var member attest.RosterNode
	if roster != nil {
		if member, err = roster.Roster.Node(string(c.Node)); err == nil {
			err = t.enrolled(ctx, member)
		}
		d.say("keys and roster", err, "the token's keys are the ones enrolled")
	}
	disk, err := t.openDisk(ctx, true, func(key *secret.Bytes, v *vault.Vault) error {
		d.storeRecovery(key, v)
		return nil
	})
	if err == nil {
		defer disk.Close()
		err = errors.Join(disk.Vault.Check(ctx), disk.Vault.CheckToken(ctx))
	}
	if !d.say("vault", err, "every record stands as written, and the token opens it") {
		return
	}
	d.unwrapping(ctx, disk.Vault)
	d.readHeads(ctx, disk)
	n, err := checkRecords(ctx, disk.Store)
	d.say("records", err, fmt.Sprintf("%d of the node's own, each can be read", n))
	if roster == nil {
		_, _, err = identity(ctx, c.Node, disk.Vault)
		d.say("identity", err, "it opens; whether it is the one enrolled, only the roster tells")
		return
	}
	_, err = enrolledIdentity(ctx, disk.Vault, member)
	if !d.say("identity", err, "it is the one enrolled") {
		d.sameCause("keys and roster", err)
	}
	seen, err := checkSerial(ctx, disk.Store, roster)
	d.say("roster's serial", err, fmt.Sprintf("%d or more, as this node has started with", seen))
	now, err := checkAuthority(ctx, c, disk.Store, roster)
	if d.authority(now, err); err == nil {
		d.eventInitiator(now)
	}
}

// authority tells which would be in force, or is in the file of a node that runs, and whether it permits anything.
func (d *Checkup) authority(now *attest.Authority, err error) {
	switch {
	case err != nil:
		d.say("authority", err, "")
	case now == nil:
		detail := "none yet, so nobody may ask for anything"
		if path := d.Config.Authority; path != "" {
			detail += "; nor is there the file that authority names, " + path
		}
		d.warn("authority", false, detail,
			"it comes from another node, or the operator's `mpcd authority init`")
	default:
		detail := fmt.Sprintf("serial %d, %s, %d of %d officers change it", now.Serial, now.Digest(), now.Quorum, len(now.Officers))
		if len(now.Authors) > 0 {
			detail += fmt.Sprintf(", %d of %d authors its rules", now.AuthorQuorum, len(now.Authors))
		}
		detail += fmt.Sprintf(", %d initiators", len(now.Initiators))
		rules, err := now.Rules()
		if err == nil && len(rules.Names()) == 0 {
			d.warn("authority", false, detail+"; it has no rules, and permits nothing", NoRules)
			return
		}
		if err == nil && now.Unmanned(rules) != "" {
			d.warn("authority", false, detail+"; "+now.Unmanned(rules), "have the officers change it: "+attest.Manned)
			return
		}
		d.say("authority", err, detail)
	}
}

// eventInitiator tells of a node that does not run whether its settings name an initiator.
func (d *Checkup) eventInitiator(now *attest.Authority) {
	if key := d.Config.EventInitiator; key != nil {
		c := appliance.EventInitiator(now, key)
		d.warn(c.Name, c.Next == "", c.Detail, c.Next)
	}
}

// authorityFile judges the file of a node that runs, which has its own way to an authority where there is none.
func (d *Checkup) authorityFile(roster *attest.SignedRoster) {
	if roster == nil {
		return
	}
	c, err := d.Config.readAuthority(roster)
	if err == nil && c == nil {
		return
	}
	var last *attest.Authority
	if err == nil {
		last, err = appliance.JudgeAuthority(c, ed25519.PublicKey(roster.Root), d.Config.Cluster)
	}
	d.authority(last, err)
}

// NoRules is what to do about an authority without rules.
const NoRules = "have the officers sign one with rules: `mpcd authority change --policy FILE`"

// sameCause has a failure found before tell to do what is to be done about the other identity of a node that was made anew.
func (d *Checkup) sameCause(check string, err error) {
	var now, before *fault.Error
	for _, f := range d.findings {
		if f.Check == check && errors.As(f.Err, &before) && errors.As(err, &now) && now.Do == remade(string(d.Config.Node)) {
			before.Do = now.Do
		}
	}
}

// checkRecords reads all that is in the store beside the vault, and counts it.
func checkRecords(ctx context.Context, s vault.Store) (n int, err error) {
	counts, err := appliance.CheckRecords(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, of := range counts {
		n += of
	}
	_, serial := seenSerial(ctx, s)
	_, head := readMinute(ctx, s)
	return n, cmp.Or(serial, head)
}

// rekey is what to do about a token that was replaced, where the data directory is the one enrolled.
const rekey = "put the token back that was enrolled; if it was replaced, `mpcd node enroll` here and `mpcd node roster sign` at the " +
	"operator's"

// enrolled compares the token's keys with the roster's.
func (t *Tokens) enrolled(ctx context.Context, m attest.RosterNode) error {
	for _, k := range []struct {
		id  string
		pin attest.Hex
	}{{t.config.HSM.CosignKey, m.CosignKey}, {t.config.HSM.AttestKey, m.AttestKey}} {
		der, err := t.RosterKey(ctx, k.id)
		if err != nil {
			return err
		}
		if !bytes.Equal(der, k.pin) {
			return &fault.Error{Code: fault.CodeHSM, Err: fmt.Errorf("key %q of the token is not the one enrolled", k.id),
				Do: rekey}
		}
	}
	return nil
}

// unwrapping tells by what the vault can be opened, and against what it is anchored.
func (d *Checkup) unwrapping(ctx context.Context, v *vault.Vault) {
	recipients := v.RecoveryRecipients()
	switch {
	case len(recipients) == 0:
		d.warn("recovery", false, "none: if the token dies, this node's shares are gone", "set hsm.recovery and run `mpcd hsm rewrap`")
	case len(d.Identities) == 0:
		d.say("recovery", v.CheckRecovery(ctx), fmt.Sprintf("every record is sealed to %d recipients; --identity FILE proves that it opens",
			len(recipients)))
	default:
		d.say("recovery", v.CheckRecovery(ctx, d.Identities...), "the identity opens every record without the token")
	}
	if id, value := v.Anchored(); id == "" {
		d.warn("rollback", false, "not anchored: an older copy of the data directory would not be noticed",
			"have a TPM count the vault's commits (hsm.counter), if there is one")
	} else {
		d.say("rollback", nil, fmt.Sprintf("anchored in counter %s at %d", id, value))
	}
}

// storeRecovery tells whether those who can recover the vault can open the store, without which the vault is of no use to them.
func (d *Checkup) storeRecovery(key *secret.Bytes, v *vault.Vault) {
	officers := len(v.RecoveryRecipients())
	if officers == 0 {
		return
	}
	const do = "start the node once, which seals the store's key to the vault's recipients; then run the drill again"
	f := d.Config.keyFile()
	if len(d.Identities) == 0 {
		n, err := f.recipients()
		if err == nil && n != officers {
			err = fmt.Errorf("%s is sealed to %d recipients, the vault to %d", f.path, n, officers)
		}
		if err != nil {
			err = &fault.Error{Code: fault.CodeIntegrity, Err: err, Do: do}
		}
		d.say("store's recovery", err, "the store's key is sealed to as many recipients as the vault")
		return
	}
	found, err := f.recover(d.Identities)
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

// nextStart looks, beside a running node, whether its next start finds the files that it reads. It tries no PIN, and opens no token.
func (d *Checkup) nextStart() {
	c := d.Config
	well := true
	for _, err := range []error{badgerstore.CheckFiles(c.storeDir()), audit.CheckFiles(c.AuditPath()), c.keyFile().check(), c.tokenFiles()} {
		if err != nil {
			well = d.say("next start", err, "")
		}
	}
	if well {
		d.say("next start", nil, "the files that it reads are there")
	}
}

// tokenFiles checks the files that the URIs of tokens name: PINs that can be read, and libraries.
func (c Config) tokenFiles() error {
	for _, x := range [][2]string{{"hsm.uri", c.TokenURI()}, {"hsm.vault_uri", c.vaultURI()}, {"hsm.counter", c.HSM.Counter},
		{"password.uri", c.Password.URI}} {
		u, err := hsm.ParseURI(x[1])
		if err != nil { // auto, none, or nothing
			continue
		}
		if pin := u.Attr("pin-source"); strings.HasPrefix(pin, filePrefix) { // others are of the node's process alone
			b, err := hsm.ReadPIN(pin)
			if err != nil {
				return &openError{x[0], err}
			}
			b.Wipe()
		}
		if path := u.Attr("module-path"); path != "" {
			if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
				return &openError{x[0], fmt.Errorf("module-path: %w: %w", hsm.ErrUnavailable,
					cmp.Or(err, fmt.Errorf("%s is no file", path)))}
			}
		}
	}
	return nil
}

// atWork asks a running node how it is, and which roster it uses.
func (d *Checkup) atWork(ctx context.Context, roster *attest.SignedRoster) {
	h, err := d.Ask(ctx)
	if !d.say("node", unheard(err), "running; token and vault are in use by it") {
		return
	}
	switch {
	case roster == nil || h.Serial == 0: // it is told of already; a release before this one
	case roster.Roster.Serial > h.Serial:
		d.warn("roster's serial", false, fmt.Sprintf("%d, and the node uses %d", roster.Roster.Serial, h.Serial),
			"see the node's log, which says why it was not taken up")
	default:
		d.say("roster's serial", notInUse(roster, h.Serial, h.Roster), fmt.Sprintf("%d, as the node uses", h.Serial))
	}
	d.authorityFile(roster)
	for _, check := range h.Checks {
		if check.OK && check.Next != "" && check.Name != authorityFile {
			d.warn("node: "+check.Name, false, check.Detail, check.Next)
			continue
		}
		var err error
		if !check.OK || check.Name == authorityFile {
			err = &fault.Error{Code: kindOfCheck(check.Name), Err: errors.New(check.Detail),
				Do: cmp.Or(check.Next, "see the node's log, and `mpcd node list`")}
		}
		d.say("node: "+check.Name, err, check.Detail)
	}
}

// unheard has the failure to speak to a node that runs, for something has its data directory, say what there is to do here: the doctor
// knows the node by its configuration, and has no flags of a client.
func unheard(err error) error {
	why, f := new(fault.Error), new(fault.Error)
	for e := err; errors.As(e, &f); e = f.Err {
		why = f
	}
	invalid := x509.CertificateInvalidError{}
	asked := errors.As(err, new(*url.Error)) || why.Code == fault.CodeTimeout || why.Code == fault.CodeUsage
	if !asked || errors.As(err, &invalid) && invalid.Reason == x509.Expired { // it answered, or that is told already
		return err
	}
	do := "see the node's log; if it was started with other settings or flags, give the doctor the same"
	if errors.As(err, new(x509.UnknownAuthorityError)) || errors.As(err, new(x509.HostnameError)) {
		do = "the node shows another certificate than the one in api.tls.cert, or nats.tls.ca is not its CA's: see its log for files " +
			"that were not taken up, put its own back, then start it again"
	}
	return &fault.Error{Code: why.Code, Err: why.Err, Do: do}
}

// kindOfCheck is of which kind it is that a check of readiness fails.
func kindOfCheck(name string) fault.Code {
	switch {
	case name == "store", name == "audit":
		return fault.CodeStorage
	case name == "token", name == "driver":
		return fault.CodeHSM
	case name == appliance.SecretsCheck:
		return fault.CodeIntegrity
	case name == "member", name == appliance.AuthorityCheck, name == authorityFile, strings.HasPrefix(name, "certificate-"):
		return fault.CodeUsage
	}
	return fault.CodeQuorum
}

// readHeads reads what vault and store keep of the audit log. That one in the store cannot be read is told of with its records.
func (d *Checkup) readHeads(ctx context.Context, disk *Disk) {
	last, err := readHead(ctx, disk.Vault)
	if err != nil {
		d.say("audit log's head", err, "")
		return
	}
	minute, err := readMinute(ctx, disk.Store)
	d.heads, d.opened = []audit.Head{last, minute}, err == nil
}

// audit reads the whole log, and holds it against what is known of it, as a start does with its end, and against its checkpoint, as
// `mpcd audit verify` does.
func (d *Checkup) audit(roster *attest.SignedRoster) {
	var v audit.Verifier
	if roster != nil {
		v, _ = appliance.AuditVerifier(string(d.Config.Node), roster) // a roster without this node is told of already
	}
	x, err := audit.Verify(d.Config.AuditPath(), v, d.heads...)
	switch {
	case !errors.Is(err, os.ErrNotExist):
	case d.opened:
		d.say("audit log", nil, "none yet: the node has not run")
		return
	default:
		d.warn("audit log", false, "there is none; whether there was one, the node's store tells, which was not read",
			"mend what fails here, then run `mpcd doctor` again")
		return
	}
	if err != nil {
		d.say("audit log", ofLog(err), "")
		return
	}
	_, warning := checkpointOf(x, v)
	detail := strings.TrimSuffix(fmt.Sprintf("%d entries, the chain holds; %s", x.Size, warning), "; ")
	d.warn("audit log", warning == "", detail,
		"compare the log with what was exported of it; a node that runs makes another within a minute")
}

// ofRoute is what to do about a peer that was not reached by a route, for who has this certificate; "" where nothing tells but that it is
// down.
func ofRoute(err error, own *x509.Certificate, now time.Time) string {
	invalid := x509.CertificateInvalidError{}
	switch {
	case inTime(own, now) != nil:
		return renewal
	case errors.Is(err, natsnet.ErrUnknown):
		return "this node's roster is older than theirs: bring the operator's newest roster.json here; if it does not have that " +
			"node either, take its address out of nats.routes"
	case errors.Is(err, natsnet.ErrOtherCA):
		return "one of the two has another cluster's files: compare nats.tls.ca and nats.tls.cert of both with the operator's"
	case errors.Is(err, natsnet.ErrStranger): // nobody takes a roster from who is none to them
		return "bring the operator's newest roster.json here, and to the host of a member that they hear already: from there it goes to all"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "have the peer's certificate renewed: `mpcd node renew` at the operator's; if it is in its time, set this host's clock"
	}
	return ""
}

// routes dials the other nodes as the node does. One that is down is no fault of this node.
func (d *Checkup) routes(ctx context.Context, r attest.Roster) {
	c := d.Config
	if c.NATS.URL != "" {
		d.say("peers", nil, "an external broker is configured; `mpcd node list` tells who is live")
		return
	}
	cert, err := c.routeCertificate()
	if err != nil || cert == nil {
		return // it is told of already
	}
	missing := map[string]bool{}
	for _, m := range r.Members() {
		missing[m.ID] = m.ID != string(c.Node)
	}
	var reached, down []string
	do, now := "start the other nodes, and check firewalls for nats.routes", d.Options.withDefaults().Clock()
	for _, addr := range c.NATS.Routes {
		id, err := natsnet.Probe(ctx, c.network(r, cert), addr)
		if err != nil {
			down = append(down, addr+": "+problem.Plain(err))
			do = cmp.Or(ofRoute(err, cert.leaf, now), do)
			continue
		}
		missing[string(id)] = false
		reached = append(reached, fmt.Sprintf("%s at %s", id, addr))
	}
	detail := "reached: " + cmp.Or(strings.Join(reached, ", "), "none")
	if down != nil {
		var names []string
		for _, m := range r.Members() {
			if missing[m.ID] {
				names = append(names, m.ID)
			}
		}
		if detail += "; not reached by a route"; names != nil { // it may be one that the roster does not have
			detail += ": " + strings.Join(names, ", ")
		}
		detail += fmt.Sprintf(" (%s)", strings.Join(down, "; "))
	}
	d.warn("peers", down == nil, detail, do)
}

// Mark is the first word of what is told of it.
func (f Finding) Mark() string {
	switch {
	case f.Err != nil:
		return "FAIL"
	case f.Warn != "":
		return "WARN"
	}
	return "ok"
}
