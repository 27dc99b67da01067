package host

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// VerifySignature checks a signature over a message as its chain would, by the scheme that is named, or the curve's first for a key of that
// form; a key of ECDSA may also be uncompressed.
func VerifySignature(curve, protocol string, pub, message, signature []byte) (*Report, error) {
	var s threshold.Scheme
	for _, x := range schemes.All() {
		if k := x.Kind(); s == nil && protocol == "" && k.Curve == curve && k.Shown(pub) != nil {
			s = x
		}
	}
	if s == nil {
		var err error
		if s, err = schemes.For(curve, protocol); err != nil {
			return nil, fault.Usage("use --curve ed25519, or --curve secp256k1 with --protocol frost (Taproot) or dkls23 (ECDSA)", "%w", err)
		}
	}
	if k, err := secp256k1.ParsePubKey(pub); err == nil && pub[0] == 4 {
		pub = k.SerializeCompressed()
	}
	if err := s.Verify(pub, nil, message, signature); err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, What: "the signature does not verify", Err: err,
			Do: "compare key, message and signature with what was signed"}
	}
	return &Report{map[string]any{"valid": true, "scheme": s.ID()}, [][2]any{{"valid", s.ID()}}}, nil
}

// Checked is a receipt that holds, what its payload says, and where it is on record, if it shows that.
type Checked struct {
	*attest.Receipt
	Decoded *intent.Decoded
	logged  appliance.Logged
}

// CheckReceipt checks a receipt, in JSON, with a roster and the authority alone: request, who asked, cosignature, attested shares,
// signature, settlement; and, where it shows one, the audit log that it is in. Without an authority it is not judged who asked.
func CheckReceipt(b []byte, roster *attest.SignedRoster, authority attest.AuthorityChain) (*Checked, error) {
	r, err := attest.ParseReceipt(b)
	if err == nil {
		err = attest.VerifyReceipt(r, roster, schemes.ByID, attest.ReceiptOptions{NotAfter: time.Now().Add(attest.DefaultSkew),
			Authority: authority})
	}
	x := &Checked{Receipt: r}
	if err == nil && r.Logged != nil {
		x.logged, err = appliance.CheckLogged(r, roster)
	}
	if err == nil {
		x.Decoded, err = r.Decode(roster.Roster, schemes.ByID)
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// VerifyReceipt is CheckReceipt for whoever reads what it found: so many other nodes must have witnessed the audit log that it is in, of
// them so many by ML-DSA-44 too.
func VerifyReceipt(b []byte, roster *attest.SignedRoster, authority attest.AuthorityChain, witnesses, mldsa int) (*Report, error) {
	x, err := CheckReceipt(b, roster, authority)
	if err != nil {
		f := &fault.Error{Code: fault.CodeIntegrity, What: "the receipt is refused", Err: err,
			Do: "fetch it again; if it stays so, it was changed or made under another roster"}
		if errors.Is(err, attest.ErrDenied) || errors.Is(err, attest.ErrNotInitiated) || errors.Is(err, attest.ErrNotApproved) {
			f.Do = "find out why nodes signed it: it was not asked for or approved by who may, or the rules of its authority do not permit it"
		} else if errors.Is(err, attest.ErrAuthority) {
			f.Do = "give the newest authority.json of the cluster, from a node or its officers: --authority; if it stays so, it was changed"
		}
		return nil, f
	}
	r, d, logged := x.Receipt, x.Decoded, x.logged
	if len(logged.Witnesses) < witnesses {
		return nil, &fault.Error{Code: fault.CodeIntegrity,
			What: fmt.Sprintf("the receipt holds, and %d other nodes have witnessed that it is on record, wanted are %d",
				len(logged.Witnesses), witnesses),
			Do: fetchReceipt}
	}
	if strong := len(byMLDSA(logged.Witnesses)); strong < mldsa {
		return nil, fewMLDSA("the receipt holds", "the checkpoint that it is under", strong, mldsa, fetchReceipt)
	}
	at := time.UnixMilli(r.Time).UTC().Format(time.RFC3339)
	var nodes []string
	for _, s := range r.Shares {
		nodes = append(nodes, s.Node)
	}
	v := map[string]any{"valid": true, "receipt_id": r.ID, "cluster": r.Cluster, "key_id": r.Key.KeyID, "signers": nodes,
		"signature": r.Signature, "time": at}
	rows := [][2]any{{"valid", r.ID}, {"cluster", r.Cluster},
		{"key", r.Key.KeyID}}
	asked := "not judged"
	if authority != nil {
		asked = r.Intent.Initiation.By
		v["initiator"] = asked
	}
	rows = append(rows, [2]any{"asked by", asked})
	if d != nil {
		v["decoded"] = d
		for _, x := range d.Rows() {
			rows = append(rows, [2]any{x[0], x[1]})
		}
	}
	if authority != nil {
		v["rule"] = r.Policy.Rule
		rows = append(rows, [2]any{"permitted by", r.Policy.Rule})
		if rules, err := authority.Named(r.Intent.Authority).Rules(); err == nil && rules.Caveat() != "" { // by which it was judged
			v["caveat"] = rules.Caveat()
			rows = append(rows, [2]any{"but", rules.Caveat()})
		}
		var agreed, shown []string
		for _, x := range r.Intent.Approvals {
			agreed, shown = append(agreed, x.By), append(shown, x.By)
			if at := x.Origin(); at != "" {
				shown[len(shown)-1] += " (by passkey at " + at + ", user verified)"
			}
		}
		if len(agreed) > 0 {
			v["approvers"] = agreed
			rows = append(rows, [2]any{"approved by", strings.Join(shown, ", ")})
		}
	}
	if len(r.Intent.Path) > 0 {
		path := wire.FormatPath(r.Intent.Path)
		v["derivation_path"] = path
		rows = append(rows, [2]any{"path", path})
	}
	rows = append(rows, [][2]any{{"cosigned by", r.Cosign.Node}, {"attested by", strings.Join(nodes, ", ")},
		{"settled by", r.Settlement.Node}, {"time", at}}...)
	return &Report{v, append(rows, [2]any{"on record", onRecord(r, logged, v)})}, nil
}

const fetchReceipt = "fetch it again with `mpcd key receipt` in some minutes, while the node that settled it and its witnesses run"

// onRecord says where a receipt is on record, in words and in v.
func onRecord(r *attest.Receipt, l appliance.Logged, v map[string]any) string {
	if r.Logged == nil {
		return "not shown: fetch the receipt again in a minute"
	}
	names := []string{}
	for _, w := range l.Witnesses {
		names = append(names, w.Node)
	}
	v["logged"] = map[string]any{"node": r.Settlement.Node, "entry": l.Entry.Seq, "entries": l.Under.Size, "witnesses": names,
		"witnesses_mldsa": byMLDSA(l.Witnesses)}
	strong := ""
	if all := byMLDSA(l.Witnesses); len(all) > 0 {
		strong = ", by ML-DSA-44 too " + strings.Join(all, ", ")
	}
	return fmt.Sprintf("as entry %d of the audit log of %s, under its checkpoint of %d entries, witnessed by %s%s", l.Entry.Seq,
		r.Settlement.Node, l.Under.Size, cmp.Or(strings.Join(names, ", "), "nobody"), strong)
}

// DecodeIntent reads what an intent asks a key to do; nil where it has no payload.
func DecodeIntent(in attest.Intent, k attest.KeyRecord) (*intent.Decoded, error) {
	all := schemes.All()
	i := slices.IndexFunc(all, func(s threshold.Scheme) bool { return s.Kind().ID == k.Kind })
	if i < 0 {
		return nil, fmt.Errorf("keys of kind %.64q are not known", k.Kind)
	}
	return in.Decode(all[i], threshold.KeyInfo{Kind: k.Kind, GroupKey: k.GroupKey, ChainCode: k.ChainCode})
}
