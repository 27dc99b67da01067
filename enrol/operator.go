package enrol

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/appliance/transport/natsnet"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/internal/keyfile"
	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold"
)

// Operator is the operator's directory of a cluster: the root key that signs the roster, the CA of the routes and the key that
// signs API tokens. It belongs on a machine that runs no node; nothing in it signs for a wallet.
type Operator struct {
	dir     string
	cluster string
	root    ed25519.PrivateKey
	ca      *natsnet.CA
}

// The files of an authority.
const (
	RosterFile   = "roster.json"    // a node has a copy
	TokenKeyFile = "api-tokens.key" // signs tokens for the API

	rootFile     = "root.key"
	caCertFile   = "ca.crt"
	caKeyFile    = "ca.key"
	tokenPubFile = "api-tokens.pub"

	lockFile = "LOCK" // in a new node's directory too: of who is at work there
)

// NewOperator makes the keys of a cluster in dir, which must not have any.
func NewOperator(dir, cluster string) (*Operator, error) {
	a, held, err := newOperator(dir, cluster)
	if err != nil {
		return nil, err
	}
	return a, held.Close()
}

// newOperator is NewOperator that keeps other commands off until held is closed.
func newOperator(dir, cluster string) (a *Operator, held io.Closer, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	a = &Operator{dir: dir, cluster: cluster}
	if held, err = a.lock(); err != nil {
		return nil, nil, err
	}
	if err := a.makeKeys(); err != nil {
		return nil, nil, errors.Join(err, held.Close())
	}
	return a, held, nil
}

// makeKeys makes all keys, where there is none: also not one that was left of some.
func (a *Operator) makeKeys() error {
	for _, name := range []string{rootFile, caKeyFile, TokenKeyFile} {
		if _, err := os.Lstat(filepath.Join(a.dir, name)); !errors.Is(err, os.ErrNotExist) {
			return fault.Usage("choose another directory, or remove that one if its cluster is to be given up",
				"%s has the keys of a cluster already, or some of them: %s", a.dir, name)
		}
	}
	var err error
	if a.ca, err = natsnet.NewCA(a.cluster); err != nil {
		return err
	}
	caKey, err := a.ca.KeyPEM()
	if err != nil {
		return err
	}
	defer secret.Wipe(caKey)
	jwtPub, err := a.newKey(TokenKeyFile, nil)
	if err != nil {
		return err
	}
	jwtDER, err := x509.MarshalPKIXPublicKey(jwtPub)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{
		{caCertFile, a.ca.CertPEM(), 0o644},
		{caKeyFile, caKey, 0o600},
		{tokenPubFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: jwtDER}), 0o644},
	} {
		if err := durable.WriteFile(filepath.Join(a.dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	_, err = a.newKey(rootFile, &a.root)
	return err
}

// newKey makes an Ed25519 key in a file of its own.
func (a *Operator) newKey(name string, keep *ed25519.PrivateKey) (ed25519.PublicKey, error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if keep != nil {
		*keep = key
	} else {
		defer secret.Wipe(key)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(der)
	return pub, durable.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// OpenOperator reads what NewOperator wrote.
func OpenOperator(dir string) (*Operator, error) {
	root, err := readKey(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, fault.Doing("read the operator's root key", err)
	}
	cert, err := durable.ReadFile(filepath.Join(dir, caCertFile), pemMax)
	if err != nil {
		return nil, err
	}
	key, err := durable.ReadFile(filepath.Join(dir, caKeyFile), pemMax)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(key)
	ca, err := natsnet.LoadCA(cert, key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(mustPEM(cert))
	if err != nil {
		return nil, err
	}
	return &Operator{dir: dir, cluster: c.Subject.Organization[0], root: root, ca: ca}, nil
}

func mustPEM(b []byte) []byte {
	block, _ := pem.Decode(b)
	if block == nil {
		return nil
	}
	return block.Bytes
}

// readKey reads an Ed25519 private key in PKCS #8 that its owner alone may read.
func readKey(path string) (ed25519.PrivateKey, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	b, err := durable.ReadFile(path, pemMax)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe(b)
	if keyfile.IsPublic(b) {
		return nil, fault.Usage("give the private key, as in "+strings.TrimSuffix(path, ".pub")+".key", "%s holds a public key", path)
	}
	k, err := x509.ParsePKCS8PrivateKey(mustPEM(b))
	key, ok := k.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fault.Usage("give a PEM file with an Ed25519 key in PKCS #8", "%s holds no Ed25519 private key", path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		secret.Wipe(key)
		return nil, fault.Usage("chmod 600 "+path, "%s may be read by others than its owner", path)
	}
	return key, nil
}

// lock keeps other commands off what the authority reads and then writes: two at once would sign two rosters of one serial, or mix keys.
func (a *Operator) lock() (io.Closer, error) { return lockDir(a.dir) }

// lockDir keeps other commands off a directory. Closing lets go.
func lockDir(dir string) (io.Closer, error) {
	l, err := durable.LockFile(filepath.Join(dir, lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fault.Usage("repeat this when that has ended", "another command is at work in %s: %w", dir, err)
	}
	return l, err
}

// Root is the public key that the cluster's rosters are signed with.
func (a *Operator) Root() ed25519.PublicKey { return a.root.Public().(ed25519.PublicKey) }

// RootHex is what nodes pin as roster_root.
func (a *Operator) RootHex() string { return attest.Hex(a.Root()).String() }

// Sign makes the roster of the enrolments, after the one before, if there is one: nodes keep their parties, parties are never
// given twice, and the serial goes up.
func (a *Operator) Sign(before *attest.SignedRoster, es []Enrolment) (*attest.SignedRoster, error) {
	s, _, err := a.sign(before, es, nil)
	return s, err
}

// sign is Sign that tells what changes, and lets the nodes in back have keys that a roster took out.
func (a *Operator) sign(before *attest.SignedRoster, es []Enrolment, back []string) (*attest.SignedRoster, []Change, error) {
	r, err := a.grown(before, es)
	if err != nil {
		return nil, nil, err
	}
	list, err := a.readTakenOut()
	if err != nil {
		return nil, nil, err
	}
	all, longer, err := changed(before, r, list, back)
	if err != nil {
		return nil, nil, err
	}
	s, err := a.signed(r, "correct the enrolments")
	if err == nil {
		err = a.keepTakenOut(list, longer) // before the roster: what was not written is refused then, and not put back
	}
	if err == nil {
		err = a.keepRoster(s)
	}
	return s, all, err
}

// grown is the roster of the enrolments after the one before.
func (a *Operator) grown(before *attest.SignedRoster, es []Enrolment) (r attest.Roster, err error) {
	r = attest.Roster{Version: attest.RosterVersion, Cluster: a.cluster, Serial: 1}
	if before != nil {
		if err := before.Verify(a.Root()); err != nil {
			return r, err
		}
		r = before.Roster
		r.Nodes = slices.Clone(r.Nodes)
		r.Serial++
	}
	next := threshold.PartyID(1)
	for _, n := range r.Nodes {
		next = max(next, n.Party+1)
	}
	for _, e := range es {
		if e.Cluster != a.cluster {
			return r, fault.Usage("enrol the node in this cluster", "node %q enrolled in cluster %q, this is %q", e.Node, e.Cluster, a.cluster)
		}
		m := e.member()
		if i := slices.IndexFunc(r.Nodes, func(n attest.RosterNode) bool { return n.ID == e.Node }); i >= 0 {
			if r.Nodes[i], err = rekeyed(r.Nodes[i], m); err != nil {
				return r, err
			}
			continue
		}
		m.Party = next
		next++
		r.Nodes = append(r.Nodes, m)
	}
	return r, nil
}

// signed signs a roster; do is what to do about one that no cluster may have.
func (a *Operator) signed(r attest.Roster, do string) (*attest.SignedRoster, error) {
	s, err := r.Sign(a.root)
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeUsage, What: "sign the roster", Err: err, Do: do}
	}
	return s, nil
}

func (a *Operator) keepRoster(s *attest.SignedRoster) error {
	return durable.WriteFile(filepath.Join(a.dir, RosterFile), s.JSON(), 0o644)
}

// Remove signs a newer roster in which nodes are members no more. They stay in it, by name, and do not come back.
func (a *Operator) Remove(nodes []string) (*attest.SignedRoster, error) {
	lock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s, err := a.roster()
	if err != nil {
		return nil, err
	}
	r := s.Roster
	r.Nodes = slices.Clone(r.Nodes)
	r.Serial++
	for _, id := range nodes {
		i := slices.IndexFunc(r.Nodes, func(n attest.RosterNode) bool { return n.ID == id && !n.Removed })
		if i < 0 {
			return nil, fault.Usage("name members of the roster: mpcd node roster show", "node %q is no member", id)
		}
		r.Nodes[i].Removed = true
	}
	if s, err = a.signed(r, "leave a member: a cluster without one is none"); err != nil {
		return nil, err
	}
	return s, a.keepRoster(s)
}

// roster is the newest that the authority signed.
func (a *Operator) roster() (*attest.SignedRoster, error) {
	s, err := attest.LoadRoster(filepath.Join(a.dir, RosterFile))
	if err == nil {
		err = s.Verify(a.Root())
	}
	return s, fault.Doing("read the roster", err)
}

// rekeyed is a member whose token was replaced, or that has a witness key by now: the identity, which is in the vault, says so itself by
// signing the enrolment. The party stays, and with it the node's shares; so does the place of a node that does not tell another, and the
// witness key, which is made from the identity, of one whose release tells none.
func rekeyed(was, now attest.RosterNode) (attest.RosterNode, error) {
	if len(now.WitnessKey) == 0 {
		now.WitnessKey = was.WitnessKey
	}
	if !bytes.Equal(was.Identity, now.Identity) || !bytes.Equal(was.Seal, now.Seal) {
		return was, fault.Usage("enrol the new node under another name; if it stands in that one's place, `mpcd node roster remove "+was.ID+"`",
			"node %q is in the roster already, with another identity: its data directory was made anew", was.ID)
	}
	if len(was.WitnessKey) > 0 && !bytes.Equal(was.WitnessKey, now.WitnessKey) {
		return was, fault.Usage("give what `mpcd node enroll` prints on its host now; if it stays so, find out who has its identity",
			"node %q is in the roster already, with another witness key: its identity makes one alone", was.ID)
	}
	if was.Removed {
		return was, fault.Usage("give the node another name, and a new data directory", "node %q was removed from the cluster", was.ID)
	}
	if bytes.Equal(was.CosignKey, now.CosignKey) && bytes.Equal(was.AttestKey, now.AttestKey) && bytes.Equal(was.WitnessKey, now.WitnessKey) {
		return was, fault.Usage("give only the enrolments of nodes that are new, or whose keys are", "node %q is in the roster already", was.ID)
	}
	now.Party, now.Endpoint, now.Facility = was.Party, cmp.Or(now.Endpoint, was.Endpoint), cmp.Or(now.Facility, was.Facility)
	return now, nil
}

// Admit signs the roster of the nodes that were judged and of those in it already, issues a certificate for each of the former, for the
// names in hosts too, into tls/<node>/, and keeps what they were judged by in evidence/<node>.json. It tells whose keys change. Keys that
// an earlier roster had and a later one took out are refused (CodeDenied), but for those of the nodes in back.
func (a *Operator) Admit(judged []Judgement, hosts map[string]string, back []string) (*attest.SignedRoster, []Change, error) {
	lock, err := a.lock()
	if err != nil {
		return nil, nil, err
	}
	defer lock.Close()
	before, err := attest.LoadRoster(filepath.Join(a.dir, RosterFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	var es []Enrolment
	for _, j := range judged {
		es = append(es, j.Enrolment)
	}
	for _, id := range back {
		if !slices.ContainsFunc(es, func(e Enrolment) bool { return e.Node == id }) {
			return nil, nil, fault.Usage("name nodes of the enrolments", "--put-keys-back %s: no enrolment is of that node", id)
		}
	}
	if err := checkPlaces(before, es); err != nil {
		return nil, nil, err
	}
	s, all, err := a.sign(before, es, back)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range es {
		m, err := s.Roster.Node(e.Node)
		if err == nil {
			err = a.certify(m, hosts)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return s, all, a.keep(judged)
}

// certify issues a certificate for a member into tls/<node>/, for the host of its endpoint, for the one in hosts, and for loopback.
func (a *Operator) certify(m attest.RosterNode, hosts map[string]string) error {
	names := []string{"localhost", "127.0.0.1"}
	if u, err := url.Parse(m.Endpoint); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	if h := hosts[m.ID]; h != "" {
		names = append(names, h)
	}
	slices.Sort(names)
	return a.Issue(transport.NodeID(m.ID), slices.Compact(names), filepath.Join(a.dir, "tls", m.ID))
}

// Renew issues new certificates for nodes that are in the roster, as Admit does for new ones; for all of them where none is named. With a
// time that is not zero, only for those whose certificate here is missing, or due then. It returns the directories that they are in, by
// node.
func (a *Operator) Renew(nodes []string, hosts map[string]string, due time.Time) (map[string]string, error) {
	lock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	s, err := a.roster()
	if err != nil {
		return nil, err
	}
	if len(nodes) == 0 {
		for _, m := range s.Roster.Members() {
			nodes = append(nodes, m.ID)
		}
	}
	made := map[string]string{}
	for _, id := range nodes {
		m, err := s.Roster.Node(id)
		if err != nil {
			return nil, fault.Usage("name a node of the roster, or enrol it first", "%w", err)
		}
		dir := filepath.Join(a.dir, "tls", id)
		if !due.IsZero() && fresh(filepath.Join(dir, "node.crt"), due) {
			continue
		}
		if err := a.certify(m, hosts); err != nil {
			return nil, err
		}
		made[id] = dir
	}
	return made, nil
}

// fresh tells that a certificate is there and not to be renewed yet.
func fresh(path string, at time.Time) bool {
	b, err := durable.ReadFile(path, pemMax)
	if err != nil {
		return false
	}
	c, err := x509.ParseCertificate(mustPEM(b))
	return err == nil && at.Before(host.RenewalDue(c))
}

// Issue writes the certificate of a node for routes and API into dir: node.crt, node.key and ca.crt.
func (a *Operator) Issue(node transport.NodeID, hosts []string, dir string) error {
	cert, key, err := a.ca.Issue(node, hosts)
	if err != nil {
		return err
	}
	defer secret.Wipe(key)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{"node.crt", cert, 0o644}, {"node.key", key, 0o600}, {caCertFile, a.ca.CertPEM(), 0o644}} {
		if err := durable.WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return fmt.Errorf("certificate of %s: %w", node, err)
		}
	}
	return nil
}
