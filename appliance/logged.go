package appliance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/vault"
)

// A receipt is handed out with the proof that the node which settled it has that on record, under its newest checkpoint and with the
// cosignatures that this has by then: it is not part of what is stored and attested, which was before.

// loggedCost is what a question about a proof counts for, in bytes that are told: the log is read for it, and others wait.
const loggedCost = 16 << 10

// loggedMLDSA is how many cosignatures by ML-DSA-44 a receipt has, of 3.3 KB each: a receipt stays below 16 KiB. The others stand in the
// checkpoint beside the log.
const loggedMLDSA = 2

// logged is that proof, checked, of this node's log or the one of the node that settled; nil where there is none yet, or that node is away.
func (n *others) logged(ctx context.Context, r *attest.Receipt) (l *attest.Logged) {
	at, err := transport.NodeID(r.Settlement.Node), error(nil)
	if at == n.cfg.Node {
		l, err = n.ownLogged(r)
	} else {
		l, err = n.askLogged(ctx, r, at)
	}
	if err == nil && l != nil {
		shown := *r
		shown.Logged = l
		var roster *attest.SignedRoster
		if roster, err = n.rosterOf(ctx, r.Roster); err == nil && roster == nil {
			return nil // this node has it no longer, and cannot check what it would hand out
		}
		if err == nil {
			err = shorten(l, r.Settlement.Node, roster)
		}
		if err == nil {
			_, err = CheckLogged(&shown, roster)
		}
	}
	if err != nil {
		n.cfg.Logger.Info("a receipt is handed out without the proof that it is on record", "receipt", r.ID, "settled", at, "error", err)
		return nil
	}
	return l
}

// shorten leaves of what a receipt shows of a node's log those cosignatures that are read under its roster, and of those by ML-DSA-44 not
// more than loggedMLDSA.
func shorten(l *attest.Logged, node string, roster *attest.SignedRoster) error {
	v, err := AuditVerifier(node, roster)
	if err != nil {
		return err
	}
	b, err := audit.Short([]byte(l.Checkpoint), v, loggedMLDSA, AuditWitnesses(node, roster)...)
	if err == nil {
		l.Checkpoint = string(b)
	}
	return err
}

// ownLogged is the proof of a receipt that this node settled; nil where it has no entry of it, or no checkpoint has that yet.
func (n *others) ownLogged(r *attest.Receipt) (*attest.Logged, error) {
	e, err := n.cfg.AuditLog.Find(time.UnixMilli(r.Time), func(e audit.Entry) bool {
		return e.Event == audit.SignDone && e.Facts["receipt"] == r.ID
	})
	var p *audit.Proof
	if err == nil {
		p, err = n.cfg.AuditLog.Prove(e.Seq)
	}
	if errors.Is(err, audit.ErrNoEntry) || errors.Is(err, audit.ErrNoCheckpoint) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &attest.Logged{Seq: p.Seq, Entry: p.Entry, Checkpoint: p.Checkpoint, Inclusion: make([]attest.Hash, len(p.Inclusion))}
	for i, h := range p.Inclusion {
		l.Inclusion[i] = attest.Hash(h)
	}
	return l, nil
}

// askLogged asks the node that settled.
func (n *others) askLogged(ctx context.Context, r *attest.Receipt, at transport.NodeID) (*attest.Logged, error) {
	if _, up := n.peers.Notes(at); !up {
		return nil, nil
	}
	end, err := n.lookups.begin(n.cfg.Clock(), "")
	if err != nil {
		return nil, err
	}
	all, err := n.ask(ctx, opLogged, r.ID, []transport.NodeID{at})
	end(true)
	if err != nil || len(all) == 0 || len(all[0].Answer) == 0 {
		return nil, err
	}
	var l attest.Logged
	return &l, canon.Unmarshal(all[0].Answer, &l)
}

// showLogged answers a question of opLogged; nothing where this node has no such receipt, has not settled it, so that reading its log for
// the entry would be in vain, or has no proof.
func (n *others) showLogged(ctx context.Context, id string) ([]byte, error) {
	b, err := n.cfg.Store.Get(ctx, receiptKey(id))
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := parseReceipt(id, b)
	if err != nil || r.Settlement.Node != string(n.cfg.Node) {
		return nil, err
	}
	l, err := n.ownLogged(r)
	if err != nil || l == nil {
		return nil, err
	}
	return canon.MustMarshal(l), nil
}

// Logged is what a receipt shows of the audit log that it is in.
type Logged struct {
	audit.Shown
	Witnesses []audit.Witnessed // other nodes, that were members when it was made, who have cosigned the checkpoint
}

// CheckLogged holds what a receipt shows of an audit log, which must be there, against the roster it was made under. durable.ErrCorrupt.
func CheckLogged(r *attest.Receipt, roster *attest.SignedRoster) (x Logged, err error) {
	p := &audit.Proof{Seq: r.Logged.Seq, Entry: r.Logged.Entry, Checkpoint: r.Logged.Checkpoint}
	for _, h := range r.Logged.Inclusion {
		p.Inclusion = append(p.Inclusion, audit.Hash(h))
	}
	v, err := AuditVerifier(r.Settlement.Node, roster)
	if err == nil {
		x.Shown, err = p.Check(v, nil)
	}
	if err == nil && (x.Entry.Event != audit.SignDone || x.Entry.Facts["receipt"] != r.ID) {
		err = fmt.Errorf("entry %d is of something else: %w", p.Seq, durable.ErrCorrupt)
	}
	if err != nil {
		return Logged{}, fmt.Errorf("the audit log of %s: %w", r.Settlement.Node, err)
	}
	if x.Witnesses, err = audit.WitnessedBy([]byte(p.Checkpoint), v, AuditWitnesses(r.Settlement.Node, roster)...); err != nil {
		return Logged{}, fmt.Errorf("the audit log of %s: %w: %w", r.Settlement.Node, durable.ErrCorrupt, err)
	}
	return x, nil
}

// AuditVerifier checks the checkpoints of a node by the key that the roster pins.
func AuditVerifier(node string, roster *attest.SignedRoster) (audit.Verifier, error) {
	m, err := roster.Roster.Node(node)
	if err != nil {
		return nil, err
	}
	pub, err := m.Attest()
	if err != nil {
		return nil, err
	}
	v, err := audit.NewVerifier(roster.Roster.Cluster, node, pub)
	if err != nil {
		return nil, fmt.Errorf("the roster pins another attestation key: %w: %w", err, durable.ErrCorrupt)
	}
	return v, nil
}

// AuditWitnesses check the cosignatures of a node's peers by the identities and witness keys that the roster pins.
func AuditWitnesses(node string, roster *attest.SignedRoster) (of []audit.Witness) {
	for _, m := range roster.Roster.Members() {
		if w, err := audit.NewWitness(roster.Roster.Cluster, m.ID, []byte(m.Identity), m.WitnessKey); err == nil && m.ID != node {
			of = append(of, w)
		}
	}
	return of
}
