package intent

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
)

// stdSignDoc is what amino's JSON has, in the order of its names (Cosmos SDK, x/tx/signing/aminojson; StdSignDoc).
var stdSignDoc = shape{"StdSignDoc", []shapeField{{name: "account_number", kind: isUint, kept: true}, {name: "chain_id", kept: true},
	{name: "fee", kind: isMessage, kept: true, of: &fee}, {name: "memo", kept: true},
	{name: "msgs", kind: isAny, repeated: true, kept: true},
	{name: "sequence", kind: isUint, kept: true}, {name: "timeout_height", kind: isUint}, {name: "timeout_timestamp"},
	{name: "tip", kind: isMessage, of: &tip}, {name: "unordered", kind: isBool}}}

// cosmosAmino reads amino's JSON (Cosmos SDK, SIGN_MODE_LEGACY_AMINO_JSON), which says nothing of other signers.
func cosmosAmino(p Payload) (*Decoded, error) {
	v, err := decodeJSON(p.Bytes)
	if err != nil {
		return nil, err
	}
	doc, err := readJSON(&stdSignDoc, v)
	if err != nil {
		return nil, err
	}
	tx := &cosmosTx{doc: doc, body: doc, fee: doc.one("fee"), amino: true, sequence: doc.numbers["sequence"]}
	if all := doc.lists["tip"]; len(all) > 0 {
		tx.tip = all[0]
	}
	return tx.decode(p, "amino")
}

// decodeJSON reads JSON in the one form that is signed: what encoding/json writes of it, names sorted, <, > and & escaped.
func decodeJSON(b []byte) (v any, err error) {
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, refuse("no JSON: %w", err)
	}
	again, err := json.Marshal(v)
	if err != nil || !bytes.Equal(again, b) {
		return nil, refuse("JSON that is not sorted, or written in another way than the Cosmos SDK does")
	}
	return v, nil
}

// readJSON reads an object of a shape: nothing that it does not know, nothing empty but what is kept.
func readJSON(s *shape, v any) (*fields, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, refuse("%s is no JSON object", s.name)
	}
	r, left := newFields(), maps.Clone(object)
	for i := range s.fields {
		f := &s.fields[i]
		v, ok := object[f.name]
		if !ok && f.kept {
			return nil, refuse("%s lacks %s", s.name, f.name)
		}
		if delete(left, f.name); !ok {
			continue
		}
		if err := f.json(s, v, r); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		return nil, refuse("%s has %q, which it does not know", s.name, clip(name))
	}
	return r, nil
}

// json reads the value of a field.
func (f *shapeField) json(s *shape, v any, r *fields) error {
	bad := refuse("%s of %s is not of its kind, or empty", f.name, s.name)
	switch f.kind {
	case isMessage, isAny:
		return f.jsonList(v, r, bad)
	case isBool:
		if v != true {
			return bad
		}
		r.numbers[f.name] = 1
		return nil
	case isEnum:
		n, _ := v.(float64)
		if n != math.Trunc(n) || n < 1 || n > math.MaxInt32 {
			return bad
		}
		r.numbers[f.name] = uint64(n)
		return nil
	}
	text, ok := v.(string)
	if !ok || text == "" && !f.kept {
		return bad
	}
	if f.kind == isText {
		r.texts[f.name] = text
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if r.numbers[f.name] = n; err != nil || digits(n) != text || n == 0 && !f.kept {
		return bad
	}
	return nil
}

// jsonList reads one object, or a list of them.
func (f *shapeField) jsonList(v any, r *fields, bad error) error {
	list := []any{v}
	if f.repeated {
		var ok bool
		if list, ok = v.([]any); !ok || len(list) == 0 && !f.kept {
			return bad
		}
	}
	for _, x := range list {
		read := func(x any) (*fields, error) { return readJSON(f.of, x) }
		if f.kind == isAny {
			read = aminoAny
		}
		inner, err := read(x)
		if err != nil {
			return err
		}
		r.lists[f.name] = append(r.lists[f.name], inner)
	}
	return nil
}

// aminoAny reads an amino name and a value, which is kept in its form.
func aminoAny(v any) (*fields, error) {
	object, _ := v.(map[string]any)
	name, ok := object["type"].(string)
	value, there := object["value"]
	if !ok || !there || len(object) != 2 || name == "" {
		return nil, refuse("a message that is no amino name and a value")
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, refuse("a value that is no JSON: %w", err)
	}
	r := newFields()
	r.texts["type_url"], r.texts["value"] = name, string(raw)
	return r, nil
}
