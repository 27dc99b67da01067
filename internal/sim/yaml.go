package sim

import (
	"os"
	"strings"

	"github.com/luxfi/mpcd/host"
)

// URI is the token's, by the node's configuration, with full paths.
func (p *Process) URI() string {
	p.c.TB.Helper()
	vs := host.Defaults()
	err := vs.File(p.Config)
	var c host.Config
	if err == nil {
		c, err = host.Parse(vs)
	}
	if err != nil {
		p.c.TB.Fatal(err)
	}
	return c.TokenURI()
}

// Set writes a key of the node's configuration, as "hsm.vault_uri", with a value as YAML has it; "" removes the key.
func (p *Process) Set(key, value string) {
	p.c.TB.Helper()
	section, name, ok := strings.Cut(key, ".")
	if !ok {
		p.c.TB.Fatalf("set %s: only keys of a section", key)
	}
	var out []string
	in, there := false, false
	for _, line := range strings.Split(strings.TrimRight(p.config(), "\n"), "\n") {
		if !strings.HasPrefix(line, " ") {
			in = line == section+":"
		}
		if in && strings.HasPrefix(line, "  "+name+":") {
			continue
		}
		out = append(out, line)
		if there = there || in; line == section+":" && value != "" {
			out = append(out, "  "+name+": "+value)
		}
	}
	if !there && value != "" {
		out = append(out, section+":", "  "+name+": "+value)
	}
	if err := os.WriteFile(p.Config, []byte(strings.Join(out, "\n")+"\n"), 0o600); err != nil {
		p.c.TB.Fatal(err)
	}
}

func (p *Process) config() string {
	p.c.TB.Helper()
	b, err := os.ReadFile(p.Config)
	if err != nil {
		p.c.TB.Fatal(err)
	}
	return string(b)
}
