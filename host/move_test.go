package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/hsm/pkcs11"
	"github.com/luxfi/mpcd/softhsm"
	"github.com/luxfi/mpcd/vault"
)

func silent(int, int) {}

// Goal: a recovery to other officers that was cut short after the vault had moved is finished by the same command, and leaves the store
// to the new officer alone. Method: recover, put the store's key of before back, as the crash leaves it, and recover again.
func TestRecoveryCutShort(t *testing.T) {
	ctx := t.Context()
	old, next := newOfficer(t), newOfficer(t)
	c := testNode(t, "n1")
	c.HSM.Recovery = []string{old.recipient}
	prepare(t, c)
	before, err := os.ReadFile(c.StoreKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	x := Target{URI: "local:" + filepath.Join(t.TempDir(), "spare"), Recovery: []string{next.recipient}}
	again := func() error {
		_, err := Recover(ctx, c, Options{}, x, []age.Identity{old.identity}, silent)
		return err
	}
	for range 2 {
		if err := os.WriteFile(c.StoreKeyPath(), before, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := again(); err != nil {
			t.Fatal(err)
		}
	}
	if err := again(); !errors.Is(err, vault.ErrRecovery) {
		t.Errorf("the officer of before opens the store: %v", err)
	}
	moved := c
	moved.HSM.VaultURI, moved.HSM.Recovery = x.URI, x.Recovery
	opens := func(c Config) error {
		return withTokens(ctx, c, func(tok *Tokens) error {
			disk, err := tok.OpenDisk(ctx, true)
			if err != nil {
				return err
			}
			return errors.Join(disk.Vault.Check(ctx), disk.Close())
		})
	}
	if err := opens(moved); err != nil {
		t.Error(err)
	}
	if err := opens(c); !errors.Is(err, vault.ErrWrongKEK) {
		t.Errorf("the token of before: %v", err)
	}
}

// Goal: a move that was cut short between the vault's switch and the sealing of the store's key, or after all of it, is finished by the
// same command. Method: move, put back the store's key for both tokens, and none; move again each time.
func TestMoveCutShort(t *testing.T) {
	ctx := t.Context()
	c := testNode(t, "n1")
	prepare(t, c)
	x := Target{URI: "local:" + filepath.Join(t.TempDir(), "next"), Key: "vault-2", Recovery: []string{newOfficer(t).recipient}}
	if _, err := moving(ctx, c, Options{}, "vault.rewrap", func(m *move) error {
		if err := m.open(ctx, &x); err != nil {
			return err
		}
		old, err := m.from.slot()
		if err != nil {
			return err
		}
		return c.keyFile().write(ctx, m.key, nil, old, m.to.slot)
	}); err != nil {
		t.Fatal(err)
	}
	both, err := os.ReadFile(c.StoreKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string][]byte{"switched": both, "done": nil} {
		if _, err := Rewrap(ctx, c, Options{}, x, silent); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if key != nil {
			if err := os.WriteFile(c.StoreKeyPath(), key, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Rewrap(ctx, c, Options{}, x, silent); err != nil {
			t.Errorf("%s: again: %v", name, err)
		}
		if now, err := os.ReadFile(c.StoreKeyPath()); err != nil || bytes.Equal(now, both) {
			t.Errorf("%s: the old token still opens the store: %v", name, err)
		}
	}
}

// Goal: while a vault is on its way, the store opens with the token it leaves, with the one it goes to, and for those who can recover
// the vault as it is; after it with the new ones alone. Method: read the sealed key as it is when progress is told, and try them all.
func TestStoreOnTheWay(t *testing.T) {
	ctx := t.Context()
	before, after := newOfficer(t), newOfficer(t)
	c := testNode(t, "n1")
	c.HSM.Recovery = []string{before.recipient}
	prepare(t, c)
	var during []byte
	x := Target{URI: "local:" + filepath.Join(t.TempDir(), "next"), Key: "vault-2", Recovery: []string{after.recipient}}
	told := func(int, int) { during, _ = os.ReadFile(c.StoreKeyPath()) }
	if _, err := Rewrap(ctx, c, Options{}, x, told); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(c.StoreKeyPath())
	if err != nil {
		t.Fatal(err)
	}
	moved := c
	moved.HSM.VaultURI, moved.HSM.KEK = x.URI, x.Key
	for name, w := range map[string]struct {
		sealed []byte
		c      *Config
		who    age.Identity
		want   error
	}{
		"during, old token":   {during, &c, nil, nil},
		"during, new token":   {during, &moved, nil, nil},
		"during, old officer": {during, nil, before.identity, nil},
		"during, new officer": {during, nil, after.identity, vault.ErrRecovery},
		"after, old token":    {now, &c, nil, vault.ErrWrongKEK},
		"after, new token":    {now, &moved, nil, nil},
		"after, old officer":  {now, nil, before.identity, vault.ErrRecovery},
		"after, new officer":  {now, nil, after.identity, nil},
	} {
		got := opensWith(ctx, w.sealed, c.keyFile().aad, w.c, w.who)
		if !errors.Is(got, w.want) || w.want == nil && got != nil {
			t.Errorf("%s: got %v, want %v", name, got, w.want)
		}
	}
}

// opensWith tries to open a sealed key with the tokens of a configuration, or as an officer.
func opensWith(ctx context.Context, sealed, aad []byte, c *Config, who age.Identity) error {
	if c == nil {
		key, err := vault.RecoverKey(sealed, aad, who)
		key.Wipe()
		return err
	}
	return withTokens(ctx, *c, func(tok *Tokens) error {
		slot, err := tok.slot()
		if err != nil {
			return err
		}
		key, err := vault.UnsealKey(ctx, sealed, aad, slot)
		key.Wipe()
		return err
	})
}

// Goal: a move ends where the outcome of what its store was asked is not known, as a node does. Method: cut the store's files while it is
// open, and ask it for a record; who ends the process is told.
func TestMoveEndsWithItsStore(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	var why error
	x := Target{Key: "vault-2"}
	_, err := moving(t.Context(), c, Options{Crash: func(err error) { why = err }}, "vault.rewrap", func(m *move) error {
		if err := m.open(t.Context(), &x); err != nil {
			return err
		}
		large := []vault.Pair{{Key: []byte("large"), Value: make([]byte, 4<<10)}}
		if err := m.store.Batch(t.Context(), large, nil); err != nil {
			return err
		}
		logs, err := filepath.Glob(filepath.Join(c.storeDir(), "db", "*.vlog"))
		for _, path := range logs {
			err = errors.Join(err, os.Truncate(path, 0))
		}
		if err != nil || len(logs) == 0 {
			t.Fatal(logs, err)
		}
		_, err = m.store.Get(t.Context(), large[0].Key)
		return err
	})
	if !errors.Is(err, vault.ErrCorrupt) || !errors.Is(why, vault.ErrBroken) {
		t.Errorf("%v; ended for %v", err, why)
	}
}

// Goal: after a recovery the operator is told all that he sets, and where, and nothing else: with it, and no less, the node opens its
// store without the dead token. Method: nodes whose token kept all, or the vault alone, or the store's password too; destroy it, recover,
// set what is told, open.
func TestRecoveryTellsWhatToSet(t *testing.T) {
	for name, x := range map[string]struct {
		change func(t *testing.T, vs Values, dir string)
		set    []string
		enroll bool
	}{
		"one token": {func(*testing.T, Values, string) {}, []string{"hsm.uri", "hsm.vault_key", "hsm.vault_uri"}, true},
		"vault alone": {func(_ *testing.T, vs Values, dir string) {
			vs.Set("hsm.uri", "local:"+filepath.Join(dir, "signer"), "test")
			vs.Set("hsm.vault_uri", "local:"+filepath.Join(dir, "hsm"), "test")
		}, []string{"hsm.vault_key", "hsm.vault_uri"}, false},
		"password": {func(t *testing.T, vs Values, dir string) {
			path := filepath.Join(dir, "hsm", "password") // gone with the token
			err := os.Mkdir(filepath.Dir(path), 0o700)
			if err := errors.Join(err, os.WriteFile(path, []byte("32 random characters of a machine"), 0o600)); err != nil {
				t.Fatal(err)
			}
			vs.Set("password.provider", "file", "test")
			vs.Set("password.key_id", path, "test")
		}, []string{"hsm.uri", "hsm.vault_key", "hsm.vault_uri", "password.provider", "password.key_id"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, old := t.TempDir(), newOfficer(t)
			vs := Defaults()
			for k, v := range map[string]string{"cluster": "c", "node_id": "n1", "data_dir": filepath.Join(dir, "data"),
				"hsm.recovery": old.recipient} {
				vs.Set(k, v, "test")
			}
			vs.Set("hsm.uri", "local:"+filepath.Join(dir, "hsm"), "env MPC_HSM_SIGNER")
			x.change(t, vs, dir)
			parsed := func() Config {
				c, err := Parse(vs)
				if err != nil {
					t.Fatal(err)
				}
				c.Dev = true
				return c
			}
			prepare(t, parsed())
			if err := os.RemoveAll(filepath.Join(dir, "hsm")); err != nil {
				t.Fatal(err)
			}
			to := Target{URI: "local:" + filepath.Join(dir, "spare"), Key: "vault-2"}
			moved, err := Recover(t.Context(), parsed(), Options{}, to, []age.Identity{old.identity}, silent)
			if err != nil {
				t.Fatal(err)
			}
			var set []string
			for _, s := range moved.Set {
				set = append(set, s.Key)
				vs.Set(s.Key, s.Value, "test")
			}
			if !slices.Equal(set, x.set) || moved.Enroll != x.enroll {
				t.Errorf("to be set: %v, enrol anew: %v", set, moved.Enroll)
			}
			lines := strings.Join(moved.Lines(), "\n")
			if x.enroll && !strings.Contains(lines, "hsm:\n  uri: "+strconv.Quote(to.URI)+" # there, and not here: env MPC_HSM_SIGNER\n") {
				t.Errorf("where is not told:\n%s", lines)
			}
			prepare(t, parsed()) // its store opens
			read := Defaults()
			if err := read.YAML("x", []byte(lines)); err != nil || read["hsm.vault_key"].Text != "vault-2" {
				t.Errorf("%v:\n%s", err, lines)
			}
		})
	}
}

// Goal: where a vault goes to a token of SoftHSM that the environment of the command finds, the operator is told to set where its
// configuration is, or the next start finds no token. Method: recover to one, then to a token of another kind, with the variable set.
func TestMovedToSoftHSM(t *testing.T) {
	dir, old := t.TempDir(), newOfficer(t)
	path := filepath.Join(dir, "mpcd.yaml")
	text := "cluster: c\nnode_id: n1\ndata_dir: data\nhsm: {uri: 'local:hsm', recovery: [" + old.recipient + "]}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	soft := softhsm.New(t) // which sets the variable
	vs, _, err := Gather(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	prepare(t, c)
	in := Options{Drivers: hsm.Drivers{"pkcs11": pkcs11.Open}}
	for _, to := range []Target{{URI: soft, Key: "vault-2"}, {URI: "local:" + filepath.Join(dir, "spare"), Key: "vault-3"}} {
		moved, err := Recover(t.Context(), c, in, to, []age.Identity{old.identity}, silent)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Join(moved.Lines(), "\n")
		if strings.Contains(lines, "\n  softhsm_conf: "+strconv.Quote(os.Getenv("SOFTHSM2_CONF"))) != (to.URI == soft) {
			t.Errorf("%s: to be set:\n%s", to.URI, lines)
		}
	}
}

// Goal: what a move says to set may be moved with its directory, as all that init writes; a path on the command line is relative to where
// that was given; and what is wrong with a token is told of the setting that names it. Method: a vault is wrapped anew where it is, and
// moved to a token that is named by a relative path; errors of three settings.
func TestMovedIsRelative(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mpcd.yaml")
	text := "cluster: c\nnode_id: n1\ndata_dir: data\nhsm: {uri: 'local:hsm', vault_uri: 'local:hsm'}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	vs := Defaults()
	if err := vs.File(path); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(vs)
	if err != nil {
		t.Fatal(err)
	}
	c.Dev = true
	prepare(t, c)
	to, err := Rewrap(t.Context(), c, Options{}, Target{Recovery: []string{newOfficer(t).recipient}}, silent)
	if err != nil || !to.Stayed || to.URI != "local:hsm" {
		t.Errorf("%+v, %v", to, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "there"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "there"))
	to, err = Rewrap(t.Context(), c, Options{}, Target{URI: "local:next"}, silent)
	if err != nil || to.Stayed || to.URI != "local:there/next" {
		t.Errorf("%+v, %v", to, err)
	}
	for _, setting := range []string{"hsm.uri", "hsm.vault_uri", "--to"} {
		if _, do := KindOf(&openError{setting, hsm.ErrPINSource}); !strings.Contains(do, "pin-source in "+setting+",") {
			t.Errorf("%s: %s", setting, do)
		}
	}
}
