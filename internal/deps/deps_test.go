package deps

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// Goal: the source obeys the import policy. Method: parse the module's files through os.DirFS.
func TestSource(t *testing.T) {
	breaches, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}

// Goal: every rule is enforced. Method: a synthetic module that breaks one rule, and one that does not.
func TestRules(t *testing.T) {
	file := func(pkg string, imports ...string) string {
		s := "package x\n"
		for _, i := range imports {
			s += "import _ \"" + i + "\"\n"
		}
		return s + pkg
	}
	ours := func(p string) string { return module + p }
	for _, c := range []struct {
		name, path, src string
		want            string // "" for none
	}{
		{"engine pure", "threshold/a.go", file("", "io", "crypto/sha256", ours("internal/canon")), ""},
		{"engine context", "threshold/a.go", file("", "context"), "must not import context"},
		{"engine net", "threshold/dkg/a.go", file("", "net/http"), "must not import net/http"},
		{"engine os", "threshold/frost/a.go", file("", "os"), "must not import os"},
		{"engine time", "threshold/internal/poly/a.go", file("", "time"), "must not import time"},
		{"engine sync", "threshold/frost/a.go", file("", "sync"), "must not import sync"},
		{"engine atomics", "threshold/frost/a.go", file("", "sync/atomic"), ""},
		{"engine log", "threshold/schemes/a.go", file("", "log/slog"), "must not import log/slog"},
		{"engine crypto/rand", "threshold/frost/a.go", file("", "crypto/rand"), "must not import crypto/rand"},
		{"engine math/rand", "threshold/thresholdtest/a.go", file("", "math/rand/v2"), "must not import math/rand/v2"},
		{"engine C", "threshold/dkls23/a.go", file("", "C"), "must not import C"},
		{"engine maphash", "threshold/a.go", file("", "hash/maphash"), "must not import hash/maphash"},
		{"engine goroutine", "threshold/dkg/a.go", file("func f() { go f() }"), "a goroutine is started"},
		{"a goroutine elsewhere", "vault/a.go", file("func f() { go f() }"), ""},
		{"a library in its room", "vault/badgerstore/a.go", file("", "github.com/dgraph-io/badger/v4/y"), ""},
		{"a library in another room", "appliance/a.go", file("", "github.com/dgraph-io/badger/v4"), "stays in its room"},
		{"a library for main", "cmd/mpcd/a.go", file("", "github.com/nats-io/nats-server/v2/server"), "stays in its room"},
		{"a library of nobody", "attest/a.go", file("", "example.com/x"), "stays in its room"},
		{"a library in a test", "appliance/a_test.go", file("", "github.com/dgraph-io/badger/v4"), ""},
		{"host imports a suite", "host/a.go", file("", ours("hsm/hsmtest")), "only tests do"},
		{"the engine's suite in the engine", "threshold/schemes/a.go", file("", ours("threshold/thresholdtest")), "only tests do"},
		{"host makes a node", "host/a.go", "package x\nimport \"" + ours("appliance") + "\"\nvar _ = appliance.New", ""},
		{"another makes a node", "cmd/mpcd/a.go", "package x\nimport \"" + ours("appliance") + "\"\nvar _ = appliance.New", "made by host only"},
		{"under another name", "cmd/mpcd/a.go", "package x\nimport a \"" + ours("appliance") + "\"\nvar _ = a.New", "made by host only"},
		{"without a name", "cmd/mpcd/a.go", "package x\nimport . \"" + ours("appliance") + "\"\nvar _ = New", "by a dot"},
		{"another's New", "cmd/mpcd/a.go", "package x\nvar _ = appliance.New", ""},
		{"engine's tests are free", "threshold/a_test.go", file("", "crypto/rand", "time"), ""},
		{"engine imports a neighbour", "threshold/a.go", file("", ours("hsm")), "must not import hsm"},
		{"root imports a scheme", "threshold/a.go", file("", ours("threshold/frost")), "must not import threshold/frost"},
		{"scheme imports a scheme", "threshold/dkls23/a.go", file("", ours("threshold/frost")), "must not import threshold/frost"},
		{"scheme imports dkg", "threshold/frost/a.go", file("", ours("threshold/dkg")), ""},
		{"dkg imports a scheme", "threshold/dkg/a.go", file("", ours("threshold/frost")), "must not import threshold/frost"},
		{"the list imports schemes", "threshold/schemes/a.go", file("", ours("threshold/frost")), ""},
		{"hsm imports a driver", "hsm/a.go", file("", ours("hsm/pkcs11")), "must not import hsm/pkcs11"},
		{"hsm imports threshold", "hsm/a.go", file("", ours("threshold")), "must not import threshold"},
		{"hsm imports vault", "hsm/a.go", file("", ours("vault")), "must not import vault"},
		{"driver imports a driver", "hsm/local/a.go", file("", ours("hsm/pkcs11")), "must not import hsm/pkcs11"},
		{"vault imports threshold", "vault/a.go", file("", ours("threshold")), "must not import threshold"},
		{"vault imports attest", "vault/a.go", file("", ours("attest")), "must not import attest"},
		{"store imports attest", "vault/badgerstore/a.go", file("", ours("attest")), "must not import attest"},
		{"attest imports vault", "attest/a.go", file("", ours("vault")), "must not import vault"},
		{"attest imports appliance", "attest/a.go", file("", ours("appliance")), "must not import appliance"},
		{"attest imports a scheme", "attest/a.go", file("", ours("threshold/frost")), "must not import threshold/frost"},
		{"transport imports appliance", "appliance/transport/a.go", file("", ours("appliance")), "must not import appliance"},
		{"appliance imports a driver", "appliance/a.go", file("", ours("hsm/local")), "must not import hsm/local"},
		{"appliance imports badgerstore", "appliance/a.go", file("", ours("vault/badgerstore")), "must not import vault/badgerstore"},
		{"appliance imports natsnet", "appliance/a.go", file("", ours("appliance/transport/natsnet")),
			"must not import appliance/transport/natsnet"},
		{"appliance imports a scheme", "appliance/a.go", file("", ours("threshold/frost")), "must not import threshold/frost"},
		{"appliance imports its api", "appliance/a.go", file("", ours("appliance/api")), "must not import appliance/api"},
		{"client imports the node", "client/a.go", file("", ours("appliance")), "must not import appliance"},
		{"canon imports secret", "internal/canon/a.go", file("", ours("internal/secret")), "must not import internal/secret"},
		{"the judge imports the judged", "internal/libsecp/a.go", file("", ours("threshold")), "must not import threshold"},
		{"a driver imports the judge", "hsm/local/a.go", file("", ours("internal/libsecp")), "must not import internal/libsecp"},
		{"host names drivers, store and network", "host/a.go",
			file("", ours("hsm/pkcs11"), ours("vault/badgerstore"), ours("appliance/transport/natsnet"), "os"), ""},
		{"main imports a driver", "cmd/mpcd/a.go", file("", ours("hsm/pkcs11")), "must not import hsm/pkcs11"},
		{"main imports the store", "cmd/mpcd/a.go", file("", ours("vault/badgerstore")), "must not import vault/badgerstore"},
		{"main imports a network", "cmd/mpcd/a.go", file("", ours("appliance/transport/natsnet")), "must not import appliance/transport/natsnet"},
		{"enrol imports a driver", "enrol/a.go", file("", ours("hsm/tpm")), "must not import hsm/tpm"},
		{"host knows who is a member", "host/a.go", file("", ours("enrol")), "must not import enrol"},
		{"the node knows its host", "appliance/a.go", file("", ours("host")), "must not import host"},
		{"a package without a place", "pkg/common/a.go", file(""), "no place for package pkg/common"},
		{"init", "hsm/pkcs11/a.go", file("func init() {}"), "func init"},
		{"init in generated messages", "hsm/plugin/wire/a.pb.go", file("func init() {}"), ""},
		{"a plugin imports a driver", "hsm/plugin/a.go", file("", ours("hsm/pkcs11")), "must not import hsm/pkcs11"},
		{"parts import the node", "internal/parts/moto/a.go", file("", ours("appliance")), "must not import appliance"},
		{"a method named init", "hsm/pkcs11/a.go", file("type t int\nfunc (t) init() {}"), ""},
		{"init in a test", "hsm/pkcs11/a_test.go", file("func init() {}"), ""},
		{"one tag", "attest/a.go", file("const a = \"mpcd/v1/a\""), ""},
		{"a tag twice", "attest/a.go", file("const a, b = \"mpcd/v1/a\", `mpcd/v1/a`"), `tag "mpcd/v1/a" stands in attest/a.go:`},
		{"a tag of another version", "attest/a.go", file("const a, b = \"mpcd/v1/a\", \"mpcd/v2/a\""), ""},
		{"such a tag twice", "attest/a.go", file("const a, b = \"mpcd/v2/a\", \"mpcd/v2/a\""), `tag "mpcd/v2/a" stands in attest/a.go:`},
		{"a tag again in a package for tests", "hsm/hsmtest/a.go", file("const a, b = \"mpcd/v1/a\", \"mpcd/v1/a\""), ""},
		{"a tag again in a test", "attest/a_test.go", file("const a, b = \"mpcd/v1/a\", \"mpcd/v1/a\""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Check(fstest.MapFS{c.path: {Data: []byte(c.src)}})
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(got, "\n")
			if (c.want == "") != (all == "") || !strings.Contains(all, c.want) {
				t.Errorf("breaches %q, want %q", all, c.want)
			}
		})
	}
}

// Goal: a test that finds no source does not pass.
func TestNoSource(t *testing.T) {
	if _, err := Check(fstest.MapFS{"README.md": {}}); err == nil {
		t.Error("no source was found, and no error")
	}
}
