package appraise

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// parseReport reads a driver's report, one flat JSON object, into the struct that v points to: no unknown, repeated or differently
// spelled name, no null, no object inside, nothing behind it.
func parseReport(b []byte, v any) error {
	if len(b) == 0 {
		return errors.New("there is no report")
	}
	known := map[string]bool{}
	for t, i := reflect.TypeOf(v).Elem(), 0; i < t.NumField(); i++ {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known[name] = true
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("the report is no JSON object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return errors.New("the report is no JSON")
		}
		name, _ := t.(string)
		if !known[name] {
			return fmt.Errorf("the report has a field %s that is unknown here, or has it twice", quoted(name))
		}
		known[name] = false
		value, err := d.Token()
		if _, nested := value.(json.Delim); err != nil || nested || value == nil {
			return fmt.Errorf("field %s of the report is no plain value", quoted(name))
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("the report is no JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data behind the report")
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the report cannot be read: %w", err)
	}
	return nil
}
