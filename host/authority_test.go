package host

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/keyfile"
)

// chainFile is the authority of one initiator, whose key file is at key, in a file, as root signed it.
func chainFile(t *testing.T, root ed25519.PrivateKey, key string) string {
	t.Helper()
	hex := func(file string) attest.Hex {
		k, err := keyfile.Generate(hsm.KeyEd25519)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Wipe()
		text, err := k.File(nil)
		if err == nil && file != "" {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		der, err := attest.MarshalPublicKey(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	a := attest.Authority{Version: attest.AuthorityVersion, Cluster: "c", Serial: 1, Quorum: 1,
		Officers: []attest.Officer{{Name: "o", Key: hex("")}}, Initiators: []attest.Initiator{{Name: "i", Key: hex(key),
			May: []attest.Grant{{Operations: []attest.Operation{attest.OpSign}, Vaults: []string{attest.AnyVault}}}}}}
	s, err := a.Sign(attest.RootSigner, func(m []byte) ([]byte, error) { return ed25519.Sign(root, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "authority.json")
	if err := os.WriteFile(path, attest.AuthorityChain{{Authority: a, Signatures: []attest.AuthoritySignature{s}}}.JSON(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Goal: a node signs for its callers in dev alone, as an initiator that there is; an authority of another root, or a changed one, is not
// taken; none is no error. Method: boots with one thing changed.
func TestInitiatorIsForDev(t *testing.T) {
	pub, root, _ := ed25519.GenerateKey(nil)
	_, other, _ := ed25519.GenerateKey(nil)
	key := filepath.Join(t.TempDir(), "initiator.key")
	path := chainFile(t, root, key)
	changed := filepath.Join(t.TempDir(), "changed.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(changed, bytes.Replace(b, []byte(`"name": "i"`), []byte(`"name": "j"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		authority, initiator string
		dev                  bool
		code                 fault.Code
		do                   string
	}{
		"an authority":                   {path, "", false, 0, ""},
		"none":                           {"", "", false, 0, ""},
		"none yet":                       {path + "x", "", false, 0, ""},
		"dev":                            {path, key, true, 0, ""},
		"not dev":                        {path, key, false, fault.CodeUsage, "dev.initiator"},
		"nobody's key":                   {chainFile(t, root, key+"2"), key, true, fault.CodeUsage, "initiator"},
		"without an authority":           {"", key, true, fault.CodeUsage, "initiator"},
		"another root's":                 {chainFile(t, other, key+"3"), "", false, fault.CodeIntegrity, "fetch"},
		"changed":                        {changed, "", false, fault.CodeIntegrity, "fetch"},
		"an initiator that is not there": {path, key + "x", true, fault.CodeUsage, "key file"},
	} {
		h := &Host{config: Config{Authority: row.authority, Initiator: row.initiator, Dev: row.dev},
			options: Options{Log: slog.New(slog.DiscardHandler)}}
		h.roster.Store(&attest.SignedRoster{Root: attest.Hex(pub)})
		x := &boot{Host: h}
		err := x.loadAuthority(t.Context())
		if row.code == 0 && err != nil || row.code != 0 && (err == nil || codeOf(err) != row.code || !strings.Contains(doOf(err), row.do)) {
			t.Errorf("%s: %v", name, err)
		}
		if signs := x.node.Initiate != nil; signs != (name == "dev") {
			t.Errorf("%s: signs for callers: %v", name, signs)
		}
		_ = h.Close()
	}
}

// Goal: the doctor warns of an authority that permits nothing and of none, and of a peer that goes by another, which is no failure of this
// node. Method: what it finds of each, and beside a running node.
func TestCheckupAuthority(t *testing.T) {
	pub, root, _ := ed25519.GenerateKey(nil)
	chain, err := ReadAuthority(chainFile(t, root, filepath.Join(t.TempDir(), "key")), pub)
	if err != nil {
		t.Fatal(err)
	}
	without := chain[0].Authority
	with := without
	with.Policy = `@id("all") permit (principal, action, resource);`
	unmanned := with
	unmanned.Policy = `@id("all") permit (principal, action, resource) when { context.approvals.risk >= 1 };`
	for name, x := range map[string]struct {
		a    *attest.Authority
		mark string
		warn string
	}{"with rules": {&with, "ok", ""}, "of nobody": {&unmanned, "WARN", "--approver"},
		"without": {&without, "WARN", "--policy"}, "none": {nil, "WARN", "mpcd authority init"}} {
		d := &Checkup{Config: Config{Authority: "/etc/mpcd/slip.json"}}
		d.authority(x.a, nil)
		if f := d.findings[0]; f.Mark() != x.mark || !strings.Contains(f.Warn, x.warn) ||
			strings.Contains(f.Detail, "names, /etc/mpcd/slip.json") != (x.a == nil) {
			t.Errorf("%s: %+v", name, f)
		}
	}
	d := &Checkup{Ask: func(context.Context) (*wire.Health, error) {
		return &wire.Health{Checks: []wire.Check{{Name: appliance.AuthorityCheck, OK: true, Detail: "another", Next: "settle"}}}, nil
	}}
	d.atWork(t.Context(), nil)
	if f := d.findings[len(d.findings)-1]; f.Mark() != "WARN" || f.Warn != "settle" {
		t.Errorf("a peer that has parted: %+v", f)
	}
}
