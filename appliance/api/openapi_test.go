package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Security    []map[string][]string
		RequestBody json.RawMessage `json:"requestBody"`
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct {
			Description string
			Headers     map[string]any
			Content     map[string]struct {
				Schema map[string]any
			}
		}
	}
	Components struct {
		Schemas         map[string]map[string]any
		SecuritySchemes map[string]any
	}
}

func openAPI(t *testing.T) (document, []byte) {
	t.Helper()
	w := send(t, devServer(newFake()), "GET", "/openapi.json", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	return decode[document](t, w), w.Body.Bytes()
}

// Goal: the OpenAPI document is whole: every route, with its roles, errors and schemas, and no reference that leads nowhere.
// Method: walk it beside the routes that the mux has.
func TestOpenAPI(t *testing.T) {
	doc, raw := openAPI(t)
	if doc.OpenAPI != "3.1.0" || doc.Info.Title != "mpcd" || doc.Info.Version != "v1.2.3" || doc.Components.SecuritySchemes["bearer"] == nil {
		t.Errorf("%+v", doc.Info)
	}
	s := newServer(Config{Backend: newFake(), Dev: true})
	operations, ids := 0, map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			operations++
			pattern := strings.ToUpper(method) + " " + path
			rule, ok := s.rules[pattern]
			if !ok || ids[op.OperationID] || op.Summary == "" {
				t.Errorf("%s: rule %v, id %q", pattern, ok, op.OperationID)
			}
			ids[op.OperationID] = true
			want := []string{"405"}
			if !rule.open {
				want = append(want, "401", "403", "422", "429", "500", "503", "504")
				if len(op.Security) != 1 || len(op.Security[0]["bearer"]) != len(rule.roles) {
					t.Errorf("%s: security %v, roles %v", pattern, op.Security, rule.roles)
				}
			}
			if rule.body {
				want = append(want, "400", "408", "409", "413", "415")
				if op.RequestBody == nil {
					t.Errorf("%s has no body", pattern)
				}
			}
			for _, status := range want {
				r, ok := op.Responses[status]
				if !ok || r.Content["application/problem+json"].Schema["$ref"] != "#/components/schemas/Problem" {
					t.Errorf("%s: %s is not described as a problem", pattern, status)
				}
				if (status == "429" || status == "503") && r.Headers["Retry-After"] == nil {
					t.Errorf("%s: %s without Retry-After", pattern, status)
				}
			}
			if op.Responses["200"].Description == "" && op.Responses["201"].Description == "" {
				t.Errorf("%s has no success", pattern)
			}
		}
	}
	if operations != len(s.rules) {
		t.Errorf("%d operations, %d routes", operations, len(s.rules))
	}
	for _, ref := range regexp.MustCompile(`"\$ref": *"([^"]+)"`).FindAllStringSubmatch(string(raw), -1) {
		if doc.Components.Schemas[strings.TrimPrefix(ref[1], "#/components/schemas/")] == nil {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}
	problem := fmt.Sprint(doc.Components.Schemas["Problem"]["properties"])
	for _, field := range strings.Fields("type title status detail instance code retryable culprits errors") {
		if !strings.Contains(problem, field+":") {
			t.Errorf("Problem has no %s", field)
		}
	}
	for schema, properties := range map[string]string{
		"KeygenBody":  "session_id threshold total curve protocol parties purpose label",
		"SignBody":    "session_id public_key wallet_id message_hash payload message derivation_path signers chain",
		"RefreshBody": "session_id public_key wallet_id new_threshold new_total new_parties new_participants",
		"Wallet":      "session_id wallet_id public_key address addresses protocol curve threshold total parties epoch status",
		"VaultWallet": "ecdsa_pub_key eddsa_pub_key schnorr_pub_key eth_address btc_address sol_address xrp_address dot_address ada_address",
		"Child":       "wallet_id derivation_path public_key address addresses protocol curve",
		"Signature":   "session_id protocol public_key derivation_path address addresses signature recovery_id r s v status signers receipt_id",
	} {
		have, _ := doc.Components.Schemas[schema]["properties"].(map[string]any)
		for _, p := range strings.Fields(properties) {
			if have[p] == nil {
				t.Errorf("%s has no %s", schema, p)
			}
		}
	}
	if _, err := renderAgain(raw); err != nil {
		t.Error(err)
	}
}

func renderAgain(raw []byte) (string, error) {
	if string(raw) != string(newServer(Config{Backend: newFake(), Dev: true}).openapi) {
		return "", fmt.Errorf("the document differs from one start to the next")
	}
	return "", nil
}

// Goal: every request body refuses unknown fields, as the document says. Method: look at additionalProperties.
func TestClosedSchemas(t *testing.T) {
	doc, _ := openAPI(t)
	n := 0
	for name, s := range doc.Components.Schemas {
		if strings.HasSuffix(name, "Body") {
			n++
			if s["additionalProperties"] != false {
				t.Errorf("%s is open", name)
			}
		}
	}
	if n != 11 {
		t.Errorf("%d bodies", n)
	}
}

// Goal: /docs reads offline and explains what errors point to. Method: look for other hosts, scripts and anchors.
func TestDocs(t *testing.T) {
	w := send(t, devServer(newFake()), "GET", "/docs", "")
	page := w.Body.String()
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for _, bad := range []string{"<script", "https://", "src=", "@import", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	for code := range kinds {
		if !strings.Contains(page, `id="error-`+string(code)+`"`) {
			t.Errorf("no anchor for %s", code)
		}
	}
	doc, _ := openAPI(t)
	for path := range doc.Paths {
		if !strings.Contains(page, path) {
			t.Errorf("no %s", path)
		}
	}
	if !strings.Contains(page, docsCSS) {
		t.Error("the style sheet was changed on its way; its hash in the policy no longer fits")
	}
	for _, field := range []string{"message_hash", "recovery_id", "new_participants"} {
		if !strings.Contains(page, field) {
			t.Errorf("no %s", field)
		}
	}
}

// Goal: requests are counted by route and status, strangers cannot make series, and two APIs may share a registry. Method: scrape.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	New(Config{Backend: newFake(), Dev: true, Registry: registry})
	h := New(Config{Backend: newFake(), Dev: true, Registry: registry})
	send(t, h, "POST", "/api/v1/sign", signOne)
	send(t, h, "POST", "/api/v1/sign", `{}`)
	send(t, h, "GET", "/random-1", "")
	send(t, h, "GET", "/random-2", "")
	page := send(t, h, "GET", "/metrics", "").Body.String()
	for _, want := range []string{
		`mpcd_http_request_duration_seconds_count{code="200",route="POST /api/v1/sign"} 1`,
		`mpcd_http_request_duration_seconds_count{code="422",route="POST /api/v1/sign"} 1`,
		`mpcd_http_request_duration_seconds_count{code="404",route="other"} 2`,
		`mpcd_http_requests_in_flight 1`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(page, "random") {
		t.Error("a path became a label")
	}
}

// Goal: the document says what is enforced, as linters ask for it (redocly: no-empty-servers, security-defined, no-unused-components;
// OWASP: string limits). Method: walk it: servers, the security of every operation, whether every schema is used, and a limit on every text
// and list that a caller sends.
func TestOpenAPILint(t *testing.T) {
	_, raw := openAPI(t)
	doc := decodeJSON(t, raw).(map[string]any)
	if servers, _ := doc["servers"].([]any); len(servers) == 0 {
		t.Error("no servers")
	}
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	for name := range schemas {
		if !strings.Contains(string(raw), `"#/components/schemas/`+name+`"`) {
			t.Errorf("%s is not used", name)
		}
	}
	var limited func(at string, v any)
	limited = func(at string, v any) {
		s, _ := v.(map[string]any)
		if s["type"] == "string" && s["maxLength"] == nil && s["enum"] == nil || s["type"] == "array" && s["maxItems"] == nil ||
			s["type"] == "integer" && (s["maximum"] == nil || s["minimum"] == nil) {
			t.Errorf("%s has no limit", at)
		}
		for _, key := range []string{"properties", "oneOf"} {
			for name, inner := range members(s[key]) {
				limited(at+"/"+name, inner)
			}
		}
		if s["items"] != nil {
			limited(at+"[]", s["items"])
		}
	}
	for name, schema := range schemas {
		if strings.HasSuffix(name, "Body") {
			limited(name, schema)
		}
	}
	s := newServer(Config{Backend: newFake(), Dev: true})
	for path, methods := range doc["paths"].(map[string]any) {
		for method, v := range methods.(map[string]any) {
			op, at := v.(map[string]any), strings.ToUpper(method)+" "+path
			if security, ok := op["security"].([]any); !ok || (len(security) == 0) != s.rules[at].open {
				t.Errorf("%s: security %v, open %v", at, op["security"], s.rules[at].open)
			}
			for _, p := range members(op["parameters"]) {
				limited(at+" "+p.(map[string]any)["name"].(string), p.(map[string]any)["schema"])
			}
		}
	}
}
