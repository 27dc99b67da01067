package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Goal: the doctor tells of each file that the configuration names, and of each directory of one, that others may change, and of each
// secret that they may read, and says how to close it. Method: one by one opened; what is as it was made, or only read, is well.
func TestModes(t *testing.T) {
	n := filepath.Join(t.TempDir(), "n")
	at := func(name string) string { return filepath.Join(n, name) }
	var c Config
	c.File, c.DataDir, c.Roster, c.Authority = at("mpcd.yaml"), at("data"), at("roster.json"), at("authority.json")
	c.Initiator, c.API.JWTKeys, c.Events.Key = at("initiator.key"), []string{at("tokens.pub")}, at("events.key")
	c.API.Cert, c.API.Key, c.API.ClientCA, c.API.IssuerCA = at("tls/api.crt"), at("tls/api.key"), at("tls/client.crt"), at("tls/oidc.crt")
	c.NATS.Cert, c.NATS.Key, c.NATS.CA, c.NATS.Creds = at("tls/n.crt"), at("tls/n.key"), at("tls/ca.crt"), at("creds")
	c.HSM.URI = "pkcs11:token=x?module-path=" + at("lib/p.so") + "&pin-source=file:" + at("hsm/pin")
	c.HSM.SoftHSMConf, c.HSM.Plugin.Dir = at("hsm/softhsm2.conf"), at("drivers")
	c.Password.Provider, c.Password.KeyID, c.Password.Sealed = "file", at("password"), "file:"+at("sealed")
	secret := []string{"initiator.key", "tls/api.key", "tls/n.key", "creds", "hsm/pin", "password", "sealed", "data/store.key", "events.key",
		"hsm/tokens/1/token.object", "hsm/tokens/1/a.object"}
	public := []string{"mpcd.yaml", "roster.json", "authority.json", "tokens.pub", "tls/api.crt", "tls/client.crt", "tls/oidc.crt",
		"tls/n.crt", "tls/ca.crt", "lib/p.so", "hsm/softhsm2.conf", "drivers/d"}
	for _, name := range append(secret, public...) {
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, made, mode, to os.FileMode) {
		t.Helper()
		if err := os.Chmod(at(name), mode); err != nil {
			t.Fatal(err)
		}
		d := Checkup{Config: c}
		d.modes()
		f, want := d.findings[0], ""
		if to != mode {
			want = fmt.Sprintf("chmod %o %s", to, at(name))
		}
		if f.Warn != want || want != "" && !strings.Contains(f.Detail, fmt.Sprintf("%s has mode %o", at(name), mode)) {
			t.Errorf("%s %o: %q, %q", name, mode, f.Detail, f.Warn)
		}
		_ = os.Chmod(at(name), made)
	}
	for _, name := range secret {
		check(name, 0o600, 0o600, 0o600)
		check(name, 0o600, 0o644, 0o640)
		check(name, 0o600, 0o660, 0o640)
	}
	for _, name := range public {
		check(name, 0o600, 0o644, 0o644)
		check(name, 0o600, 0o666, 0o644)
		check(name, 0o600, 0o664, 0o644)
	}
	for _, name := range []string{".", "tls", "hsm", "hsm/tokens", "hsm/tokens/1", "data", "lib", "drivers"} {
		check(name, 0o700, 0o770, 0o750)
		if name != "data" && !strings.Contains(name, "tokens") {
			check(name, 0o700, 0o777, 0o755)
		}
	}
	check("..", 0o755, 0o777, 0o775) // a directory above those: its group may
	check("..", 0o755, 0o775, 0o775)
	check("..", 0o755, 0o777|os.ModeSticky, 0o777|os.ModeSticky)
	if err := os.Symlink(filepath.Join(n, "..", "far"), at("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("../far"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Roster = at("link")
	check("../far", 0o600, 0o666, 0o644)
}
