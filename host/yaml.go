package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"gopkg.in/yaml.v3"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

// configMax is the largest configuration file that is read, in bytes.
const configMax = 1 << 20

// File reads mpcd.yaml over the values. It is strict: what it does not know is an error, with the key that was perhaps meant.
func (vs Values) File(path string) error {
	b, err := durable.ReadFile(path, configMax)
	if errors.Is(err, durable.ErrTooLarge) {
		return fault.Usage("name the node's mpcd.yaml", "configuration %s: %w", path, err)
	}
	if err != nil {
		return fault.Doing("configuration", err)
	}
	return vs.YAML(path, b)
}

// YAML reads the text of a file that is named path. Relative paths in it are relative to its directory.
func (vs Values) YAML(path string, b []byte) error {
	full, err := filepath.Abs(path)
	if err != nil {
		return fault.Usage("give the full path of the configuration", "configuration %s: %w", path, err)
	}
	vs[fileKey] = Value{Text: path, Origin: "file " + path, dir: filepath.Dir(full)}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	err = d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil // nothing but comments
	}
	if err != nil {
		return fault.Usage("correct the YAML", "configuration %s: %w", path, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return fault.Usage("keep one document in the file", "configuration %s: more than one YAML document", path)
	}
	r := yamlReader{values: vs, path: path, dir: filepath.Dir(full), seen: map[string]bool{}}
	return r.mapping("", doc.Content[0])
}

type yamlReader struct {
	values Values
	path   string
	dir    string
	seen   map[string]bool
}

func (r yamlReader) wrong(n *yaml.Node, do, format string, a ...any) error {
	return fault.Usage(do, "configuration %s:%d: %s", r.path, n.Line, fmt.Sprintf(format, a...))
}

func (r yamlReader) mapping(prefix string, n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return r.wrong(n, "write key: value lines", "%s is not a mapping", orTop(prefix))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return r.wrong(key, "use plain keys", "a key is not a word")
		}
		name := key.Value
		if prefix != "" {
			name = prefix + "." + name
		}
		if err := r.entry(name, key, v); err != nil {
			return err
		}
	}
	return nil
}

func orTop(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return prefix
}

func (r yamlReader) entry(name string, key, v *yaml.Node) error {
	if r.seen[name] {
		return r.wrong(key, "keep one of them", "key %s is given twice", name)
	}
	r.seen[name] = true
	if v.Kind == yaml.AliasNode || v.Anchor != "" {
		return r.wrong(v, "write the value out", "key %s: anchors and aliases are not read", name)
	}
	s, known := findSetting(name)
	switch {
	case !known && isSection(name):
		return r.mapping(name, v)
	case !known:
		return r.wrong(key, didYouMean(name), "unknown key %s", name)
	}
	origin := fmt.Sprintf("file %s:%d", r.path, key.Line)
	if s.List {
		return r.list(s, v, origin)
	}
	if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
		return r.wrong(v, "give it one value, or remove the line", "key %s has no single value", name)
	}
	value := Value{Text: v.Value, Origin: origin, dir: r.dir}
	r.values[name] = value
	for _, key := range s.For {
		if !r.seen[key] {
			r.values[key] = value
		}
	}
	return nil
}

func (r yamlReader) list(s Setting, v *yaml.Node, origin string) error {
	if v.Kind != yaml.SequenceNode {
		return r.wrong(v, "write it as a list: [a, b]", "key %s is not a list", s.Key)
	}
	items := []string{}
	for _, item := range v.Content {
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return r.wrong(item, "write each item on its own", "key %s: an item is not a plain value", s.Key)
		}
		items = append(items, item.Value)
	}
	r.values[s.Key] = Value{List: items, Origin: origin, dir: r.dir}
	return nil
}

// isSection tells whether keys of the configuration lie beneath name.
func isSection(name string) bool {
	for _, s := range Settings {
		if len(s.Key) > len(name) && s.Key[:len(name)+1] == name+"." {
			return true
		}
	}
	return false
}
