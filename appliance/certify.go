package appliance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/ceremony"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// certificateLeaf is what a party's hardware attests when the party has stored its share durably. The leaves of all parties
// together are the success certificate of a key at an epoch; it convinces anybody, also a party that missed the end.
type certificateLeaf struct {
	KeyID  string              `cbor:"1,keyasint"`
	Epoch  uint64              `cbor:"2,keyasint"`
	Digest [32]byte            `cbor:"3,keyasint"` // threshold.KeyInfo.Digest
	Party  threshold.PartyID   `cbor:"4,keyasint"`
	Label  string              `cbor:"5,keyasint"`
	Group  string              `cbor:"6,keyasint"`
	Scheme threshold.SchemeID  `cbor:"7,keyasint"` // keys.Record.Scheme
	All    []threshold.PartyID `cbor:"8,keyasint"`
	Pairs  [32]byte            `cbor:"9,keyasint"` // digest of the committee's pair state, zero where the scheme has none
}

// certificates are what a node stores of a key's epoch: those of all its parties, ascending.
type certificates struct {
	Version uint8         `cbor:"1,keyasint"`
	Each    []certificate `cbor:"2,keyasint"`
}

const certificatesVersion = 2

// certificate is one party's attestation of its leaf.
type certificate struct {
	Party threshold.PartyID `cbor:"1,keyasint"`
	Cose  []byte            `cbor:"2,keyasint"`
}

func certificateKey(id string, epoch uint64) []byte {
	return fmt.Appendf(nil, "node/certificate/%s/%d", id, epoch)
}

func parseCertificates(of string, b []byte) ([]certificate, error) {
	var c certificates
	if err := canon.UnmarshalVersion(b, certificatesVersion, &c); err != nil {
		return nil, problem.Unreadable("the certificate of "+of, problem.Restore, err)
	}
	return c.Each, nil
}

func (n *core) leaf(id string, info threshold.KeyInfo, rec keys.Record, p threshold.PartyID) []byte {
	return canon.MustMarshal(certificateLeaf{id, info.Epoch, info.Digest(), p, rec.Label, rec.Group, rec.Scheme,
		info.Committee.Parties, rec.Pairs})
}

// stage stores a share durably without making it the one that signs.
func (n *making) stage(ctx context.Context, id string, share *threshold.KeyShare) error {
	b := share.Bytes()
	defer b.Wipe()
	err := n.cfg.Vault.Store(ctx, id, b.Bytes(), vault.Meta{
		KeyKind: string(share.Kind), Index: uint16(share.Party), Threshold: share.Committee.Threshold, TotalParties: share.Committee.N(),
		PublicShare: share.PublicShare(share.Party), GroupKey: share.GroupKey, Epoch: share.Epoch, Info: canon.MustMarshal(share.KeyInfo),
	})
	if err != nil {
		return n.damage.Failed("the new share of wallet "+id, "cannot be stored", err)
	}
	return nil
}

// certify attests that our share is durable, tells the others, and collects what they attest.
func (n *making) certify(ctx context.Context, c *ceremony.Ceremony, id string, info threshold.KeyInfo,
	rec keys.Record) ([]certificate, error) {
	own, err := n.ownCertificate(ctx, id, info, rec)
	if err != nil {
		return nil, err
	}
	certs := []certificate{own}
	c.Tell(ceremony.KindCertificate, canon.MustMarshal(certs[0]))
	want, _ := n.members.Others(info.Committee.Parties)
	err = c.Gather(ctx, ceremony.KindCertificate, want, func(from threshold.PartyID, env transport.Envelope) error {
		var cert certificate
		if err := canon.Unmarshal(env.Body, &cert); err != nil || cert.Party != from {
			return &threshold.Abort{Kind: threshold.Ban, Check: "certificate", Culprits: []threshold.PartyID{from},
				Err: errors.New("unreadable certificate")}
		}
		if err := n.verifyCertificate(n.members, id, info, rec, cert); err != nil {
			return &threshold.Abort{Kind: threshold.Ban, Check: "certificate", Culprits: []threshold.PartyID{from}, Err: err}
		}
		certs = append(certs, cert)
		return nil
	})
	slices.SortFunc(certs, func(a, b certificate) int { return int(a.Party) - int(b.Party) })
	return certs, err
}

// maxCertificate bounds a certificate, in bytes: a signed root and header.
const maxCertificate = 4096

// ownCertificate has the token attest that our share is durable.
func (n *making) ownCertificate(ctx context.Context, id string, info threshold.KeyInfo, rec keys.Record) (certificate, error) {
	self := n.members.SelfParty()
	batch, err := attest.Attest(ctx, n.token.hsm, n.token.attest, n.token.header(attest.KindKeygen), [][]byte{n.leaf(id, info, rec, self)})
	if err != nil {
		return certificate{}, tokenFailed("the token did not attest the new share", err)
	}
	return certificate{self, batch.Cose}, nil
}

// verifyCertificate checks one certificate of a set that must be of all parties, by a roster. What a party attested counts also after it
// was removed: the others may have completed the epoch before, and who lags would lose its share.
func (n *core) verifyCertificate(by *ceremony.Members, id string, info threshold.KeyInfo, rec keys.Record, cert certificate) error {
	node, key, ok := by.Signer(cert.Party)
	if !ok {
		return fmt.Errorf("party %d is not in the roster", cert.Party)
	}
	_, err := attest.VerifyBatch(key, attest.Expect{Kind: attest.KindKeygen, Cluster: n.cfg.Cluster, Node: string(node)},
		[][]byte{n.leaf(id, info, rec, cert.Party)}, cert.Cose)
	return err
}

// errOtherToken is of certificates that are of no roster which this node has, or no longer: they may be good, and be bent.
var errOtherToken = errors.New("its certificates are by the tokens of no roster that this node has: a party's token was replaced since, " +
	"or they are forged")

// verifyCertificates checks that all parties have certified an epoch, to show it and not to act by it: by the roster in use or, since the
// token of a party may have been replaced after it, by one that this node keeps, the same for all; errOtherToken where none fits.
func (n *core) verifyCertificates(ctx context.Context, id string, info threshold.KeyInfo, rec keys.Record, certs []certificate) error {
	now := n.verifyCertificatesBy(n.members, id, info, rec, certs)
	if now == nil {
		return nil
	}
	kept, err := n.keptRosters(ctx)
	if err != nil {
		return err
	}
	for _, r := range kept {
		by, err := ceremony.NewMembers(r, n.cfg.Node)
		if err == nil && n.verifyCertificatesBy(by, id, info, rec, certs) == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", errOtherToken, now)
}

func (n *core) verifyCertificatesBy(by *ceremony.Members, id string, info threshold.KeyInfo, rec keys.Record, certs []certificate) error {
	if len(certs) != info.Committee.N() {
		return errors.New("the certificate does not fit the share")
	}
	for i, cert := range certs {
		if cert.Party != info.Committee.Parties[i] {
			return errors.New("the certificate lacks a party")
		}
		if err := n.verifyCertificate(by, id, info, rec, cert); err != nil {
			return err
		}
	}
	return nil
}

// activate makes a certified epoch the one that signs; the epoch before is destroyed with it.
func (n *making) activate(ctx context.Context, id string, rec keys.Record, info threshold.KeyInfo, certs []certificate) error {
	ctx = context.WithoutCancel(ctx)
	complete := canon.MustMarshal(certificates{certificatesVersion, certs})
	if err := n.cfg.Store.Batch(ctx, []vault.Pair{{Key: certificateKey(id, info.Epoch), Value: complete}}, nil); err != nil {
		return err
	}
	if meta, err := n.cfg.Vault.GetMeta(id); err == nil && meta.Epoch == info.Epoch {
		// activated before, and interrupted before the record was written
	} else if err := n.cfg.Vault.Activate(ctx, id, info.Epoch); err != nil {
		return n.damage.Failed("the new share of wallet "+id, "cannot be activated", err)
	}
	if scheme, err := n.cfg.Schemes(rec.Scheme); err == nil {
		if s, ok := scheme.(threshold.Pairer); ok {
			if err := n.pairs.Adopt(ctx, s, info.Committee, rec.Pairs); err != nil {
				return err
			}
		}
	}
	event, facts := "refresh.done", map[string]string{"wallet": id, "epoch": fmt.Sprint(info.Epoch)}
	if info.Epoch == 1 {
		rec.State, event, facts["session"] = keys.Proving, "keygen.certified", rec.SessionID // what the keygen's beginning goes by
	} else {
		n.keys.Retire(id, rec.Info.Epoch)
	}
	rec.Info = info
	rec.Attempts = slices.DeleteFunc(slices.Clone(rec.Attempts), func(a keys.Attempt) bool { return a.Epoch <= info.Epoch })
	if err := n.keys.Put(ctx, id, rec); err != nil {
		return err
	}
	return n.cfg.AuditLog.Append(ctx, audit.Event{Name: event, Facts: facts})
}
