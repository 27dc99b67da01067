package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance/operation"
	"github.com/luxfi/mpcd/client/wire"
)

// bearer names the security scheme in the OpenAPI document.
const bearer = "bearer"

// Who may do what. A role that is in none of these sets may do nothing here.
var (
	signers  = []Role{Requester}
	deciders = []Role{Approver}
	admins   = []Role{KeyAdmin}
	readers  = Roles()
	auditors = []Role{Auditor}
	stoppers = []Role{NodeOperator}
	watchers = []Role{Viewer, NodeOperator, Auditor}
)

// route describes one endpoint.
type route struct {
	method, path string
	id           string // of the operation
	summary      string
	roles        []Role // nil is open to everybody
	status       int    // of success; 0 is 200
	errors       []int  // beside those that every route of its kind has
}

func (s *server) routes(doc huma.API) {
	add(s, doc, route{"POST", "/api/v1/keygen", "keygen", "Make a key that no node holds", admins, 0, []int{502}}, s.keygen)
	add(s, doc, route{"POST", "/api/v1/vaults/{vaultId}/wallets", "createVaultWallet", "Make a key in a vault", admins, 201, []int{502}},
		s.vaultWallet)
	add(s, doc, route{"POST", "/api/v1/sign", "sign", "Sign a message or digest", signers, 0, []int{404, 502}}, s.sign)
	add(s, doc, route{"POST", "/api/v1/generate_mpc_sig", "generateMPCSig", "Sign what a chain signs; the same as sign", signers, 0,
		[]int{404, 502}}, s.sign)
	add(s, doc, route{"POST", "/api/v1/refresh", "refresh", "Make the shares of a key anew", admins, 0, []int{404, 502}}, s.refresh)
	add(s, doc, route{"POST", "/api/v1/wallets/{walletId}/reshare", "reshare", "Make the shares of a wallet anew", admins, 0, []int{404, 502}},
		s.reshare)
	add(s, doc, route{"POST", "/api/v1/wallets/{id}/prove-threshold", "proveThreshold",
		"Prove again that every quorum signs and one fewer does not", admins, 0, []int{404, 502}}, s.prove)

	add(s, doc, route{"GET", "/api/v1/wallets", "listWallets", "List the wallets", readers, 0, nil}, s.wallets)
	add(s, doc, route{"GET", "/api/v1/wallets/{id}", "getWallet", "Show a wallet", readers, 0, []int{404}}, s.wallet)
	add(s, doc, route{"GET", "/api/v1/wallets/{id}/derive", "deriveKey",
		"Show a key below an ECDSA wallet, with its addresses, without signing", readers, 0, []int{404}}, s.derive)
	add(s, doc, route{"GET", "/api/v1/nodes", "listNodes", "Show the roster, as this node sees it", readers, 0, nil}, s.nodes)
	add(s, doc, route{"GET", "/api/v1/receipts/{id}", "getReceipt",
		"Show the chain of evidence for a signature; mpcd attest verify checks it offline", readers, 0, []int{404}}, s.receipt)
	add(s, doc, route{"GET", "/api/v1/audit", "listAudit", "Read this node's audit log", auditors, 0, nil}, s.audit)
	add(s, doc, route{"GET", "/api/v1/audit/checkpoints", "listCheckpoints", "List the checkpoints of audit logs that this node has witnessed",
		auditors, 0, nil}, s.checkpoints)

	s.deskRoutes(doc)
	s.freezeRoutes(doc)
	s.health(doc, route{"GET", "/livez", "livez", "Does the process answer? Depends on nobody else", nil, 0, nil}, s.livez)
	s.health(doc, route{"GET", "/readyz", "readyz", "Can the node serve a signature now?", nil, 0, []int{503}}, s.readyz)
	s.health(doc, route{"GET", "/startupz", "startupz", "Is boot over?", nil, 0, []int{503}}, s.startupz)
	s.health(doc, route{"GET", "/healthz", "healthz", "How is the node? 200 as long as it answers", nil, 0, nil}, s.healthz)
	watch := watchers
	if s.OpenMetrics {
		watch = nil
	}
	s.plain(doc, route{"GET", "/metrics", "metrics", "Prometheus metrics", watch, 0, nil}, "text/plain", s.Metrics.ServeHTTP)
	s.plain(doc, route{"GET", "/openapi.json", "openapi", "This document", nil, 0, nil}, "application/json", s.serveOpenAPI)
	s.plain(doc, route{"GET", "/docs", "docs", "This document for people", nil, 0, nil}, "text/html", s.serveDocs)
}

// deskRoutes are those of requests that wait for people.
func (s *server) deskRoutes(doc huma.API) {
	add(s, doc, route{"GET", "/api/v1/operations", "listOperations", "List requests that wait for approvals, or did", readers, 0, nil},
		s.operations)
	add(s, doc, route{"GET", "/api/v1/operations/{id}", "getOperation", "Show a request that waits for approvals, or did", readers, 0,
		[]int{404}}, s.operation)
	s.plain(doc, route{"GET", "/api/v1/operations/{id}/events", "followOperation",
		"Follow a request that waits for approvals, or did: server-sent events, each as getOperation shows it, until it is over", readers, 0,
		[]int{404}}, "text/event-stream", s.follow)
	add(s, doc, route{"POST", "/api/v1/operations/{id}/approvals", "approveOperation", "Approve a request that waits, or reject it", deciders,
		0, []int{404}}, s.approve)
	add(s, doc, route{"POST", "/api/v1/operations/{id}/cancel", "cancelOperation", "Take a request back, as its initiator", signers, 0,
		[]int{404}}, s.cancel)
}

// add puts a typed endpoint behind the door and into the OpenAPI document.
func add[I, O any](s *server, doc huma.API, r route, h func(context.Context, *I) (*O, error)) {
	op := s.open(doc, r)
	op.BodyReadTimeout = -1 // the door has read the body; huma's deadline would end long ceremonies
	if body, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		if _, ok := body.Type.FieldByName("Consent"); ok {
			op.Parameters = append(op.Parameters, signatureHeaders()...)
		}
	}
	huma.Register(doc, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.refusal(ctx, err)
		}
		return out, nil
	})
}

// plain puts an ordinary handler behind the door and into the OpenAPI document.
func (s *server) plain(doc huma.API, r route, media string, h http.HandlerFunc) {
	op := s.open(doc, r)
	if op.Responses["200"] == nil {
		op.Responses["200"] = &huma.Response{Description: "OK",
			Content: map[string]*huma.MediaType{media: {Schema: plainSchema(media)}}}
	}
	doc.OpenAPI().AddOperation(&op)
	s.light(r, h)
}

// plainSchema describes what is no type of ours.
func plainSchema(media string) *huma.Schema {
	if media == "application/json" {
		return objectSchema{}.Schema(nil)
	}
	return &huma.Schema{Type: huma.TypeString}
}

// light serves a route that takes no place in the queue: who looks after a node must see it when it is busy.
func (s *server) light(r route, h http.HandlerFunc) {
	pattern := r.method + " " + r.path
	rule := s.rules[pattern]
	rule.light = true
	s.rules[pattern] = rule
	s.mux.HandleFunc(pattern, h)
}

// health is plain for the health endpoints.
func (s *server) health(doc huma.API, r route, h http.HandlerFunc) {
	schema := doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[wire.Health](), true, "")
	op := s.open(doc, r)
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	if r.path == "/readyz" {
		op.Parameters = []*huma.Param{{Name: "verbose", In: "query", AllowEmptyValue: true, Description: "Show every check.",
			Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(16)}}}
	}
	doc.OpenAPI().AddOperation(&op)
	s.light(r, h)
}

// open writes the route's rule and describes it. All errors are described here, so that huma adds none of its own.
func (s *server) open(doc huma.API, r route) huma.Operation {
	s.rules[r.method+" "+r.path] = rule{open: r.roles == nil, roles: r.roles, body: r.method == http.MethodPost}
	op := huma.Operation{OperationID: r.id, Method: r.method, Path: r.path, Summary: r.summary, DefaultStatus: r.status,
		Responses: map[string]*huma.Response{}}
	op.Security = []map[string][]string{} // nobody has to be anybody; nil would not say so
	codes := append([]int{405}, r.errors...)
	if r.roles != nil {
		var roles []string
		for _, role := range r.roles {
			roles = append(roles, string(role))
		}
		op.Security = []map[string][]string{{bearer: roles}}
		codes = append(codes, 401, 403, 429, 500, 503, 504)
		op.Responses["422"] = problemResponse(doc, 422)
	}
	if r.method == http.MethodPost {
		codes = append(codes, 400, 408, 409, 413, 415)
		op.Parameters = []*huma.Param{{Name: "Idempotency-Key", In: "header",
			Description: "The same as session_id: the same key and body give the same answer.",
			Schema:      &huma.Schema{Type: huma.TypeString, MinLength: ptr(1), MaxLength: ptr(operation.MaxSessionID), Pattern: "^[!-~]+$"}}}
	}
	switch r.id {
	case "followOperation":
		op.Parameters = followParams()
		op.Responses["204"] = &huma.Response{Description: "The operation is over, and the event that Last-Event-ID names was the last."}
	case "sign", "generateMPCSig", "keygen", "createVaultWallet", "refresh", "reshare":
		op.Parameters = append(op.Parameters, &huma.Param{Name: "Prefer", In: "header",
			Schema:      &huma.Schema{Type: huma.TypeString, MaxLength: ptr(headerMax)},
			Description: "respond-async (RFC 7240): do not wait for the answer. Where the node cannot do so, it answers as without it."})
		text := &huma.Schema{Type: huma.TypeString}
		op.Responses["202"] = &huma.Response{Description: "It is kept, and done; Location says where to ask for it.",
			Headers: map[string]*huma.Header{"Location": {Schema: text, Description: "Of the operation."},
				"Preference-Applied": {Schema: text, Description: respondAsync + "."}},
			Content: map[string]*huma.MediaType{"application/json": {
				Schema: doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[wire.Operation](), true, "")}}}
	}
	for _, code := range codes {
		op.Responses[strconv.Itoa(code)] = problemResponse(doc, code)
	}
	return op
}

func problemResponse(doc huma.API, status int) *huma.Response {
	schema := doc.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[wire.Problem](), true, "")
	r := &huma.Response{
		Description: http.StatusText(status),
		Headers: map[string]*huma.Param{"X-Request-Id": {Description: "Names the request in the node's log.",
			Schema: &huma.Schema{Type: huma.TypeString}}},
		Content: map[string]*huma.MediaType{wire.ProblemType: {Schema: schema}},
	}
	if retryAfter[status] != "" {
		r.Headers["Retry-After"] = &huma.Param{Description: "Seconds to wait.", Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return r
}

func ptr[T any](v T) *T { return &v }

func (s *server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.openapi)
}

// renderOpenAPI writes the document once: it does not change while the node runs.
func renderOpenAPI(doc *huma.OpenAPI) []byte {
	for _, ofHuma := range []string{"ErrorModel", "ErrorDetail"} { // wire.Problem stands in their place
		delete(doc.Components.Schemas.Map(), ofHuma)
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic("api: the OpenAPI document: " + err.Error())
	}
	return append(b, '\n')
}
