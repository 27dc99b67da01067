package intent

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/luxfi/mpcd/internal/address"
	"github.com/luxfi/mpcd/internal/canon"
)

// Limits of typed data. How deep it is nested canon bounds.
const (
	maxTypes  = 64   // that are declared
	maxLeaves = 1024 // values that are shown one by one
	maxName   = 64   // of a type or a member, in bytes
)

// domainType is the type of the domain (EIP-712, "Definition of domainSeparator").
const domainType = "EIP712Domain"

// domainMembers are what a domain may have, in this order.
func domainMembers() []member {
	return []member{{"name", "string"}, {"version", "string"}, {"chainId", "uint256"}, {"verifyingContract", "address"},
		{"salt", "bytes32"}}
}

// typedJSON is the JSON of eth_signTypedData_v4.
type typedJSON struct {
	Types       map[string][]member `json:"types"`
	PrimaryType string              `json:"primaryType"`
	Domain      json.RawMessage     `json:"domain"`
	Message     json.RawMessage     `json:"message"`
}

// member is a member of a struct type.
type member struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// typed is typed data while it is hashed.
type typed struct {
	types  map[string][]member
	hashes map[string][]byte // of the types that were met, by name
	leaves []leaf            // of domain and message, in the order of their types
}

// leaf is a value that is no struct and no array with something in it.
type leaf struct {
	path  string
	text  string // as people read it
	bytes []byte // the word that is hashed; of string and bytes what they hold
}

// ethereumTypedData reads structured data (EIP-712): the digest is Keccak-256(0x19 || 0x01 || hash of the domain || hash of the message).
func ethereumTypedData(p Payload) (*Decoded, error) {
	in, t, err := parseTyped(p.Bytes)
	if err != nil {
		return nil, err
	}
	domain, err := t.hashJSON(domainType, in.Domain, "domain")
	if err != nil {
		return nil, err
	}
	if err := checkChain(p.Network, t.number("domain.chainId")); err != nil {
		return nil, err
	}
	message, err := t.hashJSON(in.PrimaryType, in.Message, "message")
	if err != nil {
		return nil, err
	}
	d, err := newEthereum(p, "eip-712", address.Keccak256(slices.Concat([]byte{0x19, 0x01}, domain, message)))
	if err != nil {
		return nil, err
	}
	d.fact("primaryType", in.PrimaryType)
	for _, l := range t.leaves {
		d.fact(l.path, l.text)
	}
	t.read(d, in.PrimaryType)
	return d, nil
}

// parseTyped reads the JSON, and judges the types.
func parseTyped(b []byte) (*typedJSON, *typed, error) {
	var in typedJSON
	if !utf8.Valid(b) {
		return nil, nil, refuse("typed data that is no UTF-8")
	}
	if err := canon.UnmarshalJSON(b, &in); err != nil {
		return nil, nil, refuse("typed data: %w", err)
	}
	t := &typed{types: in.Types, hashes: map[string][]byte{}}
	if len(in.Types) > maxTypes {
		return nil, nil, refuse("%d types, at most %d", len(in.Types), maxTypes)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Types)) {
		if err := t.checkType(name); err != nil {
			return nil, nil, err
		}
	}
	if err := t.checkDomain(); err != nil {
		return nil, nil, err
	}
	if in.PrimaryType == domainType || t.types[in.PrimaryType] == nil {
		return nil, nil, refuse("primary type %q is none of a message", clip(in.PrimaryType))
	}
	return &in, t, nil
}

// identifier is what a type or a member may be called: it must not read as more than a name in the text that is hashed.
var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// builtin is what begins the name of a type of the language, some of which others take for an alias.
var builtin = regexp.MustCompile(`^(address|bool|string|function|(bytes|u?int)[0-9]*|u?fixed([0-9]+x[0-9]+)?)$`)

// atomic is the types that are a word or hashed as one: EIP-712, "Definition of typed structured data".
var atomic = regexp.MustCompile(`^(address|bool|string|bytes|bytes([1-9]|[12][0-9]|3[012])|u?int(8|16|24|32|40|48|56|64|72|80|88|96|` +
	`104|112|120|128|136|144|152|160|168|176|184|192|200|208|216|224|232|240|248|256))$`)

// array is the type of an array and its length, which may be free; what it is of may be an array again.
var array = regexp.MustCompile(`^(.+)\[([1-9][0-9]{0,4})?\]$`)

func checkName(name string) error {
	if len(name) > maxName || !identifier.MatchString(name) {
		return refuse("%q is no name of a type or a member", clip(name))
	}
	return nil
}

// checkType judges a struct type: it has members, each of another name, of types that there are.
func (t *typed) checkType(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if builtin.MatchString(name) {
		return refuse("type %q has a name of the language's own", name)
	}
	members, seen := t.types[name], map[string]bool{}
	if len(members) == 0 {
		return refuse("type %s has no members", name)
	}
	for _, m := range members {
		if err := checkName(m.Name); err != nil {
			return err
		}
		if seen[m.Name] {
			return refuse("type %s has two members %s", name, m.Name)
		}
		seen[m.Name] = true
		if base, _, _ := strings.Cut(m.Type, "["); len(m.Type) > 2*maxName || !t.known(m.Type) {
			return refuse("member %s of type %s is of type %q, which there is not", m.Name, name, clip(base))
		}
	}
	return nil
}

// known tells whether there is a type, or one that an array is of.
func (t *typed) known(name string) bool {
	if a := array.FindStringSubmatch(name); a != nil {
		return t.known(a[1])
	}
	return t.types[name] != nil && name != domainType || atomic.MatchString(name)
}

// checkDomain refuses a domain with other members than EIP-712 names, in another order, or without a chain ID, which would be good on any
// chain.
func (t *typed) checkDomain() error {
	allowed, chain := domainMembers(), false
	for _, m := range t.types[domainType] {
		at := slices.Index(allowed, m)
		if at < 0 {
			return refuse("member %s of type %s in a domain: not one of EIP-712, or not in its order", m.Name, clip(m.Type))
		}
		allowed = allowed[at+1:]
		chain = chain || m.Name == "chainId"
	}
	if !chain {
		return refuse("a domain without chainId: who sees it signed may use it on any chain")
	}
	return nil
}

// hashJSON is hashStruct of a value that stands in JSON, which has been checked for repeated fields and depth.
func (t *typed) hashJSON(name string, raw []byte, path string) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, refuse("%s: %w", path, err)
	}
	return t.hashStruct(name, v, path)
}

// hashStruct is Keccak-256 of the hash of the type and what the members encode to (EIP-712, "Definition of hashStruct").
func (t *typed) hashStruct(name string, v any, path string) ([]byte, error) {
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, refuse("%s is no object", path)
	}
	members := t.types[name]
	out := slices.Clone(t.typeHash(name))
	for _, m := range members {
		at := path + "." + m.Name
		value, ok := fields[m.Name]
		if !ok {
			return nil, refuse("%s is missing", at)
		}
		word, err := t.encode(m.Type, value, at)
		if err != nil {
			return nil, err
		}
		out = append(out, word...)
	}
	if len(fields) != len(members) {
		return nil, refuse("%s has %d fields, its type %s has %d", path, len(fields), name, len(members))
	}
	return address.Keccak256(out), nil
}

// encode is the word of a value (EIP-712, "Definition of encodeData").
func (t *typed) encode(kind string, v any, path string) ([]byte, error) {
	if a := array.FindStringSubmatch(kind); a != nil {
		return t.encodeArray(a[1], a[2], v, path)
	}
	if t.types[kind] != nil {
		return t.hashStruct(kind, v, path)
	}
	content, text, err := value(kind, v)
	if err != nil {
		return nil, refuse("%s: %w", path, err)
	}
	if err := t.leaf(path, text, content); err != nil {
		return nil, err
	}
	if kind == "string" || kind == "bytes" {
		return address.Keccak256(content), nil
	}
	return content, nil
}

// encodeArray is Keccak-256 of the words of the elements.
func (t *typed) encodeArray(kind, length string, v any, path string) ([]byte, error) {
	elements, ok := v.([]any)
	if !ok {
		return nil, refuse("%s is no array", path)
	}
	if length != "" && length != strconv.Itoa(len(elements)) {
		return nil, refuse("%s has %d elements, want %s", path, len(elements), length)
	}
	var out []byte
	for i, e := range elements {
		word, err := t.encode(kind, e, fmt.Sprintf("%s[%d]", path, i))
		if err != nil {
			return nil, err
		}
		out = append(out, word...)
	}
	if len(elements) == 0 {
		if err := t.leaf(path, "[]", nil); err != nil {
			return nil, err
		}
	}
	return address.Keccak256(out), nil
}

func (t *typed) leaf(path, text string, content []byte) error {
	if len(t.leaves) == maxLeaves {
		return refuse("more than %d values", maxLeaves)
	}
	t.leaves = append(t.leaves, leaf{path, text, content})
	return nil
}

// typeHash is Keccak-256 of encodeType.
func (t *typed) typeHash(name string) []byte {
	if t.hashes[name] == nil {
		t.hashes[name] = address.Keccak256([]byte(t.encodeType(name)))
	}
	return t.hashes[name]
}

// encodeType writes a type with its members, and behind it those that it refers to, by name (EIP-712, "Definition of encodeType").
func (t *typed) encodeType(name string) string {
	others := map[string]bool{}
	t.refer(name, others)
	delete(others, name)
	var out strings.Builder
	for _, n := range append([]string{name}, slices.Sorted(maps.Keys(others))...) {
		var members []string
		for _, m := range t.types[n] {
			members = append(members, m.Type+" "+m.Name)
		}
		fmt.Fprintf(&out, "%s(%s)", n, strings.Join(members, ","))
	}
	return out.String()
}

// refer collects the struct types that are met from one.
func (t *typed) refer(name string, met map[string]bool) {
	if t.types[name] == nil || met[name] {
		return
	}
	met[name] = true
	for _, m := range t.types[name] {
		base, _, _ := strings.Cut(m.Type, "[")
		t.refer(base, met)
	}
}

// value reads a value of an atomic type: the word that it is, or what string and bytes hold, and the text that shows it.
func value(kind string, v any) (content []byte, text string, err error) {
	switch kind {
	case "bool":
		b, ok := v.(bool)
		if !ok {
			return nil, "", fmt.Errorf("no bool")
		}
		w := word{}
		if b {
			w[31] = 1
		}
		return w[:], strconv.FormatBool(b), nil
	case "string":
		s, ok := v.(string)
		if !ok {
			return nil, "", fmt.Errorf("no string")
		}
		return []byte(s), s, nil
	}
	if strings.Contains(kind, "int") {
		return integer(kind, v)
	}
	return octets(kind, v)
}

// octets reads an address, bytes, or bytes of a fixed length, in hex.
func octets(kind string, v any) (content []byte, text string, err error) {
	s, ok := v.(string)
	digits, prefixed := strings.CutPrefix(s, "0x")
	b, err := hex.DecodeString(digits)
	if !ok || !prefixed || err != nil {
		return nil, "", fmt.Errorf("%s that is not written as 0x and pairs of hex digits", kind)
	}
	var w word
	switch kind {
	case "bytes":
		return b, "0x" + hex.EncodeToString(b), nil
	case "address":
		if len(b) != 20 {
			return nil, "", fmt.Errorf("address of %d bytes", len(b))
		}
		text = address.EIP55([20]byte(b))
		if s != text && digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) {
			return nil, "", fmt.Errorf("address %s is mistyped: its capitals say %s (EIP-55)", s, text)
		}
		copy(w[12:], b)
		return w[:], text, nil
	}
	if strconv.Itoa(len(b)) != strings.TrimPrefix(kind, "bytes") {
		return nil, "", fmt.Errorf("%d bytes for %s", len(b), kind)
	}
	copy(w[:], b)
	return w[:], "0x" + hex.EncodeToString(b), nil
}

// Ways to write an integer; none has zeros before it.
var (
	decimal = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,77})$`)
	base16  = regexp.MustCompile(`^0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})$`)
)

// integer reads intN and uintN: a number, or a string in decimal or hex. The word is two's complement.
func integer(kind string, v any) (content []byte, text string, err error) {
	var s string
	switch v := v.(type) {
	case json.Number:
		s = v.String()
		if !decimal.MatchString(s) {
			return nil, "", fmt.Errorf("%q is no whole number in its shortest form", clip(s))
		}
	case string:
		s = v
	}
	if !decimal.MatchString(s) && !base16.MatchString(s) {
		return nil, "", fmt.Errorf("%q is no whole number in its shortest form, decimal or hex", clip(s))
	}
	n, _ := new(big.Int).SetString(s, 0)
	digits := strings.TrimLeft(kind, "uint")
	bits, err := strconv.Atoi(digits)
	if err != nil {
		return nil, "", err
	}
	least, above := new(big.Int), new(big.Int).Lsh(big.NewInt(1), uint(bits))
	if kind[0] == 'i' {
		above.Rsh(above, 1)
		least.Neg(above)
	}
	if n.Cmp(least) < 0 || n.Cmp(above) >= 0 {
		return nil, "", fmt.Errorf("%d is out of the range of %s", n, kind)
	}
	w := new(big.Int).Set(n)
	if w.Sign() < 0 {
		w.Add(w, new(big.Int).Lsh(big.NewInt(1), 256))
	}
	return w.FillBytes(make([]byte, 32)), n.String(), nil
}
