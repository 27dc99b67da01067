package dev

import (
	"math/rand/v2"
	"net"
	"strconv"
	"strings"

	"github.com/luxfi/mpcd/host/fault"
)

// Ports that we choose lie below those that systems give to outgoing connections (32768 and up on Linux): a node that is down for
// a moment finds its port free again.
const (
	portFirst = 15000
	portLast  = 32000
)

// freePorts returns n addresses: the first as asked, which must be free, the others on the next free ports. Port 0 takes any.
func freePorts(first string, n int) ([]string, error) {
	host, p, err := net.SplitHostPort(first)
	if err != nil {
		return nil, fault.Usage("write --listen host:port", "%w", err)
	}
	port, err := strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return nil, fault.Usage("write --listen host:port", "port %q is no number", p)
	}
	anyPort := port == 0
	if anyPort {
		port = portFirst + rand.IntN(portLast-portFirst)
	}
	out := make([]string, 0, n)
	for ; len(out) < n; port++ {
		if port > 65535 {
			return nil, fault.Usage("choose another --listen", "no %d free ports above %s", n, first)
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		switch {
		case err == nil:
			out = append(out, l.Addr().String())
			_ = l.Close()
		case len(out) == 0 && !anyPort:
			return nil, fault.Usage("stop what listens there, or choose another --listen", "%w", err)
		}
	}
	return out, nil
}

// others are all but the k-th, separated by commas.
func others(all []string, k int) string {
	var out []string
	for i, s := range all {
		if i != k {
			out = append(out, s)
		}
	}
	return strings.Join(out, ",")
}
