package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/appliance/problem"
)

//go:embed docs.html
var docsHTML string

//go:embed docs.css
var docsCSS string

// docsPolicy lets the page have its own style sheet and nothing else: no script, no other host.
var docsPolicy = func() string {
	sum := sha256.Sum256([]byte(docsCSS))
	return "default-src 'none'; frame-ancestors 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

func (s *server) serveDocs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", docsPolicy)
	_, _ = w.Write(s.docs)
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Roles                     []string
	Fields, Answer            []docsField
	Statuses                  []string
}

type docsField struct{ Name, Type, Doc string }

type docsError struct {
	Code   problem.Code
	Status int
	Title  string
	Next   string
}

// renderDocs writes the OpenAPI document as one page without script, so that it reads offline.
func renderDocs(doc *huma.OpenAPI) []byte {
	var ops []docsOperation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Post} {
			if op == nil {
				continue
			}
			d := docsOperation{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary,
				Statuses: slices.Sorted(maps.Keys(op.Responses))}
			for _, scheme := range op.Security {
				d.Roles = scheme[bearer]
			}
			for _, p := range op.Parameters {
				d.Fields = append(d.Fields, docsField{p.Name, "in " + p.In, p.Description})
			}
			if op.RequestBody != nil {
				d.Fields = append(d.Fields, docsFields(doc, op.RequestBody.Content["application/json"])...)
			}
			for _, status := range []string{"200", "201"} {
				if r := op.Responses[status]; r != nil {
					d.Answer = docsFields(doc, r.Content["application/json"])
				}
			}
			ops = append(ops, d)
		}
	}
	var errs []docsError
	for code, k := range kinds {
		errs = append(errs, docsError{code, k.status, k.title, k.next})
	}
	slices.SortFunc(errs, func(a, b docsError) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	var out bytes.Buffer
	t := template.Must(template.New("docs").Parse(docsHTML))
	page := map[string]any{"Info": doc.Info, "Style": template.CSS(docsCSS), "Operations": ops, "Errors": errs}
	if err := t.Execute(&out, page); err != nil {
		panic("api: the docs page: " + err.Error())
	}
	return out.Bytes()
}

func docsFields(doc *huma.OpenAPI, m *huma.MediaType) []docsField {
	if m == nil || m.Schema == nil {
		return nil
	}
	s := m.Schema
	for s.Ref != "" {
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	var out []docsField
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		kind := p.Type
		switch {
		case p.Ref != "":
			kind = p.Ref[strings.LastIndex(p.Ref, "/")+1:]
		case len(p.OneOf) > 0:
			kind = "integer or array"
		case p.Items != nil && p.Items.Ref != "":
			kind = "array of " + p.Items.Ref[strings.LastIndex(p.Items.Ref, "/")+1:]
		}
		if slices.Contains(s.Required, name) {
			kind += ", always"
		}
		text := p.Description
		if len(p.Examples) > 0 {
			text = strings.TrimSpace(fmt.Sprintf("%s Example: %v", text, p.Examples[0]))
		}
		out = append(out, docsField{name, kind, text})
	}
	return out
}
