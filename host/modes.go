package host

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/luxfi/mpcd/hsm"
)

// Who may do what by the mode of a file, as the bits that it must not have.
const (
	notChanged os.FileMode = 0o022 // by group or others
	notRead    os.FileMode = 0o027 // nor read by others
)

// modes looks who beside the node's user may read its keys and change what it is made of.
func (d *Checkup) modes() {
	var detail, do []string
	not := guard{bits: map[string]os.FileMode{}}
	d.Config.guarded(&not)
	for _, path := range not.paths {
		st, err := os.Lstat(path) // what a link leads to is looked at itself; in a sticky directory nobody replaces what is not his
		if err != nil || st.Mode().Perm()&not.bits[path] == 0 || st.Mode()&os.ModeSymlink != 0 || st.IsDir() && st.Mode()&os.ModeSticky != 0 {
			continue
		}
		detail = append(detail, fmt.Sprintf("%s has mode %o", path, st.Mode().Perm()))
		do = append(do, fmt.Sprintf("chmod %o %s", st.Mode().Perm()&^not.bits[path], path))
	}
	d.warn("modes of files", len(detail) == 0, cmp.Or(strings.Join(detail, ", "), "none lets others read the keys or change the rest"),
		strings.Join(do, "; "))
}

// guard is what a node is made of, with the bits that no mode of it may have.
type guard struct {
	paths []string // in the order of adding
	bits  map[string]os.FileMode
}

// file adds files or directories, each with the directories that it is in, and what a link of that name leads to.
func (g *guard) file(not os.FileMode, paths ...string) {
	for _, path := range paths {
		if path == "" {
			continue
		}
		g.add(path, not)
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			g.add(real, not)
		}
	}
}

func (g *guard) add(path string, not os.FileMode) {
	for first := true; ; first = false {
		if g.bits[path] == 0 {
			g.paths = append(g.paths, path)
		}
		g.bits[path] |= not
		dir := filepath.Dir(path)
		if dir == path {
			return
		}
		if path, not = dir, 0o002; first { // above its own directory a group may, as in /usr/local
			not = notChanged
		}
	}
}

// guarded adds every file and directory that the configuration names.
func (c Config) guarded(g *guard) {
	g.file(notRead, c.API.Key, c.Events.Key, c.NATS.Key, c.NATS.Creds, c.Initiator, c.DataDir, filepath.Join(c.DataDir, storeKeyFile))
	if p := c.Password.Provider; p == "hsm" || p == "file" {
		g.file(notRead, c.Password.KeyID)
	}
	g.file(notRead, strings.TrimPrefix(c.Password.Sealed, filePrefix))
	for _, uri := range []string{c.TokenURI(), c.HSM.VaultURI, c.HSM.Counter, c.Password.URI} {
		if u, err := hsm.ParseURI(uri); err == nil {
			if pin, ok := strings.CutPrefix(u.Attr("pin-source"), filePrefix); ok {
				g.file(notRead, pin)
			}
			g.file(notChanged, u.Attr("module-path"))
		}
	}
	if c.HSM.SoftHSMConf != "" {
		g.file(notRead, below(tokensDir(c.HSM.SoftHSMConf))...)
	}
	g.file(notChanged, c.File, c.Roster, c.Authority, c.API.Cert, c.API.ClientCA, c.API.IssuerCA, c.NATS.Cert, c.NATS.CA, c.HSM.SoftHSMConf)
	g.file(notChanged, c.API.JWTKeys...)
	if c.HSM.Plugin.Dir != "" {
		g.file(notChanged, below(c.HSM.Plugin.Dir)...)
	}
}

// below is a directory with what is in it, and in the directories in it.
func below(dir string) []string {
	in, _ := filepath.Glob(filepath.Join(dir, "*"))
	deep, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	return append(append([]string{dir}, in...), deep...)
}
