package host

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Goal: a relative path in mpcd.yaml is relative to mpcd.yaml, whatever setting has it and wherever the program runs; what flags and
// variables give is relative to where they were given, and full paths stay. Method: every setting with a path, from a file of each kind.
func TestPathsAreTheFiles(t *testing.T) {
	const text = `
cluster: c
node_id: n
data_dir: data
roster: ../r/roster.json
api: {tls: {cert: tls/a.crt, key: /full/a.key, client_ca: ca}, jwt: {keys: [jwt.pub, /full/jwt.pub]}}
nats: {creds: creds, tls: {cert: tls/n.crt, key: tls/n.key, ca: tls/ca.crt}}
hsm:
  uri: pkcs11:token=x?module-path=lib/p.so&pin-source=file:hsm/pin
  vault_uri: tpm:device=sock?pin-source=env:PIN
  counter: tpm:device=%2Fdev%2Ftpmrm0
  softhsm_conf: hsm/softhsm2.conf
  plugin: {dir: drivers, read: [r], write: [w, /full/w]}
password: {provider: file, key_id: password, sealed: "file:sealed", uri: "local:token"}
`
	vs := Defaults()
	if err := vs.YAML("/etc/x/mpcd.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range [][2]string{
		{c.DataDir, "/etc/x/data"}, {c.Roster, "/etc/r/roster.json"}, {c.API.Cert, "/etc/x/tls/a.crt"}, {c.API.Key, "/full/a.key"},
		{c.API.ClientCA, "/etc/x/ca"}, {c.NATS.Creds, "/etc/x/creds"}, {c.NATS.Cert, "/etc/x/tls/n.crt"}, {c.NATS.Key, "/etc/x/tls/n.key"},
		{c.NATS.CA, "/etc/x/tls/ca.crt"}, {c.HSM.URI, "pkcs11:token=x?module-path=/etc/x/lib/p.so&pin-source=file:/etc/x/hsm/pin"},
		{c.HSM.VaultURI, "tpm:device=%2Fetc%2Fx%2Fsock?pin-source=env:PIN"}, {c.HSM.Counter, "tpm:device=%2Fdev%2Ftpmrm0"},
		{c.HSM.SoftHSMConf, "/etc/x/hsm/softhsm2.conf"}, {c.HSM.Plugin.Dir, "/etc/x/drivers"}, {c.Password.KeyID, "/etc/x/password"},
		{c.Password.Sealed, "file:/etc/x/sealed"}, {c.Password.URI, "local:/etc/x/token"},
	} {
		if x[0] != x[1] {
			t.Errorf("got %s, want %s", x[0], x[1])
		}
	}
	if !slices.Equal(c.API.JWTKeys, []string{"/etc/x/jwt.pub", "/full/jwt.pub"}) || !slices.Equal(c.HSM.Plugin.Read, []string{"/etc/x/r"}) ||
		!slices.Equal(c.HSM.Plugin.Write, []string{"/etc/x/w", "/full/w"}) {
		t.Error(c.API.JWTKeys, c.HSM.Plugin)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	vs.Set("data_dir", "data", "flag --data")
	vs.Set("hsm.uri", "local:token", "env MPCD_HSM_URI")
	vs.Set("password.provider", "aws", "test")
	if c, err = Parse(vs); err != nil {
		t.Fatal(err)
	}
	if c.DataDir != filepath.Join(here, "data") || c.HSM.URI != "local:"+filepath.Join(here, "token") || c.Password.KeyID != "password" {
		t.Error(c.DataDir, c.HSM.URI, c.Password.KeyID)
	}
}
