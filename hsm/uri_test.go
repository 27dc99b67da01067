package hsm

import (
	"errors"
	"strings"
	"testing"
)

// Goal: good URIs mean what they say, and print in one form. Method: a table with examples of RFC 7512 §3 among them.
func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		in, out string
		want    map[string]string
	}{
		{"pkcs11:token=mpcd;object=attest?module-path=/usr/lib/x.so&pin-source=cred:hsm-pin", "",
			map[string]string{"token": "mpcd", "object": "attest", "module-path": "/usr/lib/x.so", "pin-source": "cred:hsm-pin", "serial": ""}},
		{"pkcs11:", "", map[string]string{"token": ""}},
		{"pkcs11", "pkcs11:", nil},
		{"softhsm", "softhsm:", nil},
		{"aws", "awskms:", nil},
		{"gcp", "gcpkms:", nil},
		{"tpm", "tpm:", nil},
		{"local", "local:", nil},
		{"pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=5d3c;token=mpcd;id=%01%FF%00;object=attest;type=private",
			"pkcs11:token=mpcd;serial=5d3c;manufacturer=SoftHSM%20project;model=SoftHSM%20v2;id=%01%FF%00;object=attest;type=private",
			map[string]string{"id": "\x01\xff\x00", "object": "attest", "type": "private"}},
		{"pkcs11:id=attest", "", map[string]string{"id": "attest"}},
		{"pkcs11:object=b;token=a", "pkcs11:token=a;object=b", nil},
		{"pkcs11:?pin-source=file:/p&module-path=/m", "pkcs11:?module-path=/m&pin-source=file:/p", nil},
		{"pkcs11:?init-args=configdir='sql:/db'%20flags=&module-path=/m", "pkcs11:?module-path=/m&init-args=configdir='sql:/db'%20flags=",
			map[string]string{"init-args": "configdir='sql:/db' flags="}},
		{"pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.", "",
			map[string]string{"token": "The Software PKCS#11 Softtoken", "manufacturer": "Snake Oil, Inc."}},
		{"pkcs11:object=name%20with%20a%20substring%20%25%3B", "", map[string]string{"object": "name with a substring %;"}},
		{"pkcs11:token=%c3%a9%2f%41", "pkcs11:token=%C3%A9%2FA", map[string]string{"token": "é/A"}},
		{"pkcs11:token=a=b&c", "", map[string]string{"token": "a=b&c"}},
		{"awskms:key-id=arn:aws:kms:us-east-1:123456789:key%2Fco-sign-key;region=us-east-1", "", map[string]string{"region": "us-east-1"}},
		{"tpm:handle=0x81010001;device=%2Fdev%2Ftpmrm0", "", map[string]string{"device": "/dev/tpmrm0"}},
	} {
		u, err := ParseURI(c.in)
		if err != nil {
			t.Error(err)
			continue
		}
		if c.out == "" {
			c.out = c.in
		}
		if u.String() != c.out {
			t.Errorf("%s prints as %s, want %s", c.in, u, c.out)
		}
		for name, want := range c.want {
			if got := u.Attr(name); got != want {
				t.Errorf("%s: %s is %q, want %q", c.in, name, got, want)
			}
		}
	}
	for in, path := range map[string]string{"local:/var/lib/mpcd%20dev/token": "/var/lib/mpcd dev/token",
		"gcpkms:projects/p/cryptoKeys/k": "projects/p/cryptoKeys/k", "plugin:vendor": "vendor"} {
		if u, err := ParseURI(in); err != nil || u.Path != path || u.String() != in {
			t.Errorf("%s: %v, %v", in, u, err)
		}
	}
}

// Goal: every other URI is refused as ErrURI, with the reason and without any value. Method: a table of what is wrong.
func TestParseURIRefuses(t *testing.T) {
	const pin = "s3cr3t"
	for in, reason := range map[string]string{
		"":                       "unknown scheme",
		"yubihsm":                "unknown scheme",
		"PKCS11:token=a":         "unknown scheme",
		"/path":                  "unknown scheme",
		"pkcs11:token=a;token=b": "twice",
		"pkcs11:?pin-source=env:A&pin-source=env:B": "twice",
		"pkcs11:tokken=a":                              "unknown attribute",
		"pkcs11:pin-source=a":                          "unknown attribute",
		"pkcs11:init-args=a":                           "unknown attribute",
		"pkcs11:?init-args=":                           "no value",
		"pkcs11:?token=a":                              "unknown attribute",
		"pkcs11:token=a?x-vendor=b":                    "unknown attribute",
		"pkcs11:token=a;":                              "unknown attribute",
		"pkcs11:;":                                     "unknown attribute",
		"pkcs11:?":                                     "unknown attribute",
		"pkcs11:token":                                 "no value",
		"pkcs11:token=":                                "no value",
		"pkcs11:token=%":                               "percent-encoding",
		"pkcs11:token=%4":                              "percent-encoding",
		"pkcs11:token=%4g":                             "percent-encoding",
		"pkcs11:token=%00":                             "control",
		"pkcs11:token=a%0a":                            "control",
		"pkcs11:token=%ff":                             "UTF-8",
		"pkcs11:token=a b":                             "percent-encoded",
		"pkcs11:type=cert":                             "names no key",
		"pkcs11:id=":                                   "no value",
		"pkcs11:id=%0g":                                "percent-encoding",
		"pkcs11:token=a/b":                             "percent-encoded",
		"pkcs11:token=é":                               "percent-encoded",
		"pkcs11:token=a?pin-source=|cmd":               "percent-encoded",
		"pkcs11:token=a?pin-source=a?b#c":              "percent-encoded",
		"pkcs11:?pin-value=" + pin:                     "pin-source",
		"pkcs11:pin-value=" + pin:                      "pin-source",
		"pkcs11:?module-path=/x.so?pin-value=" + pin:   "has a PIN",
		"pkcs11:?module-path=/x.so?PIN-VALUE=" + pin:   "has a PIN",
		"pkcs11:?module-path=/x.so?pin%2Dvalue=" + pin: "has a PIN",
		"pkcs11:?module-path=/x.so?pin=" + pin:         "has a PIN",
		"pkcs11:?pin-source=file:/p?pin-value=" + pin:  "has a PIN",
		"pkcs11:?init-args=pin=" + pin:                 "has a PIN",
		"pkcs11:token=a&pin-value=" + pin:              "has a PIN",
		"pkcs11:id=%01&pin-value=" + pin:               "has a PIN",
		"local:/a&pin-value=" + pin:                    "has a PIN",
		"pin-value=" + pin:                             "has a PIN",
		"token=a&pin=" + pin + ":":                     "has a PIN",
		"pkcs11:?pin-source=" + pin:                    "file:/path",
		"pkcs11:?pin-source=/" + pin:                   "file:/path",
		"pkcs11:?pin-source=env:":                      "file:/path",
		"tpm:?pin-source=vault:" + pin:                 "file:/path",
		"tpm:?pin-source=" + pin:                       "file:/path",
		"pkcs11:?pin-source=file:/p&" + pin:            "unknown attribute",
		"pkcs11:slot-id=1":                             "token=",
		"pkcs11:?module-name=softhsm2":                 "module-path",
		"local:/a;b":                                   "percent-encoded",
		"local:/a?pin-source=env:X":                    "unknown attribute",
		"pkcs11:token=" + strings.Repeat("a", maxURI):  "at most",
		"pkcs11:token=" + pin + "\x00":                 "percent-encoded",
	} {
		u, err := ParseURI(in)
		if !errors.Is(err, ErrURI) || u != nil {
			t.Errorf("%.60s: got %v, %v", in, u, err)
			continue
		}
		if !strings.Contains(err.Error(), reason) {
			t.Errorf("%.60s: %v, want the reason %q", in, err, reason)
		}
		if strings.Contains(err.Error(), pin) {
			t.Errorf("%s: the error tells the value: %v", in, err)
		}
	}
}

// Goal: With changes a copy, and only to what ParseURI reads. Method: print and parse again; bad names and values.
func TestWith(t *testing.T) {
	u, err := ParseURI("pkcs11:token=a")
	if err != nil {
		t.Fatal(err)
	}
	v, err := u.With("token", "é;?&% /")
	if err != nil {
		t.Fatal(err)
	}
	if u.Attr("token") != "a" {
		t.Error("the original changed")
	}
	if w, err := ParseURI(v.String()); err != nil || w.Attr("token") != "é;?&% /" {
		t.Errorf("%s: %v, %v", v, w, err)
	}
	for _, c := range [][2]string{{"tokken", "a"}, {"pin-value", "1"}, {"token", ""}, {"token", "a\n"}, {"token", "\xff"},
		{"token", "a&pin=1"}, {"id", "a&pin=1"}} {
		if _, err := u.With(c[0], c[1]); !errors.Is(err, ErrURI) {
			t.Errorf("%q: got %v", c, err)
		}
	}
}

// Goal: no input makes the parser panic, and what it accepts prints to a fixed point of the same meaning. Method: fuzz.
func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"pkcs11:token=mpcd;object=attest?module-path=/m.so&pin-source=cred:pin", "local:/path%20x", "aws",
		"awskms:key-id=a;region=b", "pkcs11:token=%C3%A9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURI(s)
		if err != nil {
			if !errors.Is(err, ErrURI) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		v, err := ParseURI(u.String())
		if err != nil {
			if len(u.String()) > maxURI { // encoding makes it longer
				return
			}
			t.Fatalf("%q prints as %q: %v", s, u, err)
		}
		if v.String() != u.String() || v.Path != u.Path || len(v.path) != len(u.path) || len(v.query) != len(u.query) {
			t.Errorf("%q and %q differ", u, v)
		}
		for name, value := range u.path {
			if v.Attr(name) != value {
				t.Errorf("%q: %s differs", s, name)
			}
		}
	})
}

// Goal: a URI of a key and its key ID name the same key, by label, by CKA_ID or by both. Method: there and back.
func TestPKCS11KeyID(t *testing.T) {
	for _, x := range []struct{ uri, keyID, label, id string }{
		{"pkcs11:token=a", "", "", ""},
		{"pkcs11:object=attest", "attest", "attest", ""},
		{"pkcs11:id=%01%ff", "id=%01%FF", "", "\x01\xff"},
		{"pkcs11:id=%01;object=a%20;type=private", "id=%01;object=a%20", "a ", "\x01"},
		{"pkcs11:id=x%3Bobject%3Dy", "id=x%3Bobject%3Dy", "", "x;object=y"},
	} {
		u, err := ParseURI(x.uri)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.PKCS11KeyID(); got != x.keyID {
			t.Errorf("%s: %q", x.uri, got)
		}
		label, id, err := ParsePKCS11KeyID(x.keyID)
		if err != nil || label != x.label || string(id) != x.id {
			t.Errorf("%s: %q, %x, %v", x.keyID, label, id, err)
		}
	}
	for _, bad := range []string{"id=", "id=%1", "id=%01;label=x", "id=%01;id=%02"} {
		if _, _, err := ParsePKCS11KeyID(bad); !errors.Is(err, ErrURI) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
