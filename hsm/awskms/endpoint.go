package awskms

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/luxfi/mpcd/hsm"
)

// checkEndpoint reads the URL of an endpoint. Errors wrap hsm.ErrURI and do not quote the URL, which may hold a password.
func checkEndpoint(raw string) (*url.URL, error) {
	bad := func(why string) (*url.URL, error) {
		return nil, fmt.Errorf("awskms: %w: endpoint: %s", hsm.ErrURI, why)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		return bad("not a URL; want https://host:port")
	case u.User != nil:
		return bad("credentials do not belong there; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	case u.RawQuery != "" || u.Fragment != "":
		return bad("want scheme, host and path only")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return bad("http:// would show the vault's key to the network; use https://")
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("want https://")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// isAWS tells that TLS proves the endpoint to be Amazon's, whose KMS keeps keys in hardware. Of any
// other nothing proves it.
func isAWS(u *url.URL) bool {
	if u.Scheme != "https" {
		return false
	}
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if strings.HasSuffix(strings.ToLower(u.Hostname()), domain) {
			return true
		}
	}
	return false
}
