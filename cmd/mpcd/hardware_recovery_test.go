package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/sim"
)

// awscli runs the AWS command line, a client that none of us wrote, and returns what it prints.
func awscli(t *testing.T, env []string, region string, args ...string) string {
	t.Helper()
	cmd := exec.Command("aws", append([]string{"--region", region}, args...)...)
	cmd.Env = append(append(cmd.Environ(), env...), "AWS_PAGER=")
	for _, e := range env {
		if url, ok := strings.CutPrefix(e, "AWS_ENDPOINT_URL="); ok { // version 2.9 does not know it
			cmd.Args = append(cmd.Args, "--endpoint-url", url)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("aws %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// randomPassword is one that a machine makes.
func randomPassword() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// seed is a node configured as the seed documents have it: the five variables, and the database's password as `aws kms encrypt`
// prints it. It returns the same as flags of `mpcd start`.
func seed(t *testing.T, p *sim.Process) (flags []string) {
	t.Helper()
	_, env, region := startAWS(t)
	key := awscli(t, env, region, "kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(randomPassword()), 0o600); err != nil {
		t.Fatal(err)
	}
	sealed := awscli(t, env, region, "kms", "encrypt", "--key-id", key, "--plaintext", "fileb://"+password, "--query", "CiphertextBlob",
		"--output", "text")
	p.Env = append(append([]string{}, env...), "AWS_REGION="+region, "ZAPDB_ENCRYPTED_PASSWORD="+sealed,
		"MPC_HSM_PROVIDER=aws", "MPC_HSM_KEY_ID="+key, "MPC_HSM_SIGNER="+p.URI(), "MPC_HSM_SIGNER_KEY_ID=attest", "MPC_HSM_ATTEST=true",
		"MPCD_HSM_COSIGN_KEY=cosign") // the node was enrolled with two keys
	return []string{"--hsm-provider", "aws", "--hsm-key-id", key, "--hsm-signer", p.URI(), "--hsm-signer-key-id", "attest",
		"--hsm-cosign-key-id", "cosign", "--hsm-attest"}
}

// spare makes a new SoftHSM token for a node, and configures it in the place of the one that is dead.
func spare(t *testing.T, p *sim.Process) (uri string) {
	t.Helper()
	r := sim.Run(t, nil, "hsm", "init", "--softhsm", filepath.Join(p.Dir, "spare"), "--label", "spare", "-o", "json")
	wants(t, "a spare token", r, 0)
	var made struct {
		URI  string `json:"uri"`
		Conf string `json:"softhsm_conf"`
	}
	if err := json.Unmarshal([]byte(r.Out), &made); err != nil {
		t.Fatal(err)
	}
	p.Set("hsm.uri", strconv.Quote(made.URI))
	p.Set("hsm.softhsm_conf", strconv.Quote(made.Conf))
	for i, e := range p.Env {
		if strings.HasPrefix(e, "MPC_HSM_SIGNER=") {
			p.Env[i] = "MPC_HSM_SIGNER=" + made.URI
		}
	}
	return made.URI
}

// Goal: a vault has two ways in that do not depend on each other, the doctor proves each, and a node whose token is destroyed comes
// back by the second with its shares, its party and its identity; the wrong identity is refused. Method: a node with its own sealed
// store key, and one configured as the seed documents have it (password from AWS KMS), both with a recovery recipient; the token
// directories are deleted, a spare token takes their place, and both sign again.
func TestRecovery(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 3, 2)
	right, wrong := newOfficer(t), newOfficer(t)
	plain, seeded := c.Nodes[0], c.Nodes[1]
	flags := seed(t, seeded)
	for _, p := range c.Nodes[:2] {
		p.Set("hsm.recovery", "["+right.recipient+"]")
	}
	c.Enrol(plain, seeded)
	c.Start()
	b := &book{t: t, c: c}
	b.keygen(2)
	for _, p := range c.Nodes {
		p.Stop()
	}
	for _, p := range c.Nodes[:2] {
		healthy(t, p, map[string]string{"vault": "the token opens it", "recovery": "sealed to 1 recipients"})
		healthy(t, p, map[string]string{"recovery": "without the token"}, "--identity", right.file)
		wants(t, "doctor with a stranger's identity", p.Run("doctor", "--identity", wrong.file), fault.CodeHSM, "none of the recovery recipients",
			"compare hsm.recovery")
	}
	variables := seeded.Env
	seeded.Env = slices.DeleteFunc(slices.Clone(variables), func(e string) bool { return strings.HasPrefix(e, "MPC_HSM_") })
	healthy(t, seeded, map[string]string{"vault": ""}, flags...)
	if found := checks(t, seeded); found["vault"].OK {
		t.Error("without the seed's settings the store opens: they mean nothing")
	}
	seeded.Env = variables

	for _, p := range c.Nodes[:2] {
		if err := os.RemoveAll(filepath.Join(p.Dir, "hsm", "tokens")); err != nil {
			t.Fatal(err)
		}
		starting(t, p, "with a dead token", fault.CodeHSM, "token")
		uri := spare(t, p)
		starting(t, p, "with a spare token, before the recovery", fault.CodeHSM, "wrong KEK")
		before := sim.PrintDir(t, filepath.Join(p.Dir, "data"), nil)
		wants(t, "recover with a stranger's identity", p.Run("hsm recover", "--identity", wrong.file, "--to", uri), fault.CodeHSM,
			"none of the recovery recipients", "compare hsm.recovery")
		if diff := before.Diff(sim.PrintDir(t, filepath.Join(p.Dir, "data"), nil)); len(diff) > 0 {
			t.Errorf("the stranger changed %v", diff)
		}
		wants(t, "recover without an identity", p.Run("hsm recover", "--to", uri), fault.CodeUsage, "--identity")
		r := p.Run("hsm recover", "--identity", right.file, "--to", uri, "-o", "json")
		wants(t, "recover", r, 0)
		adopt(t, p, r)
		healthy(t, p, map[string]string{"vault": "the token opens it", "recovery": "without the token", "identity": ""}, "--identity", right.file)
		if f := checks(t, p)["keys and roster"]; f.OK || !strings.Contains(f.Do, "enrol") {
			t.Errorf("a new token's keys are taken for those in the roster: %+v", f)
		}
		wants(t, "the same command", p.Run("hsm recover", "--identity", right.file, "--to", uri), 0)
	}
	c.SignRoster(plain, seeded)
	c.Start()
	b.sign(c.Nodes[2])
	c.Nodes[2].Kill()
	b.sign(plain) // needs both
}

// Goal: the password of the store can be sealed by a token: made by `mpcd hsm seal-password`, read at every start, useless with another
// token. Method: a node on SoftHSM, whose library runs in one process only, and one on a TPM that bears one connection.
func TestSealedPassword(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 2, 2)
	tpm := startTPM(t)
	c.Nodes[1].Set("hsm.uri", strconv.Quote(tpm.URI()))
	wants(t, "make the keys", c.Nodes[1].Run("hsm init"), 0)
	sealed := map[*sim.Process]string{}
	for p, provider := range map[*sim.Process]string{c.Nodes[0]: "pkcs11", c.Nodes[1]: "tpm"} {
		cmd := sim.Command(t, p.Env, append([]string{"hsm", "seal-password"}, p.Args("")[1:]...)...)
		cmd.Stdin = strings.NewReader(randomPassword() + "\n")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		sealed[p] = filepath.Join(p.Dir, "sealed")
		if err := os.WriteFile(sealed[p], out, 0o600); err != nil {
			t.Fatal(err)
		}
		p.Set("password.provider", provider)
		p.Set("password.key_id", "vault")
		p.Set("password.sealed", strconv.Quote("file:"+sealed[p]))
	}
	wants(t, "seal nothing", c.Nodes[0].Run("hsm seal-password"), fault.CodeUsage, "no password")
	c.Enrol(c.Nodes...)
	c.Start()
	b := &book{t: t, c: c}
	b.keygen(1)
	b.sign(c.Nodes[1])
	for i, p := range c.Nodes {
		p.Stop()
		p.Set("password.sealed", strconv.Quote("file:"+sealed[c.Nodes[1-i]]))
		starting(t, p, "with the other's password", fault.CodeHSM, "password")
	}
}
