package gcpkms

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/luxfi/mpcd/hsm"
)

const (
	keysPart     = "/cryptoKeys/"
	versionsPart = "/cryptoKeyVersions/"
	idMax        = 63
	escaped      = "x--" // opens a short name that is not the key's own
)

var (
	resourceRE = regexp.MustCompile(`^(projects/[a-z0-9.:-]{1,128}/locations/[a-z0-9-]{1,63})(/keyRings/[a-zA-Z0-9_-]{1,63})` +
		`(?:(/cryptoKeys/[a-zA-Z0-9_-]{1,63})(/cryptoKeyVersions/[1-9][0-9]{0,8})?)?$`)
	plainRE  = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)
	numberRE = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
)

// resource is a parsed resource name; each part is the full name up to there, "" if it is not given.
type resource struct {
	location, ring, key, version string
}

// parseResource reads projects/P/locations/L/keyRings/R[/cryptoKeys/K[/cryptoKeyVersions/N]].
func parseResource(name string) (resource, bool) {
	m := resourceRE.FindStringSubmatch(name)
	if m == nil {
		return resource{}, false
	}
	r := resource{location: m[1], ring: m[1] + m[2]}
	if m[3] != "" {
		r.key = r.ring + m[3]
	}
	if m[4] != "" {
		r.version = r.key + m[4]
	}
	return r, true
}

// String is the most particular name.
func (r resource) String() string {
	for _, name := range []string{r.version, r.key, r.ring} {
		if name != "" {
			return name
		}
	}
	return ""
}

// encodeID is the name of the key whose short name is id; false if that is longer than Google allows, or empty.
func encodeID(id string) (string, bool) {
	if plainRE.MatchString(id) && !strings.HasPrefix(id, escaped) {
		return id, true
	}
	var b strings.Builder
	b.WriteString(escaped)
	for i := 0; i < len(id) && b.Len() <= idMax; i++ {
		if c := id[i]; c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String(), id != "" && b.Len() <= idMax
}

// decodeID is the short name of a key; false if it has none, because the key begins with "x--" by chance.
func decodeID(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, escaped)
	if !ok {
		return name, true
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '_' {
			b.WriteByte(rest[i])
			continue
		}
		if i+3 > len(rest) {
			return "", false
		}
		c, err := hex.DecodeString(rest[i+1 : i+3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		i += 2
	}
	id := b.String()
	again, ok := encodeID(id)
	return id, ok && again == name
}

// target finds out which key a key ID means. It asks nobody.
func (t *Token) target(keyID string) (resource, error) {
	switch {
	case keyID == "" && t.home.key == "":
		return resource{}, fmt.Errorf("gcpkms: %w: no key ID, and no cryptoKeys/ in the URI", hsm.ErrNoKey)
	case keyID == "":
		return t.home, nil
	case strings.HasPrefix(keyID, "projects/"):
		r, ok := parseResource(keyID)
		if !ok || r.key == "" {
			return resource{}, fmt.Errorf("gcpkms: %w: %q is no projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/N]",
				hsm.ErrNoKey, clip(keyID))
		}
		return t.withVersion(r), nil
	case t.home.ring == "":
		return resource{}, fmt.Errorf("gcpkms: %w: %q is a short name and the URI names no key ring; use "+
			"gcpkms:projects/P/locations/L/keyRings/R, or the full resource name", hsm.ErrNoKey, clip(keyID))
	}
	short, number := keyID, ""
	if i := strings.LastIndex(keyID, versionsPart); i > 0 && numberRE.MatchString(keyID[i+len(versionsPart):]) {
		short, number = keyID[:i], keyID[i:]
	}
	name, ok := encodeID(short)
	if !ok {
		return resource{}, fmt.Errorf("gcpkms: %w: %q: a key name has at most %d characters in Cloud KMS, and all but letters, digits, - "+
			"and _ count three times", hsm.ErrNoKey, clip(keyID), idMax)
	}
	r := resource{location: t.home.location, ring: t.home.ring, key: t.home.ring + keysPart + name}
	if number != "" {
		r.version = r.key + number
	}
	return t.withVersion(r), nil
}

// withVersion takes the version of the URI for the key of the URI.
func (t *Token) withVersion(r resource) resource {
	if r.version == "" && r.key == t.home.key {
		r.version = t.home.version
	}
	return r
}

// keyID is what the methods call a key, given its resource name: the short name in our own key ring.
func (t *Token) keyID(name string) string {
	if own, ok := strings.CutPrefix(name, t.home.ring+keysPart); ok && t.home.ring != "" {
		if id, ok := decodeID(own); ok {
			return id
		}
	}
	return name
}

// clip keeps a text that is not ours short enough for an error, and on one line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
