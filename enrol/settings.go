package enrol

import (
	"cmp"
	"maps"
	"net"
	"strconv"
	"strings"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

const (
	softToken = "softhsm"    // what stands for a token of SoftHSM that is made beside mpcd.yaml
	pinValue  = "pin-value=" // in the URI of a token, which belongs into no configuration
)

// settings are what the mpcd.yaml of a new node is to say: what somebody gave, in full, since the file lies elsewhere than what it is
// relative to, and what follows from the endpoint, where nothing else is given.
type settings struct{ given, follow map[string]string }

// settings are those of a node that listens where its endpoint says.
func (at Place) settings(vs host.Values) (w settings, err error) {
	u, err := at.endpoint()
	if err != nil {
		return w, err
	}
	on, api, route := u.Hostname(), cmp.Or(u.Port(), "443"), strconv.Itoa(RoutePort)
	w = settings{given: map[string]string{}, follow: map[string]string{}}
	if net.ParseIP(on) == nil { // a name may be of an address that is not on this host
		w.follow["nats.advertise"] = net.JoinHostPort(on, route)
		on = "0.0.0.0"
	}
	w.follow["listen"], w.follow["nats.listen"] = net.JoinHostPort(on, api), net.JoinHostPort(on, route)
	full := vs.InFull() // the file lies elsewhere
	for _, s := range host.Settings {
		if v := full[s.Key]; v.Origin != "default" {
			if strings.Contains(v.Text, pinValue) {
				return w, fault.Usage("use pin-source=file:/path, cred:name or env:NAME",
					"%s has a PIN, which belongs into no configuration", s.Key)
			}
			w.given[s.Key] = v.String()
		}
	}
	if w.given["nats.url"] != "" { // a broker takes the place of routes
		for _, key := range []string{"nats.listen", "nats.advertise", "nats.routes"} {
			delete(w.given, key)
			delete(w.follow, key)
		}
	}
	return w, nil
}

// all are the settings with those that follow from where the files of a new node lie: everything lies beside mpcd.yaml.
func (w settings) all(c host.Config) map[string]string {
	set := map[string]string{
		"roster": RosterFile, "authority": AuthorityFile,
		"api.tls.cert": "tls/node.crt", "api.tls.key": "tls/node.key", "api.jwt.keys": tokenPubFile,
		"nats.tls.cert": "tls/node.crt", "nats.tls.key": "tls/node.key", "nats.tls.ca": "tls/ca.crt",
	}
	for _, key := range toChoose {
		set[key] = ""
	}
	maps.Copy(set, w.follow)
	maps.Copy(set, w.given)
	set["hsm.uri"] = cmp.Or(set["hsm.uri"], softToken)
	if c.NATS.URL != "" {
		delete(set, "nats.routes")
	}
	return set
}

// checkSettings refuses what no node starts with, as it would be read from the file at path.
func checkSettings(path string, set map[string]string) error {
	vs := host.Defaults()
	if err := vs.YAML(path, []byte(host.Sample(configHead, set))); err != nil {
		return err
	}
	c, err := host.Parse(vs)
	if err != nil {
		return err
	}
	if _, err := c.Operator(); err != nil {
		return err
	}
	if c.HSM.URI != softToken {
		if _, err := hsm.ParseURI(c.HSM.URI); err != nil {
			return fault.Usage("name the token by a URI: docs/HARDWARE.md", "hsm.uri: %w", err)
		}
	}
	return nil
}

// contradicts refuses settings of which one is another in the file at path. Of what follows from the endpoint the address of the API
// counts, and the name by which others dial: the enrolment would name another node than runs.
func (w settings) contradicts(path string) error {
	vs := host.Defaults()
	if err := vs.File(path); err != nil {
		return err
	}
	there := vs.InFull()
	for _, s := range host.Settings {
		was := there[s.Key].String()
		now, given := w.given[s.Key]
		if !given {
			now = w.followed(s.Key, was)
		}
		if now == was || s.Key == "hsm.uri" && now == softToken || was == "" && !given {
			continue
		}
		if strings.Contains(was, pinValue) {
			was = "a URI with a PIN"
		}
		return fault.Usage("give what stands there; or correct it there, and give --config with that file in place of --new DIR; another "+
			"node needs a directory of its own", "%s in %s is %q, and here it would be %q: nothing was changed", s.Key, path, was, now)
	}
	return nil
}

// followed is what follows from the endpoint for a setting that was something before.
func (w settings) followed(key, was string) string {
	name, _, err := net.SplitHostPort(w.follow[key])
	switch {
	case err == nil && key == "listen":
		return w.follow[key]
	case err == nil && key == "nats.advertise":
		_, port, _ := net.SplitHostPort(was)
		return net.JoinHostPort(name, port)
	}
	return was
}
