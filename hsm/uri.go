package hsm

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// maxURI is the longest URI that is read, in bytes.
const maxURI = 4096

// URI names a token, and perhaps a key in it, in the grammar of RFC 7512 §2.3:
//
//	pkcs11:token=mpcd;object=attest?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=cred:hsm-pin
//	local:/var/lib/mpcd/token
//
// What p11tool prints of a token or a key is read as it stands: id= is the CKA_ID in percent-encoding, and names a key where a label does
// not, or not alone. It is stricter than the RFC: an attribute that its scheme does not know is refused, not ignored, because a mistyped
// one would select another token. It holds no secret, so it may be logged; for that reason pin-value is refused, in the value of another
// attribute too, where a slip of a separator puts it, and so is a pin-source that is not of the forms that ReadPIN reads.
type URI struct {
	// Scheme names the driver: pkcs11, softhsm, local, awskms, gcpkms, tpm, plugin.
	Scheme string
	// Path is the decoded path of the schemes that have one instead of attributes: local, gcpkms, plugin.
	Path string

	path, query map[string]string // attributes, decoded
}

// scheme says which attributes a scheme knows.
type scheme struct {
	opaque      bool // one path instead of attributes
	path, query []string
}

var (
	pkcs11Path  = []string{"token", "serial", "manufacturer", "model", "id", "object", "type"}
	pkcs11Query = []string{"module-path", "init-args", "pin-source"}

	schemes = map[string]scheme{
		"pkcs11":  {path: pkcs11Path, query: pkcs11Query},
		"softhsm": {path: pkcs11Path, query: pkcs11Query},
		"awskms":  {path: []string{"key-id", "region"}, query: []string{"endpoint"}},
		"gcpkms":  {opaque: true, query: []string{"endpoint"}},
		"tpm":     {path: []string{"handle", "device", "object"}, query: []string{"pin-source", "pcrs"}},
		"local":   {opaque: true},
		"plugin":  {opaque: true, query: []string{"pin-source"}},
	}

	// keyClasses are the values of type= that a key may have; both halves of a pair are one key here.
	keyClasses = []string{"private", "public", "secret-key"}

	// bareNames are the provider names of the seed documents.
	bareNames = map[string]string{"aws": "awskms", "gcp": "gcpkms"}

	// pinInside finds a PIN in what is no pin-source: behind "?" for "&", ";" for "&", or with another name for pin-value.
	pinInside = regexp.MustCompile(`(?i)pin[-_]?(value|code|)=|pin-value`)
	// pinForms are the forms of a source that ReadPIN reads. A path need not be in full here: who reads a configuration makes it so.
	pinForms = regexp.MustCompile(`^(file|cred|env):.`)

	// advice for what RFC 7512 has and we refuse.
	refused = map[string]string{
		"pin-value":   "a PIN in a URI ends up in logs and process lists: use pin-source=file:/path, cred:name or env:NAME",
		"slot-id":     "slot numbers change: select the token by token= (its label) or serial=",
		"module-name": "name the library by its full path: module-path=/usr/lib/…",
	}
)

// ParseURI reads a URI or one of the bare names aws, gcp, pkcs11, softhsm, tpm, local. Errors wrap ErrURI and never quote
// the value of an attribute, which may be a misplaced PIN.
func ParseURI(s string) (*URI, error) {
	if len(s) > maxURI {
		return nil, fmt.Errorf("hsm: %w: %d bytes, at most %d", ErrURI, len(s), maxURI)
	}
	name, rest, full := strings.Cut(s, ":")
	if pinInside.MatchString(name) {
		return nil, fmt.Errorf("hsm: %w: it begins with no scheme and has a PIN: %s", ErrURI, refused["pin-value"])
	}
	if !full {
		if long, ok := bareNames[name]; ok {
			name = long
		}
	}
	sch, ok := schemes[name]
	if !ok {
		return nil, fmt.Errorf("hsm: %w: unknown scheme %q, known are %s", ErrURI, clip(name), strings.Join(sortedKeys(schemes), ", "))
	}
	u := &URI{Scheme: name, path: map[string]string{}, query: map[string]string{}}
	path, query, hasQuery := strings.Cut(rest, "?")
	var err error
	switch {
	case sch.opaque:
		if u.Path, err = decode(path, pathChars+"/"); err == nil {
			err = checkValue("", u.Path)
		}
	case path != "":
		err = parseAttributes(u.path, path, ";", pathChars, sch.path)
	}
	if err == nil && hasQuery {
		err = parseAttributes(u.query, query, "&", queryChars, sch.query)
	}
	if err != nil {
		return nil, fmt.Errorf("hsm: %w: %s: %w", ErrURI, name, err)
	}
	return u, nil
}

// Attr returns a path attribute, or a query attribute, or "". No name is both.
func (u *URI) Attr(name string) string {
	if v, ok := u.path[name]; ok {
		return v
	}
	return u.query[name]
}

// With returns a copy in which the attribute has the value. Errors wrap ErrURI: the scheme does not know it, or the value is
// empty or one that ParseURI refuses.
func (u *URI) With(name, value string) (*URI, error) {
	sch := schemes[u.Scheme]
	c := &URI{Scheme: u.Scheme, Path: u.Path, path: cloned(u.path), query: cloned(u.query)}
	m := c.query
	known := slices.Contains(sch.query, name)
	if slices.Contains(sch.path, name) {
		m, known = c.path, true
	}
	if !known {
		return nil, fmt.Errorf("hsm: %w: %s: %w", ErrURI, u.Scheme, unknownAttribute(name, slices.Concat(sch.path, sch.query)))
	}
	if value == "" || checkValue(name, value) != nil {
		return nil, fmt.Errorf("hsm: %w: %s: bad value of %q", ErrURI, u.Scheme, name)
	}
	m[name] = value
	return c, nil
}

// String prints the one canonical form, with the attributes in the order of the scheme; ParseURI reads it back.
func (u *URI) String() string {
	sch := schemes[u.Scheme]
	s := u.Scheme + ":"
	if sch.opaque {
		s += encode(u.Path, pathChars+"/")
	}
	s += printAttributes(u.path, sch.path, ";", pathChars)
	if q := printAttributes(u.query, sch.query, "&", queryChars); q != "" {
		s += "?" + q
	}
	return s
}

func parseAttributes(into map[string]string, s, separator, chars string, known []string) error {
	for _, attr := range strings.Split(s, separator) {
		name, raw, ok := strings.Cut(attr, "=")
		if advice := refused[name]; advice != "" {
			return fmt.Errorf("%s is refused: %s", name, advice)
		}
		if !slices.Contains(known, name) {
			if !ok && name != "" {
				name = "…" // what has no name may be a value
			}
			return unknownAttribute(name, known)
		}
		if !ok || raw == "" {
			return fmt.Errorf("attribute %q has no value", name)
		}
		if _, twice := into[name]; twice {
			return fmt.Errorf("attribute %q is given twice", name)
		}
		value, err := decode(raw, chars)
		if err == nil {
			err = checkValue(name, value)
		}
		if err != nil {
			return fmt.Errorf("attribute %q: %w", name, err)
		}
		into[name] = value
	}
	return nil
}

func unknownAttribute(name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("unknown attribute %q, none is known", clip(name))
	}
	return fmt.Errorf("unknown attribute %q, known are %s", clip(name), strings.Join(known, ", "))
}

func printAttributes(m map[string]string, order []string, separator, chars string) string {
	var parts []string
	for _, name := range order {
		if v, ok := m[name]; ok {
			parts = append(parts, name+"="+encode(v, chars))
		}
	}
	return strings.Join(parts, separator)
}

// The characters that stand for themselves beside letters, digits and "-._~" (RFC 7512 §2.3, pk11-path-res-avail and
// pk11-query-res-avail, without "|" that the RFC gives to commands as a source of a PIN).
const (
	pathChars  = ":[]@!$'()*+,=&"
	queryChars = ":[]@!$'()*+,=/?"
)

func plain(c byte, chars string) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("-._~", c) >= 0 || strings.IndexByte(chars, c) >= 0
}

func decode(s, chars string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%':
			if i+2 >= len(s) || unhex(s[i+1]) < 0 || unhex(s[i+2]) < 0 {
				return "", fmt.Errorf("bad percent-encoding at byte %d", i)
			}
			b.WriteByte(byte(unhex(s[i+1])<<4 | unhex(s[i+2])))
			i += 2
		case plain(s[i], chars):
			b.WriteByte(s[i])
		default:
			return "", fmt.Errorf("byte 0x%02x must be percent-encoded", s[i])
		}
	}
	return b.String(), nil
}

// checkValue checks the decoded value of an attribute, or a path, whose name is "". The error does not quote it.
func checkValue(name, value string) error {
	switch {
	case pinInside.MatchString(value):
		return errors.New("it has a PIN in it: " + refused["pin-value"])
	case name == "pin-source" && !pinForms.MatchString(value):
		return errors.New("write it as file:/path, cred:name or env:NAME; what stands there is not shown, for it may be the PIN")
	case name == "type" && !slices.Contains(keyClasses, value):
		return fmt.Errorf("it names no key; the types of keys are %s", strings.Join(keyClasses, ", "))
	case name == "id": // CKA_ID is any bytes
		return nil
	}
	return checkText(value)
}

func checkText(s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("not UTF-8")
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return fmt.Errorf("control character")
	}
	return nil
}

// unhex is the value of a hexadecimal digit, -1 for anything else.
func unhex(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

func encode(s, chars string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if plain(s[i], chars) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func cloned(m map[string]string) map[string]string {
	c := make(map[string]string, len(m)+1)
	for k, v := range m {
		c[k] = v
	}
	return c
}

// clip keeps a name that is not ours short enough for an error.
func clip(s string) string {
	if len(s) > 32 {
		return s[:32] + "…"
	}
	return s
}

// keyIDPrefix begins a key ID that names a key by its CKA_ID.
const keyIDPrefix = "id="

// PKCS11KeyID is the key ID of the key that a URI names: its object, or "id=" with its CKA_ID in percent-encoding, and "" if it names none.
// Where it has both, both must fit.
func (u *URI) PKCS11KeyID() string { return PKCS11KeyID(u.Attr("object"), u.Attr("id")) }

// PKCS11KeyID is the key ID of a key with that label and CKA_ID, as ParsePKCS11KeyID reads it; without a CKA_ID it is the label.
func PKCS11KeyID(object, id string) string {
	if id == "" {
		return object
	}
	id = keyIDPrefix + encode(id, "")
	if object != "" {
		id += ";object=" + encode(object, pathChars)
	}
	return id
}

// ParsePKCS11KeyID reads a key ID of a PKCS#11 token: a label as it stands or, if it begins with "id=", the attributes id and object of a
// URI. A label that begins so cannot be named.
func ParsePKCS11KeyID(keyID string) (label string, id []byte, err error) {
	if !strings.HasPrefix(keyID, keyIDPrefix) {
		return keyID, nil, nil
	}
	u, err := ParseURI("pkcs11:" + keyID)
	if err != nil {
		return "", nil, err
	}
	return u.Attr("object"), []byte(u.Attr("id")), nil
}
