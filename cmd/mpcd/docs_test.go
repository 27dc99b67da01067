package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// docFiles are the documents whose commands are tested, from the root of the repository.
var docFiles = []string{"README.md", "ARCHITECTURE.md", "docs/*.md", "softhsm/README.md", "benchmarks/README.md"}

// document is a text and the commands in it.
type document struct {
	path  string
	text  string
	shown []string // commands in fenced blocks of any kind of shell, or of none
	run   []string // commands in blocks fenced by ```sh: these are run, in order
}

func documents(t *testing.T) []document {
	t.Helper()
	var out []document
	for _, pattern := range docFiles {
		paths, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, parseDocument(path, string(b)))
		}
	}
	return out
}

func parseDocument(path, text string) document {
	d := document{path: path, text: text}
	fence := "" // what the block we are in was opened with
	s := bufio.NewScanner(strings.NewReader(strings.ReplaceAll(text, "\\\n", " ")))
	for s.Scan() {
		line := strings.TrimSpace(s.Text())
		switch {
		case fence == "" && strings.HasPrefix(line, "```"):
			fence = line
		case line == "```":
			fence = ""
		case line == "" || strings.HasPrefix(line, "#"):
		case fence == "```sh":
			d.run = append(d.run, line)
			d.shown = append(d.shown, line)
		case fence == "```" || fence == "```bash" || fence == "```console":
			d.shown = append(d.shown, strings.TrimPrefix(line, "$ "))
		}
	}
	return d
}

var (
	callMPCD  = regexp.MustCompile(`(?:^|[|;&(]\s*|\$\(|=\$\()(?:sudo )?(?:\./)?(?:bin/)?mpcd((?: [^|;&)#]*)?)`)
	callMake  = regexp.MustCompile(`^make ([a-z]+)`)
	inline    = regexp.MustCompile("`(?:bin/)?((?:mpcd|make) [^`]*)`")
	shellWord = regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`)
)

// calls are all commands that a document names, in blocks and in the text.
func (d document) calls() []string {
	out := d.shown
	for _, m := range inline.FindAllStringSubmatch(d.text, -1) {
		out = append(out, strings.Join(strings.Fields(m[1]), " "))
	}
	return out
}

// Goal: no document names a command, a flag or a target that is not there. Method: every call of mpcd is looked up in the tree of
// commands, every `make` target in the Makefile.
func TestDocumentsNameWhatExists(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents(t) {
		for _, c := range d.calls() {
			if m := callMake.FindStringSubmatch(c); m != nil && !regexp.MustCompile(`(?m)^`+m[1]+`:`).Match(makefile) {
				t.Errorf("%s: no target %s in the Makefile", d.path, m[1])
			}
			for _, m := range callMPCD.FindAllStringSubmatch(c, -1) {
				if err := lookUp(shellWord.FindAllString(m[1], -1)); err != nil {
					t.Errorf("%s: mpcd%s: %v", d.path, m[1], err)
				}
			}
		}
	}
}

// lookUp finds the command of the words and parses its flags, without running it. A last word … stands for anything.
func lookUp(words []string) error {
	for i, w := range words {
		if w == ">" || w == ">>" || w == "<" || w == "2>" {
			words = words[:i]
			break
		}
		words[i] = strings.Trim(w, `"'`)
	}
	if n := len(words); n > 0 && (words[n-1] == "…" || words[n-1] == "...") {
		words = words[:n-1]
	}
	tree := root(newOutput())
	tree.InitDefaultCompletionCmd()
	cmd, rest, err := tree.Find(words)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if left := cmd.Flags().Args(); cmd.HasSubCommands() && len(left) > 0 {
		for _, one := range strings.Split(left[0], "|") { // `mpcd hsm list|test`
			if sub, _, err := cmd.Find([]string{one}); err != nil || sub == cmd {
				return fmt.Errorf("no command %q", one)
			}
		}
	}
	return nil
}

// Goal: the check above notices what is not there.
func TestLookUp(t *testing.T) {
	for _, good := range []string{"", "dev --nodes 5 --threshold 3", "key list -o json",
		"attest verify --roster r.json --root 0x00 receipt.json", "config show --origin", "completion bash", "keygen --help",
		"hsm list|test", "sign …"} {
		if err := lookUp(strings.Fields(good)); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"devv", "key lst", "dev --node 5", "sign --wallet", "attest verfy x", "hsm list|tst"} {
		if lookUp(strings.Fields(bad)) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// Goal: a document's commands are found as they should be.
func TestParseDocument(t *testing.T) {
	d := parseDocument("x.md", "Say `mpcd\nversion` or `make demo`.\n```sh\nmpcd key \\\n list # all\n```\n```console\n$ mpcd dev\n```\n"+
		"```\nmake test\n```\n```go\nx\n```\n")
	if got := fmt.Sprint(d.run, d.calls()); got != "[mpcd key   list # all] [mpcd key   list # all mpcd dev make test make demo]" {
		t.Error(got)
	}
}

// Goal: the commands of the documents do what the documents say. Method: the blocks fenced by ```sh run in order against a fresh
// dev cluster; 8080 becomes its port, and what a document abbreviates (w_…, rc_…, 0x…, …/cluster, …/node2) what was printed last.
func TestDocumentsRun(t *testing.T) {
	for _, d := range documents(t) {
		if len(d.run) == 0 {
			continue
		}
		t.Run(filepath.Base(d.path), func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Files: []string{"testdata/scripts/document.txtar"},
				Cmds:  scriptCommands,
				Setup: func(e *testscript.Env) error {
					e.Setenv("HOME", e.WorkDir)
					return os.WriteFile(filepath.Join(e.WorkDir, "commands"), []byte(strings.Join(d.run, "\n")), 0o600)
				},
			})
		})
	}
}

// abbreviations are what documents leave out, and how it looks in the output of the commands that make it.
var abbreviations = []struct {
	short string
	full  *regexp.Regexp
}{
	{"w_…", regexp.MustCompile(`(?m)(?:^wallet +|"wallet_id": ?")(w_[a-z2-7]{32})\b`)},
	{"rc_…", regexp.MustCompile(`\b(rc_[a-z2-7]{32})\b`)},
	{`"public_key": "0x…"`, regexp.MustCompile(`("public_key": ?"0x[0-9a-f]+")`)},
}

// scriptDocument runs the commands of a file, each in bash, until one fails.
func scriptDocument(ts *testscript.TestScript, _ bool, args []string) {
	said := ""
	replace := strings.NewReplacer("bin/mpcd", "mpcd", "127.0.0.1:8080", ts.Getenv("HOST"), "localhost:8080", ts.Getenv("HOST"), "…/cluster",
		"cluster/cluster", "…/node", "cluster/node", "--root 0x…", "--root "+ts.Getenv("ROOT"))
	for _, line := range strings.Split(ts.ReadFile(args[0]), "\n") {
		line = replace.Replace(line)
		for _, a := range abbreviations {
			if !strings.Contains(line, a.short) {
				continue
			}
			all := a.full.FindAllStringSubmatch(said, -1)
			if len(all) == 0 {
				ts.Fatalf("%s: nothing before printed what %s stands for", line, a.short)
			}
			line = strings.ReplaceAll(line, a.short, all[len(all)-1][1])
		}
		if strings.HasPrefix(line, "curl ") { // an HTTP error must fail the test
			line = "curl -sS --fail-with-body " + strings.TrimPrefix(line, "curl ")
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", line)
		cmd.Dir = ts.MkAbs(".")
		cmd.Env = append(os.Environ(), "MPCD_API="+ts.Getenv("API"), "HOME="+ts.Getenv("HOME"))
		b, err := cmd.CombinedOutput()
		said += string(b)
		ts.Logf("$ %s\n%s", line, b)
		if err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
	}
}

// setups are the headings of docs/OPERATIONS.md below which a cluster is set up by copy and paste, and what goes on from there.
var setups = [][]string{{"### Made on one machine"}, {"### Enrolled on each host", "### Who may ask"}}

// blocks are the blocks fenced by ```bash below a heading, as one script.
func (d document) blocks(heading string) string {
	_, text, _ := strings.Cut(d.text, "\n"+heading+"\n")
	text, _, _ = strings.Cut(text, "\n#")
	var script strings.Builder
	for _, part := range strings.Split(text, "\n```bash\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		script.WriteString(block + "\n")
	}
	return script.String()
}

// Goal: whoever copies the set-ups of OPERATIONS into a shell, in an empty directory, has a cluster that signs, also after its nodes'
// directories were moved. Method: the very blocks of the document, each set-up as one script of bash; only addresses and ports are others,
// for what else may run here.
func TestSetUps(t *testing.T) {
	for _, d := range documents(t) {
		if filepath.Base(d.path) != "OPERATIONS.md" {
			continue
		}
		for i, headings := range setups {
			t.Run(strings.TrimPrefix(headings[0], "### "), func(t *testing.T) {
				t.Parallel()
				script := ""
				for _, heading := range headings {
					script += d.blocks(heading)
				}
				said := runSetUp(t, script, fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250)))
				if n := strings.Count(said, "signature "); n != 2-i {
					t.Errorf("%d signatures, want %d:\n%s", n, 2-i, said)
				}
			})
		}
	}
}

// runSetUp runs a script in an empty directory, on ports and on a loopback network of its own, and returns what it said.
func runSetUp(t *testing.T, script, network string) string {
	t.Helper()
	if !strings.Contains(script, " mv ") {
		t.Fatalf("no directory is moved:\n%s", script)
	}
	for k := range 3 { // hosts of this run alone, with the ports that the document has
		host := strconv.Itoa(11 + k)
		script = strings.ReplaceAll(script, "127.0.0."+host, network+host)
	}
	if strings.Contains(script, "--api-port") { // one host, with ports of this run alone
		script = strings.NewReplacer(append(ports(t, 8080), ports(t, 6222)...)...).Replace(script)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		_ = cmd.Cancel()
		logs, _ := filepath.Glob(filepath.Join(cmd.Dir, "*.log"))
		for _, path := range logs {
			b, _ := os.ReadFile(path)
			t.Logf("%s:\n%s", path, b)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// ports are three in a row that are free, each after the one whose place it takes.
func ports(t *testing.T, from int) (swaps []string) {
	t.Helper()
	for range 100 {
		first, ok := consecutive(3)
		for k := 0; ok && k < 3; k++ {
			swaps = append(swaps, strconv.Itoa(from+k), strconv.Itoa(first+k))
		}
		if ok {
			return swaps
		}
	}
	t.Fatal("no three free ports in a row")
	return nil
}
