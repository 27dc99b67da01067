package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/sim"
)

// Goal: an officer's key may be in a token, of either kind that officers may have, and nobody changes the authority without it. Method: a
// key in SoftHSM and in a TPM each, in the place of the officer with a file; a change by one and the other's signature on it; a key that
// the token has not, and the other's key.
func TestOfficersInTokens(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	spare := c.Nodes[2]
	soft, tpm := spare.URI(), startTPM(t).URI()
	env := []string{"SOFTHSM2_CONF=" + spare.Dir + "/hsm/softhsm2.conf"}
	cluster, dir := filepath.Join(c.Dir, "cluster"), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	key := func(uri, name string) string {
		r := sim.Run(t, env, "authority", "key", name, "--type", "p256", "--token", uri)
		wants(t, "key", r, 0, "0x30")
		return strings.TrimSpace(r.Out)
	}
	change := func(from, to string, more ...string) sim.Result {
		return sim.Run(t, env, append([]string{"authority", "change", "--from", from, "--to", to}, more...)...)
	}
	officers := []string{"--quorum", "2", "--officer", "olga=" + key(soft, "officer"), "--officer", "otto=" + key(tpm, "officer"),
		"--remove", "officer", "--as", "officer", "--key", filepath.Join(cluster, "officer.key")}
	wants(t, "officers", change(filepath.Join(cluster, "authority.json"), file("2"), officers...), 0, "olga")
	grant := []string{"--initiator", "late=" + key(soft, "late") + ":sign", "--as", "olga", "--token", soft, "--key"}
	wants(t, "no such key", change(file("2"), file("3"), append(grant, "nobody")...), fault.CodeHSM, "nobody")
	wants(t, "by olga", change(file("2"), file("3"), append(grant, "officer")...), 0, "late")
	sign := func(as, uri string) sim.Result {
		return sim.Run(t, env, "authority", "sign", file("3"), "--as", as, "--token", uri, "--key", "officer")
	}
	wants(t, "otto by olga's token", sign("otto", soft), fault.CodeUsage, "otto")
	wants(t, "by otto", sign("otto", tpm), 0, "otto")
	roster, err := attest.LoadRoster(filepath.Join(cluster, "roster.json"))
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "judged", sim.Run(t, nil, "authority", "show", file("3"), "--root", fmt.Sprintf("0x%x", []byte(roster.Root))), 0, "late")
}

// Goal: an initiator's key may be in any kind of token, and the cluster does what it asks for, whoever has the caller's machine but not the
// token. Method: a key in SoftHSM, a TPM and AWS KMS (moto) each, an authority that has them, and signatures by the program's own commands;
// then a key that the token has not, another token's, and no name.
func TestInitiatorsInTokens(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	spare := c.Nodes[2] // its token is a person's here
	aws, credentials, _ := startAWS(t)
	tokens := []struct {
		name, uri string
		env       []string
	}{
		{"soft", spare.URI(), []string{"SOFTHSM2_CONF=" + spare.Dir + "/hsm/softhsm2.conf"}},
		{"tpm", startTPM(t).URI(), nil},
		{"aws", aws, credentials},
	}
	cluster, next := filepath.Join(c.Dir, "cluster"), filepath.Join(t.TempDir(), "next.json")
	change := []string{"authority", "change", "--from", filepath.Join(cluster, "authority.json"), "--to", next, "--as", "officer", "--key",
		filepath.Join(cluster, "officer.key")}
	for _, x := range tokens {
		r := sim.Run(t, x.env, "authority", "key", "payer", "--type", "p256", "--token", x.uri)
		wants(t, x.name+": key", r, 0, "0x30")
		change = append(change, "--initiator", x.name+"="+strings.TrimSpace(r.Out)+":sign+sign-raw")
		again := sim.Run(t, x.env, "authority", "key", "payer", "--type", "p256", "--token", x.uri)
		wants(t, x.name+": the same key again", again, 0, strings.TrimSpace(r.Out))
	}
	wants(t, "change", sim.Run(t, nil, change...), 0, "serial")
	wants(t, "show", sim.Run(t, nil, "authority", "show", next), 0, "aws")
	b, err := os.ReadFile(next)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes[:2] {
		if err := os.WriteFile(filepath.Join(n.Dir, "authority.json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		n.Start()
	}
	c.WaitReady()
	q := &client.KeygenRequest{Curve: "ed25519", Threshold: 2, Parties: []string{"node1", "node2"}}
	w, err := c.Nodes[0].Client().Keygen(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	reach := []string{"MPCD_API=https://" + c.Nodes[0].API, "MPCD_TOKEN=" + c.Token, "MPCD_CA=" + filepath.Join(cluster, "ca.crt")}
	sign := func(env []string, more ...string) sim.Result {
		return sim.Run(t, append(slices.Clone(env), reach...), append([]string{"sign", "--wallet", w.WalletID, "--text", "m"}, more...)...)
	}
	for i, x := range tokens {
		as := []string{"--initiator", x.name + "@" + sim.ClusterName, "--initiator-token", x.uri, "--initiator-key"}
		wants(t, x.name, sign(x.env, append(as, "payer")...), 0, "signature")
		wants(t, x.name+": no such key", sign(x.env, append(as, "nobody")...), fault.CodeHSM, "nobody")
		wants(t, x.name+": no name", sign(x.env, append(as, "")...), fault.CodeUsage, "name the key")
		as[1] = tokens[(i+1)%3].name + "@" + sim.ClusterName
		wants(t, x.name+" as another", sign(x.env, append(as, "payer")...), fault.CodeDenied, "does not verify")
	}
}
