package api

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/luxfi/mpcd/client/wire"
)

// newRegistry is huma's registry, told how our own types look in JSON.
func newRegistry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	r.RegisterTypeAlias(reflect.TypeFor[wire.Hex](), reflect.TypeFor[hexSchema]())
	r.RegisterTypeAlias(reflect.TypeFor[json.RawMessage](), reflect.TypeFor[objectSchema]())
	return r
}

// hexSchema describes wire.Hex.
type hexSchema struct{}

func (hexSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^(0x([0-9a-f]{2})*)?$", Description: "Bytes in hex, 0x in front.",
		Examples: []any{"0x00ff"}}
}

// objectSchema describes JSON that another package defines.
type objectSchema struct{}

func (objectSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// partiesMax is the largest committee of a request.
const partiesMax = 255

// parties is a committee as the API's users spell it: how many nodes, or which.
type parties struct {
	count int
	names []string
}

// Schema describes both spellings.
func (parties) Schema(huma.Registry) *huma.Schema {
	one, most := 1.0, float64(partiesMax)
	return &huma.Schema{
		Description: "How many nodes, or the list of their names.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeInteger, Minimum: &one, Maximum: &most},
			listOfNames(),
		},
	}
}

// listOfNames describes one name or more.
func listOfNames() *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, MinItems: ptr(1), MaxItems: ptr(partiesMax),
		Items: &huma.Schema{Type: huma.TypeString, MinLength: ptr(1), MaxLength: ptr(63)}}
}

// nodeNames is a list of names of nodes; none, and null, are absence.
type nodeNames []string

// Schema describes it.
func (nodeNames) Schema(huma.Registry) *huma.Schema {
	s := listOfNames()
	s.MinItems, s.Nullable = nil, true
	return s
}

// UnmarshalJSON reads a number or a list of names; null is absence.
func (p *parties) UnmarshalJSON(b []byte) error {
	*p = parties{}
	if string(b) == "null" {
		return nil
	}
	if json.Unmarshal(b, &p.count) == nil {
		return nil
	}
	if json.Unmarshal(b, &p.names) == nil {
		return nil
	}
	return fmt.Errorf("expected a number from 1 to %d, or a list of node names", partiesMax)
}

func (p parties) absent() bool { return p.count == 0 && p.names == nil }
