package sim

import (
	"os"
	"strings"
)

// URI is the token's, as the node's configuration has it.
func (p *Process) URI() string {
	for line := range strings.Lines(p.config()) {
		if uri, ok := strings.CutPrefix(strings.TrimSpace(line), "uri: "); ok {
			return strings.Trim(uri, `"`)
		}
	}
	p.c.TB.Fatalf("%s names no token", p.Config)
	return ""
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
