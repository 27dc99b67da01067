package enrol

import (
	"testing"

	"github.com/luxfi/mpcd/host/fault"
)

// Goal: no two nodes of a host are given one port. Method: ports as far apart as nodes share a host, and one less, both ways round.
func TestPortsApart(t *testing.T) {
	for _, x := range []struct {
		api, route int
		hosts      []string
		good       bool
	}{
		{7000, 7001, nil, false}, {7000, 7002, nil, false}, {7002, 7000, nil, false}, {7000, 7000, nil, false},
		{7000, 7003, nil, true}, {7003, 7000, nil, true},
		{7000, 7001, []string{"a", "b", "c"}, true}, {7000, 7000, []string{"a", "b", "c"}, false},
		{7000, 7001, []string{"a", "b", "a"}, false}, {7000, 7002, []string{"a", "b", "a"}, true},
	} {
		p := Plan{Cluster: "c", Dir: "d", Nodes: 3, Threshold: 2, HSM: "softhsm", Hosts: x.hosts, APIPort: x.api, RoutePort: x.route}
		if err := p.check(); (err == nil) != x.good || err != nil && codeOf(err) != fault.CodeUsage {
			t.Errorf("%+v: %v", x, err)
		}
	}
}
