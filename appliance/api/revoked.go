package api

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Revoked are tokens that let nobody in any more, though they are signed and have not expired. A nil one is none.
type Revoked struct {
	ids, subjects map[string]bool
	before        time.Time // tokens issued before it, and those that do not say when
}

// errRevoked does not say which word it was: that is nobody's business who has the token.
var errRevoked = errors.New("the token was revoked")

// ParseRevoked reads words of the forms jti:ID, sub:NAME and before:TIME (RFC 3339). Of several times the latest counts.
func ParseRevoked(words []string) (*Revoked, error) {
	r := &Revoked{ids: map[string]bool{}, subjects: map[string]bool{}}
	for _, w := range words {
		kind, what, _ := strings.Cut(w, ":")
		switch {
		case (kind == "jti" || kind == "sub") && !isName(what):
			return nil, fmt.Errorf("%q ends no token: after the colon are 1 to %d visible ASCII characters, without blanks", w, subjectMax)
		case kind == "jti" && what != "":
			r.ids[what] = true
		case kind == "sub" && what != "":
			r.subjects[what] = true
		case kind == "before":
			at, err := time.Parse(time.RFC3339, what)
			if err != nil {
				return nil, fmt.Errorf("%q is no time as 2026-01-31T12:00:00Z", what)
			}
			if at.After(r.before) {
				r.before = at
			}
		default:
			return nil, fmt.Errorf("%q is neither jti:ID nor sub:NAME nor before:TIME", w)
		}
	}
	return r, nil
}

// Len is how many entries are in force: of several times the latest.
func (r *Revoked) Len() int {
	n := len(r.ids) + len(r.subjects)
	if !r.before.IsZero() {
		n++
	}
	return n
}

// Revoke puts r in the place of what was revoked before, and tells whether that is another. It holds from the next request on.
func (j *JWT) Revoke(r *Revoked) (changed bool) {
	was := j.revoked.Swap(r)
	if was == nil {
		was = &Revoked{}
	}
	return !maps.Equal(was.ids, r.ids) || !maps.Equal(was.subjects, r.subjects) || !was.before.Equal(r.before)
}

func (r *Revoked) check(k knownToken) error {
	if r != nil && (r.ids[k.id] || r.subjects[k.who.Requester] || k.issued.Before(r.before)) {
		return errRevoked
	}
	return nil
}

// tokenID reads jti, by which a token can be revoked.
func tokenID(c jwt.MapClaims) (string, error) {
	id, isText := c["jti"].(string)
	if c["jti"] != nil && !isText || !isName(id) {
		return "", fmt.Errorf("the token's jti must have 1 to %d visible ASCII characters", subjectMax)
	}
	return id, nil
}
