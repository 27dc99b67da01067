package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/internal/canon"
)

// maxWord is the longest answer of a webhook, in bytes.
const maxWord = 16 << 10

var webhooks = newFetcher(nil)

// AskWebhook is an appliance.AskFunc: it posts the operation, as GET /operations/{id} answers it, and reads an approval, or a rejection, as
// POST /operations/{id}/approvals takes it. Of what is no such thing nothing is told on.
func AskWebhook(ctx context.Context, address string, o *appliance.Operation) (*attest.Approval, error) {
	out, err := renderOperation(o)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(out.Body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	b, err := fetch(webhooks, r, maxWord)
	if err != nil {
		return nil, &problem.Error{Code: problem.Unapproved, Message: "its webhook does not answer", Err: err,
			Next: "start it and read its log, or have officers change its address"}
	}
	var x wire.Approval
	if canon.UnmarshalJSON(b, &x) != nil {
		return nil, problem.New(problem.Unapproved, "have it answer what `mpcd approve --out FILE` writes",
			"its webhook answers what is no approval")
	}
	return &attest.Approval{By: x.By, Expires: x.Expires, Signature: attest.Hex(x.Signature), Rejects: x.Rejects}, nil
}
