package main

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/sim"
)

// adopt writes what a move printed into mpcd.yaml.
func adopt(t *testing.T, p *sim.Process, r sim.Result) {
	t.Helper()
	var to struct {
		URI string `json:"vault_uri"`
		Key string `json:"vault_key"`
	}
	if err := json.Unmarshal([]byte(r.Out), &to); err != nil || to.URI == "" || to.Key == "" {
		t.Fatalf("%v: %s%s", err, r.Out, r.Err)
	}
	p.Set("hsm.vault_uri", strconv.Quote(to.URI))
	p.Set("hsm.vault_key", strconv.Quote(to.Key))
}

// Goal: a node's vault goes from token to token, and the node signs on after each move; with the configuration of before, it says
// where the vault is. Method: SoftHSM to a TPM, to AWS KMS (moto) and back, by `mpcd hsm rewrap`, in a 2-of-3 cluster with the
// third node down, so that each signature needs this one.
func TestRewrap(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	c.Start()
	b := &book{t: t, c: c}
	b.keygen(2)
	node := c.Nodes[0]
	c.Nodes[2].Kill()
	tpm := startTPM(t)
	aws, env, _ := startAWS(t)
	node.Env = env
	soft := node.URI()
	for _, to := range []struct{ name, uri, key, at string }{
		{"TPM", tpm.URI(), "vault", "tpm"}, {"AWS", aws, "node1/vault", "awskms"}, {"SoftHSM", soft, "vault-2", "pkcs11"},
		{"another key", "", "vault", "pkcs11"},
	} {
		node.Stop()
		args := []string{"--to", to.uri, "--to-key", to.key}
		if to.name == "AWS" {
			wants(t, "a move off the counter", node.Run("hsm rewrap", args...), fault.CodeUsage, "unanchored")
			args = append(args, "--unanchored")
		}
		r := node.Run("hsm rewrap", append(args, "-o", "json")...)
		wants(t, "rewrap to "+to.name, r, 0)
		starting(t, node, "with the configuration before "+to.name, fault.CodeHSM, strconv.Quote(to.key)+` of "`+to.at+`"`, "hsm.vault_uri")
		adopt(t, node, r)
		healthy(t, node, map[string]string{"token": "", "vault": "", "identity": ""})
		node.Start()
		c.WaitReady()
		b.sign(node)
		b.sign(c.Nodes[1])
	}
}
