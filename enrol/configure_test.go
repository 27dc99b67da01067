package enrol

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: no PIN gets into a configuration, nor into what is said of it. Method: a URI with one, and no file after it.
func TestConfigureTakesNoPIN(t *testing.T) {
	dir, vs := filepath.Join(t.TempDir(), "n1"), host.Defaults()
	vs.Set("cluster", "treasury", "flag")
	vs.Set("node_id", "n1", "flag")
	vs.Set("hsm.uri", "pkcs11:token=x?module-path=/lib.so&pin-value=481516", "flag")
	_, err := Configure(dir, vs, Place{Endpoint: "https://127.0.0.1:8443"}, t.Logf)
	if codeOf(err) != fault.CodeUsage || strings.Contains(err.Error(), "481516") {
		t.Errorf("taken: %v", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something was written: %v", err)
	}
}

// Goal: what is written into the configuration of a new node, elsewhere, means what it meant where it was given. Method: every setting that
// has a path, relative to the working directory and to a file; compare the configuration that was given with the one that was written.
func TestConfigureKeepsPaths(t *testing.T) {
	dir, vs := filepath.Join(t.TempDir(), "n1"), host.Defaults()
	text := "api: {tls: {client_ca: ca.pem}}\nhsm: {plugin: {read: [r, s]}}\n"
	if err := vs.YAML(filepath.Join(t.TempDir(), "mpcd.yaml"), []byte(text)); err != nil {
		t.Fatal(err)
	}
	for key, text := range map[string]string{"cluster": "treasury", "node_id": "n1", "data_dir": "data", "listen": "127.0.0.1:8443",
		"roster": "r.json", "authority": "who.json", "dev.initiator": "i.key", "api.tls.cert": "a.crt",
		"api.tls.key": "/full/a.key", "api.jwt.keys": "one.pub,/full/two.pub",
		"nats.listen": "127.0.0.1:6222", "nats.routes": "127.0.0.1:6223", "nats.tls.cert": "n.crt", "nats.tls.key": "n.key", "nats.tls.ca": "ca",
		"nats.creds": "creds", "hsm.uri": "pkcs11:token=x?module-path=lib.so&pin-source=file:pin",
		"hsm.vault_uri": "tpm:device=sock?pin-source=env:PIN", "hsm.counter": "tpm:device=sock", "hsm.softhsm_conf": "soft.conf",
		"hsm.plugin.dir": "drivers", "hsm.plugin.write": "w", "password.provider": "file", "password.key_id": "password",
		"password.sealed": "file:sealed", "password.uri": "local:token"} {
		vs.Set(key, text, "env "+key)
	}
	given, err := host.Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	path, err := Configure(dir, vs, Place{Endpoint: "https://127.0.0.1:8443"}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	written := host.Defaults()
	if err := written.File(path); err != nil {
		t.Fatal(err)
	}
	c, err := host.Parse(written)
	c.File, c.Above, given.File, given.Above = "", nil, "", nil
	if err != nil {
		t.Fatal(err)
	}
	for got, want, i := reflect.ValueOf(c), reflect.ValueOf(given), 0; i < got.NumField(); i++ { // where each value comes from differs
		if f := got.Type().Field(i); f.IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), want.Field(i).Interface()) {
			t.Errorf("%s\ngot  %+v\nwant %+v", f.Name, got.Field(i), want.Field(i))
		}
	}
}
