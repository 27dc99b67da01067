package appliance

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/vault"
)

var authorityKey = []byte("node/authority")

// authorityRecord is the chain as it is stored and sent: all of it, or what comes after a serial.
type authorityRecord struct {
	Version uint8                 `cbor:"1,keyasint"`
	After   uint64                `cbor:"2,keyasint,omitempty"`
	Chain   attest.AuthorityChain `cbor:"3,keyasint"`
}

const authorityRecordVersion = 1

const (
	// authorityEvery is how often a peer that is behind is sent what it lacks.
	authorityEvery = 10 * time.Second
	// authoritiesMinute is how many a peer may send in a minute: each costs the signatures of a whole chain.
	authoritiesMinute = 30
)

// authority is who may ask, as this node knows it: the longest chain it has seen. It never goes back.
type authority struct {
	core   *core
	taking sync.Mutex // held while another chain is taken up
	sent   refusalRate

	mu    sync.RWMutex
	chain attest.AuthorityChain
	now   *attest.Authority // nil before the first
	// digest is that of now: all of it is hashed for it, which no request is to wait for.
	digest attest.Hash
	rules  *policy.Rules
	// refused is the digest of the last of the chain that a peer sent, and that had parted from ours.
	refused map[transport.NodeID]attest.Hash
}

// current is the chain, and the one in force; nil where there is none yet.
func (a *authority) current() (attest.AuthorityChain, *attest.Authority) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.chain, a.now
}

// inForce is the one in force, nil where there is none yet, its digest and its rules.
func (a *authority) inForce() (*attest.Authority, attest.Hash, *policy.Rules) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.now, a.digest, a.rules
}

// use puts a chain in force that was verified, which gave its last.
func (a *authority) use(c attest.AuthorityChain, now *attest.Authority, rules *policy.Rules) {
	digest := now.Digest()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.chain, a.now, a.digest, a.rules = c, now, digest, rules
}

// judge refuses what no initiator asked for who may, under the authority in force here, and says what its rules say of the rest: d is what
// was read of the payload.
func (a *authority) judge(x passage, d *intent.Decoded, now time.Time) (v policy.Verdict, err error) {
	in := x.intent
	if in.Keygen == nil && in.Vault != x.vault {
		return v, problem.New(problem.Invalid, "", "the intent is about a wallet of vault %q, which is of %q", in.Vault, x.vault)
	}
	who, digest, rules := a.inForce()
	if who == nil {
		return v, problem.New(problem.Denied, "have the operator sign one, `mpcd authority init`, and bring it to a node",
			"the cluster has no authority, which says who may ask")
	}
	if in.Initiation != nil && !bytes.Equal(in.Authority, digest[:]) {
		return v, problem.New(problem.Conflict, "repeat the request: a newer authority reaches all nodes within seconds",
			"the request is under another authority than that of serial %d, in force at this node", who.Serial)
	}
	if err := who.CheckInitiation(*in, now); err != nil {
		e := &problem.Error{Code: problem.Denied, Message: "nobody who may has asked for it", Err: err}
		if why := (*attest.InitiationError)(nil); errors.As(err, &why) {
			e.Next = why.Next
		}
		return v, e
	}
	if err := who.CheckApprovals(*in, d, now); err != nil {
		return v, &problem.Error{Code: problem.Denied, Message: "an approval does not hold, so nothing is done by any", Err: err,
			Next: "send the request with good approvals alone: who approves signs what is asked for as it is, under the authority in force"}
	}
	ask := func(spent policy.Spent) policy.Verdict { return who.Judge(rules, *in, d, x.key, spent) }
	if rules.Counts() {
		return a.core.ledger.judge(x, d, ask)
	}
	return ask(nil), nil
}

// initiate puts an initiator's signature into an intent of this node, or has it signed where Config says so, with the authority in force.
func (n *core) initiate(ctx context.Context, in *attest.Intent, x Consent) (err error) {
	if in.Initiation, in.Approvals = x.Initiation, x.Approvals; in.Initiation == nil && n.cfg.Initiate != nil {
		err = n.cfg.Initiate(ctx, in)
	}
	if err == nil && x.Field != "" {
		if want := in.InitiationValue(in.Initiation.By, in.Initiation.Expires); x.Field != want {
			return problem.Field(attest.InitiationField, "sign exactly what the body asks for: docs/RECEIPTS.md says how it is encoded; "+
				"session_id, and all numbers of a new key, stand in the body", "%s is not of what the body asks for, of which it is %s",
				attest.InitiationField, want)
		}
	}
	n.under(in)
	return err
}

// under puts the authority in force into an intent that an initiator has signed.
func (n *core) under(in *attest.Intent) {
	if who, digest, _ := n.authority.inForce(); who != nil && in.Initiation != nil {
		in.Authority = digest[:]
	}
}

func parseAuthority(b []byte) (*authorityRecord, error) {
	var rec authorityRecord
	if err := canon.UnmarshalVersion(b, authorityRecordVersion, &rec); err != nil {
		return nil, problem.Unreadable("the kept authority", problem.Restore, err)
	}
	return &rec, nil
}

// keptAuthority is the chain that a node has seen, from its store, with its last and the rules of that; none where there is none yet.
func keptAuthority(ctx context.Context, s vault.Store, root ed25519.PublicKey) (attest.AuthorityChain, *attest.Authority, *policy.Rules,
	error) {
	b, err := s.Get(ctx, authorityKey)
	if errors.Is(err, vault.ErrNotFound) {
		return nil, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	rec, err := parseAuthority(b)
	if err != nil {
		return nil, nil, nil, err
	}
	now, rules, err := verifyAuthority(rec.Chain, root)
	if err != nil {
		return nil, nil, nil, problem.Unreadable("the kept authority", problem.Restore, err)
	}
	return rec.Chain, now, rules, nil
}

func keepAuthority(ctx context.Context, s vault.Store, c attest.AuthorityChain) error {
	put := vault.Pair{Key: authorityKey, Value: canon.MustMarshal(authorityRecord{Version: authorityRecordVersion, Chain: c})}
	return s.Batch(ctx, []vault.Pair{put}, nil)
}

// load brings back the chain that this node has seen, and holds what it is configured with against it.
func (a *authority) load(ctx context.Context) error {
	n := a.core
	kept, now, rules, err := keptAuthority(ctx, n.cfg.Store, n.root())
	if err != nil {
		return err
	}
	if now != nil {
		a.use(kept, now, rules)
	}
	if n.cfg.Authority != nil {
		if err := a.take(ctx, n.cfg.Authority); err != nil {
			return err
		}
	}
	if key := n.cfg.EventInitiator; key != nil {
		if c := EventInitiator(a.now, key); c.Next != "" {
			n.cfg.Logger.Warn(c.Detail, "do", c.Next)
		}
	}
	if a.now == nil {
		n.cfg.Logger.Warn("no authority yet, so nobody may ask for anything: it comes from another node, or the operator's "+
			"`mpcd authority init`", "setting", "authority")
	}
	return nil
}

// EventInitiator is the check that an authority, nil for none, has the initiator whose key a node's settings name. It never keeps the node
// from being ready: what is set there gives nobody a right, so its absence is the officers' to mend, if it is to be one.
func EventInitiator(now *attest.Authority, key attest.Hex) Check {
	c := Check{Name: "event-initiator", OK: true}
	spec := "--initiator event_initiator=" + key.String()
	if now == nil {
		c.Detail = "no authority is in force, so the key of event_initiator_pubkey may ask for nothing"
		c.Next = "have the operator sign one: `mpcd authority init --dir DIR --quorum N --officer NAME=KEY " + spec + "`"
		return c
	}
	i, ok := now.InitiatorOf(key)
	if c.Detail = fmt.Sprintf("initiator %q of the authority has the key of event_initiator_pubkey", i.Name); !ok {
		c.Detail = fmt.Sprintf("the authority of serial %d has no initiator with the key of event_initiator_pubkey, which may ask for nothing",
			now.Serial)
		c.Next = "have the officers add it: `mpcd authority change --from authority.json --to next.json " + spec + " --as OFFICER --key FILE`"
	}
	return c
}

// root is the operator's public key.
func (n *core) root() ed25519.PublicKey { return ed25519.PublicKey(n.members.Roster().Root) }

// TakeAuthority puts a longer chain in the place of the one in use, durably: one that has all of it, and that the root, officers and
// authors have signed, each link by those of the one before. A shorter one of the same changes nothing. One that parted from it is refused:
// two have been signed.
func (n *Node) TakeAuthority(ctx context.Context, c attest.AuthorityChain) error {
	return n.authority.take(ctx, c)
}

// verifyAuthority returns the last authority of a chain that holds, and its rules.
func verifyAuthority(c attest.AuthorityChain, root ed25519.PublicKey) (*attest.Authority, *policy.Rules, error) {
	now, err := c.Verify(root)
	if err != nil {
		return nil, nil, err
	}
	rules, err := now.Rules()
	return now, rules, err
}

// judgeAuthority is verifyAuthority for a chain that somebody brings to a node of a cluster.
func judgeAuthority(c attest.AuthorityChain, root ed25519.PublicKey, cluster string) (*attest.Authority, *policy.Rules, error) {
	now, rules, err := verifyAuthority(c, root)
	if err != nil {
		return nil, nil, &problem.Error{Code: problem.Invalid, Message: "the authority does not hold",
			Next: "fetch it from the officers again", Err: err}
	}
	if now.Cluster != cluster {
		return nil, nil, problem.New(problem.Invalid, "fetch the authority of this cluster",
			"the authority is of cluster %q, this node is of %q", now.Cluster, cluster)
	}
	return now, rules, nil
}

// JudgeAuthority tells what a node of the cluster finds of a chain, whatever it has used itself, and returns its last.
func JudgeAuthority(c attest.AuthorityChain, root ed25519.PublicKey, cluster string) (*attest.Authority, error) {
	now, _, err := judgeAuthority(c, root, cluster)
	return now, err
}

func (a *authority) take(ctx context.Context, c attest.AuthorityChain) error {
	n := a.core
	now, rules, err := judgeAuthority(c, n.root(), n.cfg.Cluster)
	if err != nil {
		return err
	}
	a.taking.Lock()
	defer a.taking.Unlock()
	was, _ := a.current()
	switch {
	case was.Extends(c):
		return nil
	case !c.Extends(was):
		return partedAuthority(was, c)
	}
	if err := keepAuthority(ctx, n.cfg.Store, c); err != nil {
		return err
	}
	a.use(c, now, rules)
	n.cfg.Logger.Info("an authority is in force", "serial", now.Serial, "officers", len(now.Officers), "authors", len(now.Authors),
		"initiators", len(now.Initiators))
	n.desk.wake()
	n.peers.Tell()
	_, digest, _ := a.inForce()
	return n.cfg.AuditLog.Append(ctx, audit.Event{Name: "authority.taken",
		Facts: map[string]string{"serial": fmt.Sprint(now.Serial), "authority": digest.String()}})
}

// learn takes up what a peer sent. The signatures in it make it safe, whoever sent it.
func (a *authority) learn(ctx context.Context, env transport.Envelope) {
	if !a.sent.allow(a.core.cfg.Clock(), refusedTo{peer: env.From}, authoritiesMinute) {
		return
	}
	var rec authorityRecord
	err := canon.UnmarshalVersion(env.Body, authorityRecordVersion, &rec)
	was, _ := a.current()
	if err == nil && rec.After > uint64(len(was)) {
		return // it was for another run of ours
	}
	var c attest.AuthorityChain
	if err == nil {
		c = append(was[:rec.After:rec.After], rec.Chain...)
		err = a.take(ctx, c)
	}
	if err != nil {
		if problem.As(err).Code == problem.Conflict { // it holds, so it has a last
			a.refuse(env.From, c[len(c)-1].Authority.Digest())
		}
		a.core.remark(env.From, "a peer's authority is not taken up", err)
	}
}

// authorities sends a peer whose authority is older what it lacks: all of it, where the peer's has parted from it, for the peer to see.
func (w *watch) authorities(n *Node, id transport.NodeID) {
	notes, live := n.peers.Notes(id)
	chain, now := n.authority.current()
	after, parted := notes.Authority, n.authority.parted(id)
	if parted != "" {
		n.remark(id, "a peer "+parted, errParted)
		after = 0
	}
	if !live || now == nil || notes.Authority >= now.Serial || n.cfg.Clock().Sub(w.authority[id]) < authorityEvery {
		return
	}
	w.authority[id] = n.cfg.Clock()
	body := canon.MustMarshal(authorityRecord{authorityRecordVersion, after, chain[after:]})
	n.send(transport.Envelope{To: []transport.NodeID{id}, Kind: ceremony.KindAuthority, Body: body})
}
