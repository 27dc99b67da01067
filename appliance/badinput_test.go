package appliance_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/sim"
	"github.com/luxfi/mpcd/softhsm"
	"github.com/luxfi/mpcd/vault"
	"github.com/luxfi/mpcd/vault/vaulttest"
)

// Goal: what is wrong with a node's token, files or configuration ends `mpcd start` before it speaks to anybody, with the exit
// code of its kind and the next step, and changes nothing; `mpcd doctor` says the same. A PIN is tried at most once. Method: a
// node that made a key is stopped and copied; each row spoils a copy and runs both commands. A login is counted below the driver.
func TestRealBadInput(t *testing.T) {
	c := sim.NewProcesses(t, 3, 2)
	c.Start()
	_, err := c.Client(6).Keygen(t.Context(), &client.KeygenRequest{Curve: "ed25519", Threshold: 2, Total: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.Nodes {
		p.Stop()
	}
	module, err := softhsm.Find()
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		name   string
		spoil  func(t *testing.T, n *spoilt)
		code   int
		says   []string // in the error, any order
		logins int      // of each command
		looks  int      // logins of doctor beside, which goes on after a failure
	}{
		{name: "wrong PIN", spoil: func(t *testing.T, n *spoilt) { n.write("hsm/pin", "wrong-pin-1234") }, code: 5,
			says: []string{"PIN", "not tried again"}, logins: 1},
		{name: "locked PIN by the token's flags", spoil: func(t *testing.T, n *spoilt) { n.env("LOGINSPY_FLAGS=262144") }, code: 5,
			says: []string{"locked", "security officer"}},
		{name: "locked PIN at login", spoil: func(t *testing.T, n *spoilt) { n.env("LOGINSPY_RESULT=164") }, code: 5,
			says: []string{"locked", "security officer"}, logins: 1},
		{name: "last try", spoil: func(t *testing.T, n *spoilt) { n.env("LOGINSPY_FLAGS=131072") }, code: 5,
			says: []string{"make sure the PIN is right"}},
		{name: "no PIN file", spoil: func(t *testing.T, n *spoilt) { n.remove("hsm/pin") }, code: 2, says: []string{"pin"}},
		{name: "missing token", spoil: func(t *testing.T, n *spoilt) { n.remove("hsm/tokens"); n.mkdir("hsm/tokens") }, code: 5,
			says: []string{"token", "mpcd hsm list"}},
		{name: "missing library", spoil: func(t *testing.T, n *spoilt) { n.config(n.spy.Path, "/nonexistent-libhsm.so") }, code: 5,
			says: []string{"libhsm.so"}},
		{name: "another token with the same label and keys", spoil: func(t *testing.T, n *spoilt) { n.anotherToken() }, code: 5,
			says: []string{"another token", "hsm.vault_uri"}, logins: 1},
		{name: "cosign key of the wrong type", spoil: func(t *testing.T, n *spoilt) { n.config("hsm:\n", "hsm:\n  cosign_key: vault\n") },
			code: 5, says: []string{"vault", "mpcd hsm list"}, logins: 1},
		{name: "attestation key of the wrong type", spoil: func(t *testing.T, n *spoilt) { n.config("hsm:\n", "hsm:\n  attest_key: vault\n") },
			code: 5, says: []string{"vault", "mpcd hsm list"}, logins: 1},
		{name: "vault key of the wrong type", spoil: func(t *testing.T, n *spoilt) { n.config("hsm:\n", "hsm:\n  vault_key: cosign\n") }, code: 5,
			says: []string{"cosign"}, logins: 1},
		{name: "missing key", spoil: func(t *testing.T, n *spoilt) { n.config("hsm:\n", "hsm:\n  cosign_key: nobody\n") }, code: 5,
			says: []string{"nobody", "mpcd hsm"}, logins: 1},
		{name: "another member's keys", spoil: func(t *testing.T, n *spoilt) {
			n.config("hsm:\n", "hsm:\n  cosign_key: attest\n  attest_key: cosign\n")
		}, code: 5, says: []string{"enrolled"}, logins: 1},
		{name: "wrong KEK", spoil: func(t *testing.T, n *spoilt) { n.config("hsm:\n", "hsm:\n  vault_key: vault2\n") }, code: 5,
			says: []string{"vault2", "hsm.vault_key"}, logins: 1},
		{name: "changed store.key", spoil: func(t *testing.T, n *spoilt) { n.flip("data/store.key", 40) }, code: 5,
			says: []string{"store.key"}, logins: 1},
		{name: "no store", spoil: func(t *testing.T, n *spoilt) { n.remove("data/store") }, code: 6,
			says: []string{"no vault", "disk is mounted"}, logins: 1},
		{name: "corrupted vault record", spoil: func(t *testing.T, n *spoilt) { n.replaceDB(n.corrupt) }, code: 6,
			says: []string{"identity", "restore no older copy"}, logins: 1},
		{name: "truncated Badger file", spoil: func(t *testing.T, n *spoilt) { n.truncate() }, code: 6,
			says: []string{"restore no older copy"}, logins: 1},
		{name: "Badger file gone", spoil: func(t *testing.T, n *spoilt) { n.remove("data/store/db") }, code: 6,
			says: []string{"restore no older copy"}, logins: 1},
		{name: "changed audit log", spoil: func(t *testing.T, n *spoilt) { n.flip("data/audit.log", 200) }, code: 6,
			says: []string{"audit"}, logins: 1},
		{name: "changed roster", spoil: func(t *testing.T, n *spoilt) { n.edit("roster.json", `"serial": 1`, `"serial": 2`) }, code: 6,
			says: []string{"roster", "operator"}, looks: 1},
		{name: "unknown configuration key", spoil: func(t *testing.T, n *spoilt) { n.config("listen:", "listne: x\nlisten:") }, code: 2,
			says: []string{"listne", "did you mean listen"}},
		{name: "unknown section", spoil: func(t *testing.T, n *spoilt) { n.config("hsm:\n", "hsm:\n  colour: red\n") }, code: 2,
			says: []string{"hsm.colour"}},
		{name: "threshold out of range", spoil: func(t *testing.T, n *spoilt) { n.config("threshold: 2", "threshold: -2") }, code: 2,
			says: []string{"threshold"}},
	}
	donor := c.Nodes[0]
	corrupt := corruptStore(t, donor)
	good := sim.CopyDir(t, donor.Dir)
	other := filepath.Join(t.TempDir(), "other")
	if r := sim.Run(t, nil, "init", "--cluster", sim.ClusterName, "--nodes", "2", "--threshold", "2", "--dir", other); r.Code != 0 {
		t.Fatal(r.Err)
	}
	addKey(t, donor, good)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			n := &spoilt{t: t, dir: sim.CopyDir(t, good), from: donor.Dir, spy: sim.NewLoginSpy(t, module), other: filepath.Join(other, "node1"),
				corrupt: corrupt}
			n.move(module)
			row.spoil(t, n)
			before := sim.PrintDir(t, n.dir, bookkeeping)
			for _, command := range []string{"start", "doctor"} {
				args := []string{command, "--config", filepath.Join(n.dir, "mpcd.yaml"), "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}
				r := sim.Run(t, append(n.spy.Env, n.extra...), args...)
				if r.Code != row.code {
					t.Errorf("%s: exit code %d, want %d\n%s", command, r.Code, row.code, r.Out+r.Err)
				}
				logins := row.logins
				if command == "doctor" {
					logins += row.looks
				}
				for _, s := range row.says {
					if !strings.Contains(r.Out+r.Err, s) {
						t.Errorf("%s does not say %q:\n%s", command, s, r.Out+r.Err)
					}
				}
				if !strings.Contains(r.Err, "  do:  ") {
					t.Errorf("%s tells no next step:\n%s", command, r.Err)
				}
				if strings.Contains(r.Out+r.Err, "wrong-pin-1234") || bytes.Contains([]byte(r.Out+r.Err), donor.PIN()) {
					t.Errorf("%s tells the PIN", command)
				}
				if got := n.spy.Logins(t); got != logins {
					t.Errorf("%s: %d logins, want %d", command, got, logins)
				}
				if d := before.Diff(sim.PrintDir(t, n.dir, bookkeeping)); len(d) > 0 {
					t.Errorf("%s changed the disk:\n%s", command, strings.Join(d, "\n"))
				}
			}
		})
	}
}

// Goal: a share that does not stand in the vault as it was written signs nothing and accuses nobody: its node refuses with the
// reason, and another quorum answers. Method: change one byte of node2's record, sign with it and without naming signers.
func TestRealCorruptShare(t *testing.T) {
	c := newClusterLimits(t, 3, appliance.Limits{Silence: time.Second})
	w := c.keygen("ed25519", 2, 3)
	m := c.nodes[1]
	store := m.vault.(*vaulttest.Memory)
	m.halt()
	changed := 0
	for _, key := range store.Keys() {
		value, err := store.Get(t.Context(), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(key, w.ID) && len(value) > 256 { // the record; the pointer is shorter
			value[len(value)-5] ^= 1
			store.Set(key, value)
			changed++
		}
	}
	if changed == 0 {
		t.Fatalf("no record of the share among %q", store.Keys())
	}
	m.start()
	c.waitReady()
	_, err := c.nodes[0].node.Sign(t.Context(),
		appliance.SignRequest{WalletID: w.ID, Message: []byte("m"), Signers: []transport.NodeID{"node1", "node2"}})
	e := wantCode(t, err, problem.Integrity)
	if !strings.Contains(e.Error(), "node2") || e.Next == "" {
		t.Errorf("the error does not name the node or the next step: %v", e)
	}
	sig, err := c.nodes[0].node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
	if err != nil || !slices.Equal(sig.Signers, []transport.NodeID{"node1", "node3"}) {
		t.Errorf("another quorum: %+v, %v", sig, err)
	}
	_, err = m.node.Sign(t.Context(), appliance.SignRequest{WalletID: w.ID, Message: []byte("m")})
	wantCode(t, err, problem.Integrity)
	for _, s := range c.nodes[0].node.Nodes() {
		if s.Accused {
			t.Errorf("%s is accused", s.ID)
		}
	}
}

// bookkeeping names what changes without meaning: SoftHSM notes each login in token.object, and Badger begins a new value log,
// empty but for its header of 20 bytes, whenever it is opened.
func bookkeeping(path string) bool {
	if filepath.Base(path) == "token.object" {
		return true
	}
	st, err := os.Stat(path)
	return err == nil && filepath.Ext(path) == ".vlog" && st.Size() <= 20
}

// spoilt is a copy of a node that is about to be spoilt.
type spoilt struct {
	t       *testing.T
	dir     string
	from    string
	other   string // a node of another cluster
	corrupt string // a store with a corrupted record
	spy     *sim.LoginSpy
	extra   []string
}

func (n *spoilt) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *spoilt) path(name string) string { return filepath.Join(n.dir, filepath.FromSlash(name)) }

// move points the copy's configuration at the copy, and its token at the spy.
func (n *spoilt) move(module string) {
	for _, name := range []string{"mpcd.yaml", "hsm/softhsm2.conf"} {
		b, err := os.ReadFile(n.path(name))
		n.check(err)
		n.write(name, strings.ReplaceAll(strings.ReplaceAll(string(b), n.from, n.dir), module, n.spy.Path))
	}
}

func (n *spoilt) write(name, text string) { n.check(os.WriteFile(n.path(name), []byte(text), 0o600)) }
func (n *spoilt) remove(name string)      { n.check(os.RemoveAll(n.path(name))) }
func (n *spoilt) mkdir(name string)       { n.check(os.MkdirAll(n.path(name), 0o700)) }
func (n *spoilt) env(e ...string)         { n.extra = append(n.extra, e...) }
func (n *spoilt) config(old, new string)  { n.edit("mpcd.yaml", old, new) }

func (n *spoilt) edit(name, old, new string) {
	b, err := os.ReadFile(n.path(name))
	n.check(err)
	if !strings.Contains(string(b), old) {
		n.t.Fatalf("%s has no %q:\n%s", name, old, b)
	}
	n.write(name, strings.Replace(string(b), old, new, 1))
}

// flip changes a byte; at counts from the end if it is negative.
func (n *spoilt) flip(name string, at int) {
	b, err := os.ReadFile(n.path(name))
	n.check(err)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	n.write(name, string(b))
}

// truncate cuts the largest table or log of the database in half.
func (n *spoilt) truncate() {
	var largest string
	var size int64
	for _, pattern := range []string{"*.sst", "*.vlog", "*.mem"} {
		files, err := filepath.Glob(n.path("data/store/db/" + pattern))
		n.check(err)
		for _, f := range files {
			if st, err := os.Stat(f); err == nil && st.Size() > size {
				largest, size = f, st.Size()
			}
		}
	}
	n.check(os.Truncate(largest, size/2))
}

// anotherToken puts the token of a node of another cluster in place: same label, same names of keys.
func (n *spoilt) anotherToken() {
	n.remove("hsm/tokens")
	n.check(os.CopyFS(n.path("hsm/tokens"), os.DirFS(filepath.Join(n.other, "hsm", "tokens"))))
	pin, err := os.ReadFile(filepath.Join(n.other, "hsm", "pin"))
	n.check(err)
	n.write("hsm/pin", string(pin))
}

func (n *spoilt) replaceDB(with string) {
	n.remove("data/store")
	n.check(os.CopyFS(n.path("data/store"), os.DirFS(with)))
}

// corruptStore is a copy of a stopped node's store in which one byte of the identity's record is another: changed below the
// vault, through Badger, so that every checksum of the database is right.
func corruptStore(t *testing.T, p *sim.Process) string {
	t.Helper()
	dir := sim.CopyDir(t, p.Dir)
	o := p.OpenStore(filepath.Join(dir, "data"))
	defer o.Close()
	var changed []vault.Pair
	err := o.Store.Iterate(t.Context(), nil, func(key, value []byte) error {
		if bytes.Contains(key, []byte("identity")) && len(value) > 64 {
			v := bytes.Clone(value)
			v[len(v)-5] ^= 1
			changed = append(changed, vault.Pair{Key: bytes.Clone(key), Value: v})
		}
		return nil
	})
	if err != nil || len(changed) == 0 {
		t.Fatalf("%d records of the identity: %v", len(changed), err)
	}
	if err := o.Store.Batch(t.Context(), changed, nil); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data", "store")
}

// addKey makes a second wrapping key in the token of a stopped node and brings the token to the copy.
func addKey(t *testing.T, p *sim.Process, copyDir string) {
	t.Helper()
	o := p.Open()
	err := o.Token.(hsm.KeyGenerator).GenerateKey(t.Context(), "vault2", hsm.KeyAESWrap)
	o.Close()
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(copyDir, "hsm", "tokens")
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(p.Dir, "hsm", "tokens"))); err != nil {
		t.Fatal(err)
	}
}
