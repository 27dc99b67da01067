package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/vault"
)

// Goal: who runs a command reads no names of packages, and every other word of an error on one line. Method: errors of the packages,
// wrapped and joined, and words that only look like a package's name.
func TestPlainErrors(t *testing.T) {
	_, hexError := wire.ParseHex("0x1")
	for _, x := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{fmt.Errorf("--public-key: %w", hexError), "--public-key: " + strings.TrimPrefix(hexError.Error(), "wire: ")},
		{attest.ErrRoster, "roster refused"},
		{fmt.Errorf("vault: canary: vault: badgerstore: %w", vault.ErrWrongKEK), "canary: wrong KEK"},
		{errors.Join(fmt.Errorf("attest: one"), fmt.Errorf("hsm: two")), "one; two"},
		{fmt.Errorf("pkcs11: %w", hsm.ErrWrongPIN), "pkcs11: wrong PIN"},
		{errors.New("key attest: gone; the vault: gone"), "key attest: gone; the vault: gone"},
	} {
		if got := problem.Plain(x.err); got != x.want {
			t.Errorf("%v: %q, want %q", x.err, got, x.want)
		}
	}
}

// Goal: the help of a flag names its value by one word, and says what it is of itself. Method: every flag of every command: what pflag
// takes from between backquotes stands in the place of the type, and another flag's help is no help.
func TestFlagHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if name, usage := pflag.UnquoteUsage(f); strings.Contains(name, " ") || strings.HasPrefix(usage, "the same for") {
				t.Errorf("%s: --%s %s  %s", c.CommandPath(), f.Name, name, usage)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root(newOutput()))
}

// Goal: what a peer put into a label, a refusal or a version moves no cursor, makes no row and turns no letters round on the terminal of
// who reads it. Method: a table and a fault with such texts, in the bytes that come out.
func TestOutputIsSeen(t *testing.T) {
	var out, err bytes.Buffer
	o := &output{out: &out, err: &err}
	forged := "x\x1b[2J\u009b31m\nw_FAKE\u202e"
	_ = o.result(nil, func(w io.Writer) { row(w, "label", forged); row(w, "label", "Zürich 7") })
	o.fail(&fault.Error{What: "sign", Err: errors.New("node b refuses: " + forged), Do: forged})
	for _, s := range []string{out.String(), err.String()} {
		if strings.ContainsAny(s, "\x1b\u009b\u202e") || strings.Contains(s, "\nw_FAKE") {
			t.Errorf("%q", s)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 2 || !strings.Contains(out.String(), "label  Zürich 7") {
		t.Errorf("%d lines: %q", n, out.String())
	}
}
