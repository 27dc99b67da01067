package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
)

// freezeRoutes are those of what nobody may use until officers have thawed it.
func (s *server) freezeRoutes(doc huma.API) {
	add(s, doc, route{"GET", "/api/v1/freezes", "listFreezes", "List what is frozen, or was", readers, 0, nil}, s.freezes)
	add(s, doc, route{"POST", "/api/v1/freezes", "freeze", "Freeze a wallet, a vault or the cluster, at all nodes at once", stoppers, 0,
		[]int{404}}, s.freeze)
	add(s, doc, route{"POST", "/api/v1/freezes/{id}/thaw", "thaw", "Bring the officers' word that a freeze is over", stoppers, 0, []int{404}},
		s.thaw)
}

type freezeOut struct{ Body wire.Freeze }

func (s *server) freezes(ctx context.Context, _ *struct{}) (*struct{ Body wire.FreezeList }, error) {
	all, err := s.backend(ctx).Freezes(ctx)
	if err != nil {
		return nil, err
	}
	out := wire.FreezeList{Freezes: []wire.Freeze{}}
	for _, f := range all {
		out.Freezes = append(out.Freezes, renderFreeze(&f).Body)
	}
	return &struct{ Body wire.FreezeList }{out}, nil
}

// freezeBody is what is to be frozen.
type freezeBody struct {
	SessionID string `json:"session_id,omitempty" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" doc:"Accepted and not needed: to freeze twice does no harm."`
	Scope     string `json:"scope" enum:"cluster,vault,wallet" doc:"How much."`
	Name      string `json:"name,omitempty" maxLength:"256" doc:"The vault, or the wallet; absent for the cluster."`
	Reason    string `json:"reason" minLength:"1" maxLength:"128" example:"payments nobody knows" doc:"For people: every refusal says it."`
}

func (s *server) freeze(ctx context.Context, in *struct{ Body freezeBody }) (*freezeOut, error) {
	b := in.Body
	if b.Scope == string(attest.ScopeVault) {
		if err := CheckVault(b.Name); err != nil || b.Name == "" {
			return nil, invalidField("name", "name the vault", "no vault is named")
		}
	}
	if (b.Scope == string(attest.ScopeCluster)) != (b.Name == "") {
		return nil, invalidField("name", "name the wallet, and nothing for the cluster", "name and scope do not fit")
	}
	if len(b.Reason) > attest.MaxReason || !attest.Printable(b.Reason) {
		return nil, invalidField("reason", fmt.Sprintf("at most %d bytes of letters, digits, signs and spaces", attest.MaxReason),
			"the reason is too long, or has characters that cannot be seen")
	}
	f, err := s.backend(ctx).Freeze(ctx, appliance.FreezeRequest{Scope: attest.Scope(b.Scope), Name: b.Name, Reason: b.Reason,
		Requester: callOf(ctx).requester})
	if err != nil {
		return nil, err
	}
	out := renderFreeze(f)
	if b.Scope == string(attest.ScopeVault) { // which may have its first wallet tomorrow, or be misspelled
		if has, _, err := s.Backend.Wallets(ctx, appliance.Page{Size: 1, Vaults: []string{b.Name}}); err == nil && len(has) == 0 {
			out.Body.Note = fmt.Sprintf("no wallet of vault %s is known here; the freeze is in force all the same", b.Name)
		}
	}
	return out, nil
}

// thawWord is an officer's word on a thaw.
type thawWord struct {
	By        string `json:"by" minLength:"1" maxLength:"63" doc:"The officer, in the cluster's authority."`
	Signature string `json:"signature" minLength:"130" maxLength:"130" pattern:"^0x[0-9a-f]{128}$" doc:"64 bytes in hex, over the digest of the freeze and of the authority in force; mpcd freeze thaw makes it."`
}

func (s *server) thaw(ctx context.Context, in *struct {
	ID   string `path:"id" minLength:"66" maxLength:"66" pattern:"^0x[0-9a-f]{64}$" doc:"The freeze."`
	Body struct {
		Signatures []thawWord `json:"signatures" minItems:"1" maxItems:"32" doc:"Of as many officers as the authority's quorum says."`
	}
}) (*freezeOut, error) {
	var id attest.Hash
	if err := id.UnmarshalText([]byte(in.ID)); err != nil {
		return nil, &problem.Error{Code: problem.NotFound, Message: "there is no such freeze", Next: "list them with GET /api/v1/freezes"}
	}
	var words []attest.AuthoritySignature
	for i, w := range in.Body.Signatures {
		sig, err := parseHex(spelled[string]{fmt.Sprintf("signatures[%d].signature", i), w.Signature})
		if err != nil {
			return nil, err
		}
		words = append(words, attest.AuthoritySignature{By: w.By, Signature: sig})
	}
	f, err := s.backend(ctx).Thaw(ctx, id, words)
	if err != nil {
		return nil, err
	}
	return renderFreeze(f), nil
}

func renderFreeze(f *appliance.FreezeState) *freezeOut {
	out := wire.Freeze{ID: f.Freeze.Digest().String(), Frozen: f.Freeze.What(), Reason: f.Freeze.Reason, InForce: f.Thaw == nil,
		Authority: f.Authority.String(), Statement: json.RawMessage(f.Freeze.JSON()), ThawedBy: []string{}}
	if f.Thaw != nil {
		for _, s := range f.Thaw.Signatures {
			out.ThawedBy = append(out.ThawedBy, s.By)
		}
	}
	return &freezeOut{out}
}
