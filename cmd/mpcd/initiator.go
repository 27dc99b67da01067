package main

import (
	"context"
	"crypto"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/secret"
)

// asker is the initiator as whom a command asks.
type asker struct {
	name       string // NAME@CLUSTER; "" for nobody
	key        string // a file, or with token the key's name there
	passphrase string // where that of the file is; "" for none
	token      string // URI; "" for a file
}

// register adds the flags by which a command signs what it asks for.
func (a *asker) register(cmd *cobra.Command) {
	f := cmd.Flags()
	for _, x := range []struct {
		at               *string
		name, env, usage string
	}{
		{&a.name, "initiator", "MPCD_INITIATOR", "who asks, NAME@CLUSTER in its authority"},
		{&a.key, "initiator-key", "MPCD_INITIATOR_KEY", "its key file, PEM, plain or by age; with --initiator-token its key's name there"},
		{&a.passphrase, "initiator-passphrase", "MPCD_INITIATOR_PASSPHRASE", "what opens the file, as file:PATH, cred:NAME or env:NAME"},
		{&a.token, "initiator-token", "MPCD_INITIATOR_TOKEN", "the HSM, TPM or KMS that has the key, a URI as mpcd hsm list shows"},
	} {
		f.StringVar(x.at, x.name, os.Getenv(x.env), x.usage+" ("+x.env+")")
		f.Lookup(x.name).DefValue = ""
	}
}

// open is who signs what the command asks for; nil for nobody. The caller closes it.
func (a *asker) open() (*client.Initiator, io.Closer, error) {
	if a.name == "" && a.key == "" && a.token == "" {
		return nil, io.NopCloser(nil), nil
	}
	if a.token != "" {
		key, err := openTokenKey(a.token, a.key, "")
		if err != nil {
			return nil, nil, err
		}
		i, err := client.NewInitiator(a.name, key.sign)
		if err != nil {
			return nil, nil, errors.Join(fault.Usage("correct --initiator", "%w", err), key.Close())
		}
		return i, key, nil
	}
	var ask func() (*secret.Bytes, error)
	if a.passphrase != "" {
		ask = func() (*secret.Bytes, error) { return hsm.ReadPIN(a.passphrase) }
	}
	i, key, err := client.OpenInitiator(a.name, a.key, ask)
	if err != nil {
		return nil, nil, fault.Usage("correct --initiator, --initiator-key and --initiator-passphrase", "%w", err)
	}
	return i, key, nil
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
