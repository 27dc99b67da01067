package host

import (
	"strings"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// VerifyReceipt checks a receipt, in JSON, with a roster and the authority alone: request, who asked, cosignature, attested shares,
// signature, settlement. Without an authority it is not judged who asked.
func VerifyReceipt(b []byte, roster *attest.SignedRoster, authority attest.AuthorityChain) (*Report, error) {
	r, err := attest.ParseReceipt(b)
	if err == nil {
		err = attest.VerifyReceipt(r, roster, schemes.ByID, attest.ReceiptOptions{NotAfter: time.Now().Add(attest.DefaultSkew),
			Authority: authority})
	}
	if err != nil {
		return nil, &fault.Error{Code: fault.CodeIntegrity, What: "the receipt is refused", Err: err,
			Do: "fetch it again; if it stays so, it was changed or made under another roster"}
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
	if len(r.Intent.Path) > 0 {
		path := wire.FormatPath(r.Intent.Path)
		v["derivation_path"] = path
		rows = append(rows, [2]any{"path", path})
	}
	return &Report{v, append(rows, [][2]any{{"cosigned by", r.Cosign.Node}, {"attested by", strings.Join(nodes, ", ")},
		{"settled by", r.Settlement.Node}, {"time", at}}...)}, nil
}
