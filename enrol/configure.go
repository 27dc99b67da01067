package enrol

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/internal/durable"
)

const configFile = "mpcd.yaml"

const configHead = `# Configuration of one node, as it was enrolled. Every setting stands here with what it means; those behind # have their
# default, or show what one looks like. Relative paths, in URIs too, are relative to this file, so its directory may be moved. No secret
# belongs here.
`

// toChoose are settings that only the operator can choose; Configure leaves those empty that it is not given.
var toChoose = []string{"roster_root", "nats.routes"}

// Configure writes mpcd.yaml for a new node into dir, which it makes, from values that somebody gave and the place of the node, and returns
// its path. Where the values name no token, one of SoftHSM is made beside it. A file that is there is kept. The note says what is left to
// be set in it.
func Configure(dir string, vs host.Values, at Place, note func(format string, a ...any)) (path string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	path = filepath.Join(dir, configFile)
	if there, err := configured(dir, path); there || err != nil {
		return path, err
	}
	set, err := at.settings()
	if err != nil {
		return "", err
	}
	c, _ := host.Parse(vs) // what is missing is what is written here; what is wrong is told when the file is read
	if c.Cluster == "" || c.Node == "" {
		return "", fault.Usage("give --cluster NAME and --node NAME", "a new node in %s needs the names of its cluster and of itself", dir)
	}
	full := vs.InFull() // the file lies elsewhere than what they are relative to
	for _, s := range host.Settings {
		if v := full[s.Key]; v.Origin != "default" {
			if strings.Contains(v.Text, "pin-value=") {
				return "", fault.Usage("use pin-source=file:/path, cred:name or env:NAME", "%s has a PIN, which belongs into no configuration", s.Key)
			}
			set[s.Key] = v.String()
		}
	}
	set["data_dir"] = cmp.Or(c.DataDir, "data")
	if c.NATS.URL != "" {
		delete(set, "nats.listen")
		delete(set, "nats.advertise")
		delete(set, "nats.routes")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	held, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	if there, err := configured(dir, path); there || err != nil { // by who had it before
		return path, err
	}
	if set["hsm.uri"] = c.HSM.URI; c.HSM.URI == "" || c.HSM.URI == "softhsm" {
		t, err := makeToken(dir, c)
		if err != nil {
			return "", fault.Doing("make the token", err)
		}
		if set["hsm.uri"], err = t.Beside(dir); err != nil {
			return "", err
		}
		set["hsm.softhsm_conf"] = filepath.Join(tokenDir, filepath.Base(t.Conf))
	}
	if err := durable.WriteFile(path, []byte(host.Sample(configHead, set)), 0o600); err != nil {
		return "", err
	}
	if err := removed(filepath.Join(dir, unfinishedFile)); err != nil {
		return "", err
	}
	note("wrote %s", path)
	for _, key := range toChoose {
		if text, written := set[key]; written && text == "" {
			note("set %s in it before you start the node", key)
		}
	}
	return path, nil
}

// configured tells whether dir has the configuration at path already; then its token is finished.
func configured(dir, path string) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return true, err
	}
	return true, removed(filepath.Join(dir, unfinishedFile))
}

// unfinishedFile is there while the token of a new node is made and no mpcd.yaml names it yet.
const unfinishedFile = tokenDir + ".unfinished"

// makeToken makes the node's token in its directory. What an enrolment that was cut short has left of one is removed before: where no data
// stands, nothing was sealed with it.
func makeToken(dir string, c host.Config) (host.SoftToken, error) {
	unfinished, token := filepath.Join(dir, unfinishedFile), filepath.Join(dir, tokenDir)
	_, left := os.Lstat(unfinished)
	_, used := os.Lstat(cmp.Or(c.DataDir, filepath.Join(dir, "data")))
	if _, there := os.Lstat(token); there == nil && left == nil && errors.Is(used, os.ErrNotExist) {
		if err := os.RemoveAll(token); err != nil {
			return host.SoftToken{}, err
		}
	} else if there == nil {
		err := fault.Usage("remove it if nothing was enrolled with its token yet, or name that token with --hsm-signer",
			"%s is there, and no %s that names it", token, configFile)
		return host.SoftToken{}, err
	}
	if err := durable.WriteFile(unfinished, nil, 0o600); err != nil {
		return host.SoftToken{}, err
	}
	return host.ProvisionSoftHSM(token, "mpcd-"+string(c.Node))
}

// removed removes a file that may not be there.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// settings are those of a node at its place: it listens where its endpoint says, and everything that it has lies beside mpcd.yaml.
func (at Place) settings() (map[string]string, error) {
	u, err := url.Parse(at.Endpoint)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, fault.Usage("give --endpoint https://HOST:PORT", "the endpoint %q does not say where clients reach the node", at.Endpoint)
	}
	name, api, route := u.Hostname(), cmp.Or(u.Port(), "443"), strconv.Itoa(RoutePort)
	set := map[string]string{
		"roster": RosterFile, "authority": AuthorityFile,
		"api.tls.cert": "tls/node.crt", "api.tls.key": "tls/node.key", "api.jwt.keys": tokenPubFile,
		"nats.tls.cert": "tls/node.crt", "nats.tls.key": "tls/node.key", "nats.tls.ca": "tls/ca.crt",
	}
	for _, key := range toChoose {
		set[key] = ""
	}
	on := name
	if net.ParseIP(name) == nil { // a name may be of an address that is not on this host
		on = "0.0.0.0"
		set["nats.advertise"] = net.JoinHostPort(name, route)
	}
	set["listen"], set["nats.listen"] = net.JoinHostPort(on, api), net.JoinHostPort(on, route)
	return set, nil
}

// ReadEnrolments reads files of enrolments.
func ReadEnrolments(paths []string) ([]Enrolment, error) {
	var out []Enrolment
	for _, path := range paths {
		e, err := ReadEnrolment(path)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
