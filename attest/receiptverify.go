package attest

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/threshold"
)

// DefaultSkew is how far the clocks of two nodes may be apart.
const DefaultSkew = 30 * time.Second

// ReceiptOptions is what a verifier knows besides the roster. At least one of Root and Fingerprint should be pinned: without
// them, the roster's own word says whose it is.
type ReceiptOptions struct {
	Root        ed25519.PublicKey // the operator's root key
	Fingerprint string            // of the roster
	Skew        time.Duration     // between the clocks of nodes; 0 is DefaultSkew
	NotAfter    time.Time         // a receipt of the future is refused; zero is no bound
	// Authority is the cluster's, by which it is judged who asked; nil judges nobody. It is verified under Root, or the roster's own.
	Authority AuthorityChain
}

// VerifyReceipt re-checks everything a receipt says, with the roster and the scheme alone; no network, no token. schemeByID
// tells the scheme (threshold/schemes.ByID). The error says which link of the chain does not hold.
func VerifyReceipt(r *Receipt, roster *SignedRoster, schemeByID func(threshold.SchemeID) (threshold.Scheme, error),
	o ReceiptOptions) error {
	if r == nil || roster == nil || schemeByID == nil {
		return errors.New("attest: receipt: want a receipt, a roster and the schemes")
	}
	if o.Skew == 0 {
		o.Skew = DefaultSkew
	}
	if err := checkRoster(r, roster, o); err != nil {
		return err
	}
	v := receiptCheck{r: r, roster: roster.Roster, root: roster.Root, o: o, intent: r.Intent.Hash(), schemeByID: schemeByID}
	for _, step := range []struct {
		name  string
		check func() error
	}{
		{"key", v.key},
		{"intent", v.checkIntent},
		{"initiation", v.initiation},
		{"path", v.path},
		{"payload", v.payload},
		{"policy", v.policy},
		{"cosignature", v.cosign},
		{"settlement", v.settlement},
		{"shares", v.shares},
		{"signature", v.signature},
	} {
		if err := step.check(); err != nil {
			return fmt.Errorf("attest: receipt: %s: %w", step.name, err)
		}
	}
	return nil
}

// checkRoster makes sure the receipt is judged by the roster it was made under, and that one by its operator.
func checkRoster(r *Receipt, roster *SignedRoster, o ReceiptOptions) error {
	if err := roster.Verify(o.Root); err != nil {
		return err
	}
	fp := roster.Fingerprint()
	if o.Fingerprint != "" && fp != o.Fingerprint {
		return fmt.Errorf("%w: its fingerprint is %s, the pinned one is %s", ErrRoster, fp, clip(o.Fingerprint))
	}
	if r.Version != ReceiptVersion {
		return receiptVersionError(r.Version)
	}
	if r.Roster != fp {
		return fmt.Errorf("%w: the receipt was made under roster %s, this one is %s (serial %d); get the roster it names", ErrRoster,
			clip(r.Roster), fp, roster.Roster.Serial)
	}
	if r.Cluster != roster.Roster.Cluster {
		return misbound("cluster")
	}
	return nil
}

// receiptCheck carries what one step learns to the next.
type receiptCheck struct {
	r      *Receipt
	roster Roster
	root   Hex // of the operator
	o      ReceiptOptions
	intent [32]byte
	// authority is the one that the intent names, nil where none is judged by, and decoded what the intent's payload says.
	authority *Authority
	decoded   *intent.Decoded
	// schemeByID tells the scheme that the intent names.
	schemeByID func(threshold.SchemeID) (threshold.Scheme, error)
	scheme     threshold.Scheme
	info       threshold.KeyInfo
	cosigned,
	settled time.Time
}

// key: the name is derived from kind and group key, the committee is of the roster.
func (v *receiptCheck) key() error {
	k := v.r.Key
	if k.KeyID != KeyID(k.Kind, k.GroupKey) {
		return misbound("key_id")
	}
	info, err := k.info(v.roster)
	if err != nil {
		return err
	}
	if len(k.PublicShares) != info.Committee.N() {
		return fmt.Errorf("%d public shares for %d parties", len(k.PublicShares), info.Committee.N())
	}
	if k.Epoch == 0 {
		return misbound("epoch")
	}
	v.info = info
	return nil
}

// checkIntent: it asks for a signature with this key, by these signers and a scheme that signs with such keys, and the receipt is
// its receipt.
func (v *receiptCheck) checkIntent() error {
	r, i := v.r, v.r.Intent
	if err := i.Validate(); err != nil {
		return err
	}
	switch {
	case i.Operation != OpSign:
		return misbound("operation")
	case i.Cluster != r.Cluster:
		return misbound("cluster")
	case i.RequestID != r.SessionID:
		return misbound("session_id")
	case r.ID != ReceiptID(v.intent):
		return misbound("id")
	case i.KeyID != r.Key.KeyID:
		return misbound("key_id")
	case i.Epoch != r.Key.Epoch:
		return misbound("epoch")
	case !slices.Equal(i.Signers, r.Signers):
		return misbound("signers")
	}
	var err error
	if v.scheme, err = v.schemeByID(i.Scheme); err != nil {
		return err
	}
	if v.scheme.Kind().ID != v.info.Kind {
		return misbound("scheme")
	}
	return v.info.Committee.CheckQuorum(r.Signers)
}

// initiation: an initiator of the authority that was in force asked for it, and might.
func (v *receiptCheck) initiation() error {
	chain, root := v.o.Authority, ed25519.PublicKey(v.root)
	if chain == nil {
		return nil
	}
	if _, err := chain.Verify(root); err != nil {
		return err
	}
	i := v.r.Intent
	if i.Initiation == nil {
		return fmt.Errorf("%w: no initiator has signed it", ErrNotInitiated)
	}
	if v.authority = chain.Named(i.Authority); v.authority != nil {
		return v.authority.CheckInitiation(i, time.UnixMilli(i.Created))
	}
	return fmt.Errorf("%w: the chain has none with the digest %s, under which it was asked for; get a newer one", ErrAuthority, i.Authority)
}

// path: the key that signed is the one that the path leads to, and no tweak but that of the path went into it.
func (v *receiptCheck) path() error { return v.r.Intent.CheckTweaks(v.scheme, v.info) }

// payload: what was signed is what the payload, where the caller gave one, means to its network.
func (v *receiptCheck) payload() (err error) {
	v.decoded, err = v.r.Intent.Decode(v.scheme, v.info)
	return err
}

// policy: the node that proposed permitted it, and so do the rules of the authority. What they bound over a time, only the signers could
// count: here it is the amounts of the intent alone.
func (v *receiptCheck) policy() error {
	if v.r.Policy.Verdict != VerdictPermit {
		return misbound("verdict")
	}
	if v.authority == nil {
		return nil
	}
	rules, err := v.authority.Rules()
	if err != nil {
		return err
	}
	if err := v.authority.CheckApprovals(v.r.Intent, v.decoded, time.UnixMilli(v.r.Intent.Created)); err != nil {
		return err
	}
	if x := v.authority.Judge(rules, v.r.Intent, v.decoded, v.info, nil); !x.Allow {
		return fmt.Errorf("%w by rule %q: %s", ErrDenied, x.Rule, x.Why)
	}
	return nil
}

// cosign: the proposing node's hardware signed the intent, not before it was made.
func (v *receiptCheck) cosign() error {
	if v.r.Cosign.Node != v.r.Intent.Node {
		return fmt.Errorf("%w: %s, but %s proposed", ErrWrongNode, clip(v.r.Cosign.Node), clip(v.r.Intent.Node))
	}
	n, err := v.roster.Node(v.r.Cosign.Node)
	if err != nil {
		return err
	}
	pub, err := n.Cosign()
	if err != nil {
		return err
	}
	want := Expect{Kind: KindCosign, Cluster: v.r.Cluster, Node: n.ID, NotBefore: time.UnixMilli(v.r.Intent.Created).Add(-v.o.Skew),
		NotAfter: v.o.NotAfter}
	v.cosigned, err = Verify(pub, want, v.intent[:], v.r.Cosign.Attestation)
	return err
}

// settlement: the node that proposed covers every other field, at the receipt's own time, after the cosignature.
func (v *receiptCheck) settlement() error {
	if v.r.Settlement.Node != v.r.Intent.Node {
		return fmt.Errorf("%w: %s, but %s proposed", ErrWrongNode, clip(v.r.Settlement.Node), clip(v.r.Intent.Node))
	}
	n, err := v.roster.Node(v.r.Settlement.Node)
	if err != nil {
		return err
	}
	pub, err := n.Attest()
	if err != nil {
		return err
	}
	want := Expect{Kind: KindSettlement, Cluster: v.r.Cluster, Node: n.ID, NotBefore: v.cosigned.Add(-v.o.Skew), NotAfter: v.o.NotAfter}
	digest := v.r.Digest()
	v.settled, err = Verify(pub, want, digest[:], v.r.Settlement.Attestation)
	if err != nil {
		return err
	}
	if v.settled.UnixMilli() != v.r.Time {
		return misbound("time_ms")
	}
	return nil
}

// shares: one from every signer, attested by the key pinned for it, for this very intent, between cosignature and settlement.
func (v *receiptCheck) shares() error {
	r := v.r
	if len(r.Shares) != len(r.Signers) {
		return fmt.Errorf("%d shares of %d signers", len(r.Shares), len(r.Signers))
	}
	req := r.Intent.SignRequest()
	req.Pre = &threshold.Presignature{
		ID: r.Presignature, Scheme: r.Intent.Scheme, Session: threshold.SessionID(r.PresignSession), Signers: r.Signers,
	}
	for i, s := range r.Shares {
		if s.Party != r.Signers[i] {
			return fmt.Errorf("share %d is of party %d, the signer there is %d", i, s.Party, r.Signers[i])
		}
		if err := v.share(s, req); err != nil {
			return fmt.Errorf("party %d: %w", s.Party, err)
		}
	}
	return nil
}

func (v *receiptCheck) share(s ReceiptShare, req threshold.SignRequest) error {
	n, err := v.roster.ByParty(s.Party)
	if err == nil && n.Removed {
		_, err = v.roster.Node(n.ID) // which says it
	}
	if err != nil {
		return err
	}
	if s.Node != n.ID {
		return fmt.Errorf("%w: %s, but the roster's is %s", ErrWrongNode, clip(s.Node), n.ID)
	}
	pub, err := n.Attest()
	if err != nil {
		return err
	}
	at, err := s.Attestation.Time()
	if err != nil {
		return err
	}
	key := v.info
	key.Party = s.Party
	want := NewStatement(v.r.Cluster, n.ID, key, v.r.Key.KeyID, req, v.intent)
	share := AttestedShare{
		Share:       threshold.SignatureShare{From: s.Party, Pre: v.r.Presignature, Payload: s.Share},
		Statement:   want,
		Attestation: s.Attestation,
	}
	share.Statement.ShareHash, share.Statement.Time = ShareHash(share.Share), at.UnixMilli()
	return VerifyShare(pub, ShareExpect{want, v.cosigned.Add(-v.o.Skew), v.settled.Add(v.o.Skew)}, &share)
}

// signature: the chain would take it, under the group key, for the message of the intent.
func (v *receiptCheck) signature() error {
	req, id := v.r.Intent.SignRequest(), -1
	var err error
	if s, ok := v.scheme.(threshold.Recoverer); ok {
		id, err = s.RecoveryID(v.r.Key.GroupKey, req.Tweaks, req.Message, v.r.Signature)
	} else {
		err = v.scheme.Verify(v.r.Key.GroupKey, req.Tweaks, req.Message, v.r.Signature)
	}
	if err == nil && v.r.RecoveryID != id {
		return misbound("recovery_id")
	}
	return err
}
