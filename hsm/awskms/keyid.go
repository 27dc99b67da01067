package awskms

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/luxfi/mpcd/hsm"
)

const (
	aliasPrefix = "alias/"
	ourPrefix   = aliasPrefix + "mpcd/"
	aliasMax    = 256 // API_CreateAlias, AliasName
)

var (
	keyARN  = regexp.MustCompile(`^arn:aws[a-z0-9-]*:kms:([a-z0-9-]+):([0-9]+):((?:key|alias)/[A-Za-z0-9/_-]+)$`)
	keyUUID = regexp.MustCompile(`^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f-]{32,36})$`)
	aliasOK = regexp.MustCompile(`^alias/[A-Za-z0-9/_-]+$`)
)

// target is what a key ID means to KMS.
type target struct {
	id     string // as KMS takes it: ID, ARN or alias
	region string // of an ARN, else ""
}

// parseKeyID reads a key ID. Errors wrap hsm.ErrNoKey: what is none cannot name a key.
func parseKeyID(keyID string) (target, error) {
	switch {
	case keyID == "":
		return target{}, fmt.Errorf("awskms: %w: no key ID, and none in the URI; add key-id=", hsm.ErrNoKey)
	case strings.HasPrefix(keyID, "arn:"):
		m := keyARN.FindStringSubmatch(keyID)
		if m == nil {
			return target{}, fmt.Errorf("awskms: %w: %.100q is no ARN of a key; want arn:aws:kms:<region>:<account>:key/<id>", hsm.ErrNoKey, keyID)
		}
		return target{id: keyID, region: m[1]}, nil
	case keyUUID.MatchString(keyID):
		return target{id: keyID}, nil
	case strings.HasPrefix(keyID, aliasPrefix):
		if !aliasOK.MatchString(keyID) || len(keyID) > aliasMax {
			return target{}, fmt.Errorf("awskms: %w: %.100q is no alias; want alias/ and up to 250 letters, digits, / _ -", hsm.ErrNoKey, keyID)
		}
		return target{id: keyID}, nil
	}
	alias := ourPrefix + encodeName(keyID)
	if len(alias) > aliasMax {
		return target{}, fmt.Errorf("awskms: %w: the name %.50q… makes an alias of %d bytes, at most %d; choose a shorter one", hsm.ErrNoKey,
			keyID, len(alias), aliasMax)
	}
	return target{id: alias}, nil
}

// isAlias tells that the target is an alias by name, such as can be made.
func (t target) isAlias() bool { return strings.HasPrefix(t.id, aliasPrefix) }

// accepts tells whether the ID or ARN in an answer can be the key that was asked for.
func (t target) accepts(answer string) bool {
	if answer == "" || strings.Contains(answer, ":alias/") || strings.HasPrefix(answer, aliasPrefix) {
		return false
	}
	if t.isAlias() || strings.Contains(t.id, ":alias/") {
		return true
	}
	return sameKey(t.id, answer)
}

// sameKey compares two names of keys, each an ID or an ARN: AWS answers with ARNs, others with IDs.
func sameKey(a, b string) bool {
	if strings.HasPrefix(a, "arn:") == strings.HasPrefix(b, "arn:") {
		return a == b
	}
	return bareID(a) == bareID(b)
}

// bareID is the ID within an ARN of a key, or the ID.
func bareID(s string) string {
	if _, id, ok := strings.Cut(s, ":key/"); ok {
		return id
	}
	return s
}

// encodeName writes a name in the characters of aliases, one way only.
func encodeName(name string) string {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if c := name[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// keyIDOf is the key ID for an alias: our name where it is one that encodeName writes, else the alias itself.
func keyIDOf(alias string) string {
	rest, ours := strings.CutPrefix(alias, ourPrefix)
	if !ours {
		return alias
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '_' {
			if _, err := fmt.Sscanf(rest[i+1:min(i+3, len(rest))], "%02x", &c); err != nil {
				return alias
			}
			i += 2
		}
		b.WriteByte(c)
	}
	name := b.String()
	if t, err := parseKeyID(name); err != nil || t.id != alias {
		return alias
	}
	return name
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '/'
}
