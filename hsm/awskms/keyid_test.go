package awskms

import (
	"errors"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/hsm"
)

// Goal: a key ID means one thing. Method: a table.
func TestParseKeyID(t *testing.T) {
	for in, want := range map[string]target{
		"arn:aws:kms:us-east-1:123456789:key/co-sign-key":  {"arn:aws:kms:us-east-1:123456789:key/co-sign-key", "us-east-1"},
		"arn:aws-cn:kms:cn-north-1:123456789012:alias/a_b": {"arn:aws-cn:kms:cn-north-1:123456789012:alias/a_b", "cn-north-1"},
		"1234abcd-12ab-34cd-56ef-1234567890ab":             {"1234abcd-12ab-34cd-56ef-1234567890ab", ""},
		"mrk-1234abcd12ab34cd56ef1234567890ab":             {"mrk-1234abcd12ab34cd56ef1234567890ab", ""},
		"alias/attest":                                     {"alias/attest", ""},
		"attest":                                           {"alias/mpcd/attest", ""},
		"node1/attest":                                     {"alias/mpcd/node1/attest", ""},
		"other kek":                                        {"alias/mpcd/other_20kek", ""},
		"other_20kek":                                      {"alias/mpcd/other_5f20kek", ""},
		"ключ":                                             {"alias/mpcd/_d0_ba_d0_bb_d1_8e_d1_87", ""},
		"1234ABCD-12ab-34cd-56ef-1234567890ab":             {"alias/mpcd/1234ABCD-12ab-34cd-56ef-1234567890ab", ""},
	} {
		got, err := parseKeyID(in)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", in, got, err, want)
		}
		if strings.HasPrefix(want.id, ourPrefix) && keyIDOf(want.id) != in {
			t.Errorf("%s is listed as %s", in, keyIDOf(want.id))
		}
	}
	for _, bad := range []string{"", "arn:aws:s3:::bucket", "arn:aws:kms:us-east-1:1:key/a b", "arn:aws:kms:us-east-1:x:key/a", "alias/",
		"alias/a b", "alias/" + strings.Repeat("a", 251), strings.Repeat("a", 246)} {
		if got, err := parseKeyID(bad); !errors.Is(err, hsm.ErrNoKey) {
			t.Errorf("%q: got %v, %v", bad, got, err)
		}
	}
	for _, alias := range []string{"alias/other", "alias/mpcd/", "alias/mpcd/_", "alias/mpcd/_2", "alias/mpcd/_zz", "alias/mpcd/_2F",
		"alias/mpcd/_61", "alias/mpcd/_5F"} {
		if got := keyIDOf(alias); got != alias {
			t.Errorf("%s, which no name has, is listed as %s", alias, got)
		}
	}
}

// Goal: what is about another key is recognised. Method: pairs of IDs and ARNs.
func TestSameKey(t *testing.T) {
	const id, arn, far = "1234abcd-12ab-34cd-56ef-1234567890ab", "arn:aws:kms:a:1:key/1234abcd-12ab-34cd-56ef-1234567890ab",
		"arn:aws:kms:b:1:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for _, c := range []struct {
		a, b string
		want bool
	}{{id, id, true}, {arn, arn, true}, {id, arn, true}, {arn, id, true}, {arn, far, false}, {id, "1234", false}, {arn, "", false},
		{id, "", false}} {
		if sameKey(c.a, c.b) != c.want {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.want)
		}
	}
	for _, answer := range []string{"", "alias/a", "arn:aws:kms:a:1:alias/a"} {
		if (target{id: "alias/a"}).accepts(answer) {
			t.Errorf("%q is taken for a key", answer)
		}
	}
}

// Goal: names and aliases are one to one, whatever the name. Method: fuzz there and back.
func FuzzKeyID(f *testing.F) {
	for _, s := range []string{"a b", "_", "node1/attest", "alias/mpcd/_20", "é"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k, err := parseKeyID(s)
		if err != nil {
			return
		}
		if ours := k.id != s; ours && (keyIDOf(k.id) != s || !aliasOK.MatchString(k.id)) {
			t.Errorf("%q becomes %q, which is listed as %q", s, k.id, keyIDOf(k.id))
		}
		if back, err := parseKeyID(keyIDOf(s)); strings.HasPrefix(s, ourPrefix) && (err != nil || back.id != s) {
			t.Errorf("alias %q is listed as %q, which is %q", s, keyIDOf(s), back.id)
		}
	})
}
