package host

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host/fault"
)

// Goal: a configuration with which a cluster can never work is refused, with what to do; a threshold for new keys that fitted before nodes
// were removed is told and refused nothing. Method: one mistake at a time; a roster of four of which one or two were removed.
func TestNeverWorks(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*Config)
		nodes  int
		gone   int
		do     string
		warn   string
	}{
		"good":                      {func(*Config) {}, 3, 0, "", ""},
		"a broker":                  {func(c *Config) { c.NATS.Listen, c.NATS.URL = "", "tls://broker:4222" }, 3, 0, "", ""},
		"alone":                     {func(c *Config) { c.NATS.Listen = "" }, 1, 0, "", "one node never signs"},
		"alone, for now":            {func(c *Config) { c.Threshold = 2 }, 1, 0, "", "one node never signs"},
		"the last of two":           {func(c *Config) { c.Threshold = 2 }, 2, 1, "", "one node never signs"},
		"all must sign":             {func(c *Config) { c.Threshold = 3 }, 3, 0, "", ""},
		"more than there are":       {func(c *Config) { c.Threshold = 4 }, 3, 0, "threshold", ""},
		"more than there ever were": {func(c *Config) { c.Threshold = 4 }, 3, 1, "threshold", ""},
		"more than are left":        {func(c *Config) { c.Threshold = 4 }, 4, 1, "", "threshold is 4, 3 of the roster's 4 nodes are left"},
		"as many as are left":       {func(c *Config) { c.Threshold = 2 }, 4, 2, "", ""},
		"no way to the others":      {func(c *Config) { c.NATS.Listen = "" }, 3, 0, "nats.routes", ""},
		"routes without a key":      {func(c *Config) { c.NATS.Key = "" }, 3, 0, "nats.tls.key", ""},
		"and without the CA alone":  {func(c *Config) { c.NATS.CA = "" }, 3, 0, "nats.tls.ca", ""},
	} {
		r := attest.Roster{Nodes: make([]attest.RosterNode, row.nodes)}
		for i := range row.gone {
			r.Nodes[i].Removed = true
		}
		var c Config
		c.NATS.Listen, c.NATS.Cert, c.NATS.Key, c.NATS.CA = "127.0.0.1:0", "cert", "key", "ca"
		row.change(&c)
		var f *fault.Error
		warn, do, err := c.checkCluster(r)
		if (err != nil) != (row.do != "") || errors.As(err, &f) && (f.Code != fault.CodeUsage || !strings.Contains(f.Do, row.do)) {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(warn, row.warn) || warn != "" && row.warn == "" {
			t.Errorf("%s: warned of %q", name, warn)
		}
		if (do != "") != (warn != "") || strings.Contains(do, "enrol another") != strings.Contains(warn, "one node never signs") {
			t.Errorf("%s: warned of %q, and told to %q", name, warn, do)
		}
	}
}

// Goal: a roster of fewer nodes than the cluster was begun with is refused, and neither nodes that were added since nor nodes that were
// removed stop a start. Method: rosters of every size beside a configuration of three.
func TestTotal(t *testing.T) {
	for nodes, ok := range map[int]bool{2: false, 3: true, 4: true} {
		r := &attest.SignedRoster{Roster: attest.Roster{Cluster: "c", Nodes: make([]attest.RosterNode, nodes)}}
		r.Roster.Nodes[0].ID, r.Roster.Nodes[nodes-1].Removed = "n1", true
		c := Config{Cluster: "c", Node: "n1", Total: 3}
		if err := c.fits(r); (err == nil) != ok || err != nil && codeOf(err) != fault.CodeUsage {
			t.Errorf("%d nodes: %v", nodes, err)
		}
		if c.Total = 0; c.fits(r) != nil {
			t.Errorf("%d nodes, and nothing to compare: %v", nodes, c.fits(r))
		}
	}
}

// Goal: what works and should be changed is told as that, and is no failure. Method: a node with a software token, nobody to recover it and
// no counter; a certificate in its last month, and one that is over.
func TestDoctorWarns(t *testing.T) {
	c := testNode(t, "n1")
	prepare(t, c)
	with, _ := certified(t)
	c.Cluster, c.Node, c.NATS = with.Cluster, with.Node, with.NATS
	x, err := c.routeCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for left, warned := range map[time.Duration]bool{133 * 24 * time.Hour: false, 132 * 24 * time.Hour: true, -time.Hour: false} {
		d := &Checkup{Config: c, Options: Options{Clock: func() time.Time { return x.notAfter().Add(-left) }}}
		all := d.Run(t.Context())
		for _, check := range []string{"token", "recovery", "rollback", "route certificate"} {
			i := slices.IndexFunc(all, func(f Finding) bool { return f.Check == check })
			switch {
			case i < 0:
				t.Errorf("nothing of %s: %+v", check, all)
			case check != "route certificate":
				if all[i].Err != nil || all[i].Warn == "" {
					t.Errorf("%s: %+v", check, all[i])
				}
			case (all[i].Warn != "") != warned || (all[i].Err != nil) != (left < 0):
				t.Errorf("%s before its end: %+v", left, all[i])
			}
		}
	}
}
