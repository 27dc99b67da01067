package enrol

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
)

// Place is what the roster tells of a node for people and clients.
type Place struct {
	Endpoint string // where clients reach it: https, a host and, if it is not 443, a port
	Facility string // where it stands
}

// endpoint reads where clients reach a node, in its one form: nothing stands in a roster that is more than that, or leads nowhere.
func (at Place) endpoint() (*url.URL, error) {
	u, err := url.Parse(at.Endpoint)
	if err != nil || at.Endpoint != "https://"+u.Host || !host.Dialable(u.Hostname(), cmp.Or(u.Port(), "443")) ||
		u.Port() == "" && strings.HasSuffix(u.Host, ":") {
		return nil, fault.Usage("give --endpoint https://HOST:PORT, with a port from 1 to 65535 and nothing behind it",
			"the endpoint %q does not say where clients reach the node", hidden(at.Endpoint))
	}
	return u, nil
}

// hidden is an endpoint without the password that somebody may have put into it.
func hidden(endpoint string) string {
	if _, rest, ok := strings.Cut(endpoint, "@"); ok {
		return "…@" + rest
	}
	return endpoint
}

// checkPlaces refuses an enrolment of a node of which the roster would not say where clients reach it: it says so itself, or the roster of
// before does.
func checkPlaces(before *attest.SignedRoster, es []Enrolment) error {
	was := map[string]string{}
	if before != nil {
		for _, n := range before.Roster.Nodes {
			was[n.ID] = n.Endpoint
		}
	}
	for _, e := range es {
		if _, err := (Place{Endpoint: cmp.Or(e.Endpoint, was[e.Node])}).endpoint(); err != nil {
			return fault.Usage("repeat `mpcd node enroll` there with --endpoint https://HOST:PORT", "node %q: %v", e.Node, err)
		}
	}
	return nil
}
