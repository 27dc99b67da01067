package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/sim"
)

// Goal: `mpcd hsm init`, `list` and `test` work on every kind of token by its URI alone, and print what an operator asks of it: device,
// firmware, sessions, PIN tries, what guards each key, how fast it is. Method: SoftHSM, a TPM and AWS KMS (moto).
func TestHSMCommands(t *testing.T) {
	t.Parallel()
	c := sim.NewProcesses(t, 2, 2)
	soft := c.Nodes[0]
	aws, credentials, _ := startAWS(t)
	for _, x := range []struct {
		name, uri string
		env       []string
		says      []string
	}{
		{"SoftHSM", soft.URI(), []string{"SOFTHSM2_CONF=" + soft.Dir + "/hsm/softhsm2.conf"}, []string{"SoftHSM project", "landlock"}},
		{"TPM", startTPM(t).URI(), nil, []string{"count", "IBM"}},
		{"AWS", aws, credentials, []string{"KMS"}},
	} {
		run := func(command string, more ...string) sim.Result {
			return sim.Run(t, x.env, append(append([]string{"hsm", command}, more...), x.uri)...)
		}
		wants(t, x.name+": init", run("init"), 0, "cosign", "attest", "vault")
		list := run("list")
		wants(t, x.name+": list", list, 0, append(x.says, "firmware", "PIN tries left", "sessions", "hardware", "abilities", "SENSITIVE",
			"EXTRACTABLE", "cosign", "p256")...)
		test := run("test", "--count", "5")
		wants(t, x.name+": test", test, 0, "P50", "P99", "PER SECOND", "sign", "unwrap")
		var v struct {
			OK      bool
			Token   hsm.TokenInfo
			Keys    []hsm.KeyInfo
			Timings []host.Timing
		}
		if r := run("test", "--count", "5", "-o", "json"); json.Unmarshal([]byte(r.Out), &v) != nil || !v.OK || len(v.Keys) != 3 ||
			len(v.Timings) < 4 {
			t.Errorf("%s: test -o json: %+v", x.name, r)
		}
		for _, m := range v.Timings {
			if m.Count < 1 || m.P50 <= 0 || m.P99 < m.P50 || m.PerSecond <= 0 {
				t.Errorf("%s: %+v", x.name, m)
			}
		}
		wants(t, x.name+": a count that is none", run("test", "--count", "0"), fault.CodeUsage, "100000")
		if !strings.Contains(list.Out, "no") {
			t.Errorf("%s is taken for hardware:\n%s", x.name, list.Out)
		}
		t.Logf("%s\n%s\n%s", x.name, list.Out, test.Out)
	}
}
