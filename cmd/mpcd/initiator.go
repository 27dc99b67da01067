package main

import (
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// asker is who signs what a command asks for, an initiator, or decides, an approver or an officer.
type asker struct {
	name       string // of an initiator NAME@CLUSTER; "" for nobody
	key        string // a file, or with token the key's name there
	passphrase string // where that of the file is; "" for none
	token      string // URI; "" for a file
	role       string // that the names of the flags begin with, as "approver-"; "" of an officer or author
	ttl        time.Duration
}

// register adds the flags by which a command signs what it asks for.
func (a *asker) register(cmd *cobra.Command) {
	a.flags(cmd, "initiator", "who asks, NAME@CLUSTER in its authority", 15*time.Minute)
}

// flags adds those of a role; whose says who it is.
func (a *asker) flags(cmd *cobra.Command, role, whose string, ttl time.Duration) {
	f, env := cmd.Flags(), "MPCD_"+strings.ToUpper(role)
	a.role = role + "-"
	for _, x := range []struct {
		at               *string
		name, env, usage string
	}{
		{&a.name, role, env, whose},
		{&a.key, role + "-key", env + "_KEY", "its key file, PEM, plain or by age; with --" + role + "-token its key's name there"},
		{&a.passphrase, role + "-passphrase", env + "_PASSPHRASE", "what opens the file, as file:PATH, cred:NAME or env:NAME"},
		{&a.token, role + "-token", env + "_TOKEN", "the HSM, TPM or KMS that has the key, a URI as mpcd hsm list shows"},
	} {
		f.StringVar(x.at, x.name, os.Getenv(x.env), x.usage+" ("+x.env+")")
		f.Lookup(x.name).DefValue = ""
	}
	f.DurationVar(&a.ttl, role+"-ttl", ttl, "how long its signature holds, a week at most; what waits for approvals waits so long")
}

// open is who signs what the command asks for; nil for nobody. The caller closes it.
func (a *asker) open() (*client.Initiator, io.Closer, error) {
	if a.name == "" && a.key == "" && a.token == "" {
		return nil, io.NopCloser(nil), nil
	}
	i, err := client.NewInitiator(a.name, nil)
	var key io.Closer
	switch {
	case err != nil:
	case a.token != "":
		var k *tokenKey
		if k, err = openTokenKey(a.token, a.key, ""); err != nil {
			return nil, nil, err
		}
		i.Sign, key = k.sign, k
	default:
		i, key, err = client.OpenInitiator(a.name, a.key, a.ask())
	}
	if err != nil {
		return nil, nil, fault.Usage("correct --initiator, --initiator-key and --initiator-passphrase", "%w", err)
	}
	i.TTL = a.ttl
	return i, key, nil
}

// ask reads the passphrase of the key file; nil where there is none.
func (a *asker) ask() func() (*secret.Bytes, error) {
	if a.passphrase == "" {
		return nil
	}
	return func() (*secret.Bytes, error) { return readPassphrase(a.passphrase, a.role) }
}

// use lends the key of who decides.
func (a *asker) use(f func(sign attest.SignFunc) error) error {
	if a.token == "" {
		return enrol.UseKey(a.role, a.key, a.ask(), f)
	}
	k, err := openTokenKey(a.token, a.key, "")
	if err != nil {
		return err
	}
	return errors.Join(f(k.sign), k.Close())
}

// tokenWait is how long one signature of a person's or an initiator's token may take.
const tokenWait = 30 * time.Second

// tokenKey is a key in a token that a person or an initiator signs with.
type tokenKey struct {
	*host.Tokens
	signer hsm.Signer
	name   string
	public crypto.PublicKey
}

// openTokenKey opens a token and looks its key up; of a type, not "", it makes the key if it is missing.
func openTokenKey(uri, name string, make hsm.KeyType) (*tokenKey, error) {
	if name == "" {
		return nil, fault.Usage("name the key that the token has", "the token has many keys")
	}
	ctx, cancel := context.WithTimeout(context.Background(), tokenWait)
	defer cancel()
	t, err := host.OpenTokens(ctx, host.TokenOnly(uri), newOutput().options("error"))
	if err != nil {
		return nil, fault.Doing("open the token", err)
	}
	k := &tokenKey{Tokens: t, name: name}
	shows, ok := hsm.As[hsm.PublicKeyer](t.Token)
	signs, also := hsm.As[hsm.Signer](t.Token)
	if k.signer = signs; !ok || !also {
		err = errors.New("the token signs nothing")
	}
	if err == nil && make != "" {
		err = t.MakeKey(ctx, name, make)
	}
	if err == nil {
		k.public, err = shows.PublicKey(ctx, name)
	}
	if err != nil {
		return nil, errors.Join(fault.Doing("use key "+name+" of the token", err), t.Close())
	}
	return k, nil
}

func (k *tokenKey) sign(message []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenWait)
	defer cancel()
	return k.signer.Sign(ctx, k.name, message)
}
