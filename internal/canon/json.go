package canon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// maxDepth is the deepest nesting of objects and arrays.
const maxDepth = 16

// UnmarshalJSON reads JSON that says exactly what v then holds: no unknown, missing, repeated or differently spelled
// field, nothing behind it. Order of fields and white space are free. How long b may be is for the caller to judge.
func UnmarshalJSON(b []byte, v any) error {
	if err := checkTokens(b); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	again, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if field, same := sameJSON(generic(b), generic(again), ""); !same {
		return fmt.Errorf("field %.64q is missing, misspelled or not in its one form", field)
	}
	return nil
}

// checkTokens refuses repeated names, deep nesting and trailing data, which encoding/json lets pass.
func checkTokens(b []byte) error {
	type level struct {
		names map[string]bool // nil in an array
		value bool            // in an object: the next token is a value
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var stack []level
	for {
		t, err := d.Token()
		if err == io.EOF {
			return errors.New("unexpected end of JSON")
		}
		if err != nil {
			return err
		}
		if t == nil {
			return errors.New("null stands for nothing here")
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil {
			top := &stack[n-1]
			if s, ok := t.(string); ok && !top.value {
				if top.names[s] {
					return fmt.Errorf("field %.64q twice", s)
				}
				top.names[s], top.value = true, true
				continue
			}
			top.value = false
		}
		switch t {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		if len(stack) > maxDepth {
			return errors.New("nested too deeply")
		}
		if len(stack) == 0 {
			break
		}
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data behind the JSON value")
	}
	return nil
}

func generic(b []byte) any {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // it has been decoded before
	return v
}

// sameJSON compares decoded JSON and names the first place that differs.
func sameJSON(a, b any, at string) (string, bool) {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return at, false
		}
		for k := range x {
			if _, ok := y[k]; !ok {
				return at + "." + k, false
			}
		}
		for k := range y {
			if _, ok := x[k]; !ok {
				return at + "." + k, false
			}
			if p, same := sameJSON(x[k], y[k], at+"."+k); !same {
				return p, false
			}
		}
		return "", true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return at, false
		}
		for i := range x {
			if p, same := sameJSON(x[i], y[i], fmt.Sprintf("%s[%d]", at, i)); !same {
				return p, false
			}
		}
		return "", true
	}
	return at, reflect.DeepEqual(a, b)
}
