package enrol

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"

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
// its path. Where the values name no token, one of SoftHSM is made beside it. All of it is checked before anything is made. A file that is
// there is kept, if it says the same. The note says what is left to be set in it.
func Configure(dir string, vs host.Values, at Place, note func(format string, a ...any)) (path string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	path = filepath.Join(dir, configFile)
	w, err := at.settings(vs)
	if err == nil {
		err = host.CheckGiven(vs) // which names the flag or variable
	}
	if err != nil {
		return "", err
	}
	if there, err := configured(dir, path, w); there || err != nil {
		return path, err
	}
	c, _ := host.Parse(vs) // what is missing is what is written here
	if c.Cluster == "" || c.Node == "" {
		return "", fault.Usage("give --cluster NAME and --node NAME", "a new node in %s needs the names of its cluster and of itself", dir)
	}
	set := w.all(c)
	set["data_dir"] = cmp.Or(c.DataDir, "data")
	if err := checkSettings(path, set); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	held, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	if there, err := configured(dir, path, w); there || err != nil { // by who had it before
		return path, err
	}
	if set["hsm.uri"] == softToken {
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

// configured tells whether dir has the configuration at path already, which must not say something else; then its token is finished.
func configured(dir, path string, w settings) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return true, err
	}
	if err := w.contradicts(path); err != nil {
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
