package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/enrol"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/hsm"
)

// remote is a node, as the commands that use a cluster reach it.
type remote struct {
	api     string
	token   string
	ca, own string // own is the certificate of the node itself, of the doctor's
	cert    string
	key     string
	who     asker
	name    string // that the node's certificate must have, where it is not the URL's
	timeout time.Duration
	noWait  bool
	nodes   []string
	http    *http.Client
}

// register adds the flags by which a command finds its node.
func (r *remote) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.api, "api", cmp.Or(os.Getenv("MPCD_API"), "http://127.0.0.1:8080"),
		"base URL of a node, or of several separated by commas (MPCD_API)")
	f.StringVar(&r.token, "token", "", "token for the API, or file:PATH, cred:NAME, env:NAME (MPCD_TOKEN)")
	f.StringVar(&r.ca, "ca", os.Getenv("MPCD_CA"), "CA of the node's certificate, PEM (MPCD_CA)")
	f.StringVar(&r.cert, "cert", os.Getenv("MPCD_CERT"), "client certificate, PEM (MPCD_CERT)")
	f.StringVar(&r.key, "key", os.Getenv("MPCD_KEY"), "its key, PEM (MPCD_KEY)")
	f.DurationVar(&r.timeout, "timeout", 60*time.Second, "how long to wait for the answer")
	f.Lookup("api").DefValue = "http://127.0.0.1:8080"
	for _, name := range []string{"ca", "cert", "key"} {
		f.Lookup(name).DefValue = ""
	}
}

// acts adds the flags of a request with a session_id, and of who asks for it.
func (r *remote) acts(cmd *cobra.Command, session *string) {
	r.register(cmd)
	r.who.register(cmd)
	cmd.Flags().StringVar(session, "session", "", "idempotency key: the same key and request give the same answer")
	cmd.Flags().BoolVar(&r.noWait, "no-wait", false, "do not wait for the answer: mpcd operation show --follow waits for it")
}

// tokenSource makes of what is said of the source of a PIN what is to be said of a token's.
var tokenSource = strings.NewReplacer("hsm: ", "", "bad HSM URI: ", "", "pin-source: ", "", "pin-source", "the source",
	"the source of the PIN cannot be used: ", "")

// absolute is a source with the full path of its file, if it is one.
func absolute(source string) string {
	if path, is := strings.CutPrefix(source, "file:"); is {
		if abs, err := filepath.Abs(path); err == nil {
			return "file:" + abs
		}
	}
	return source
}

// open makes the connection's settings; it sends nothing.
func (r *remote) open() error {
	r.nodes = nil
	for _, a := range strings.Split(r.api, ",") {
		if !strings.HasPrefix(a, "http://") && !strings.HasPrefix(a, "https://") {
			return fault.Usage("give --api http://HOST:PORT or https://HOST:PORT", "%q is no URL of a node", a)
		}
		r.nodes = append(r.nodes, strings.TrimSuffix(a, "/"))
	}
	if r.token == "" {
		r.token = os.Getenv("MPCD_TOKEN")
	}
	r.token = absolute(r.token)
	if strings.HasPrefix(r.token, "file:") || strings.HasPrefix(r.token, "cred:") || strings.HasPrefix(r.token, "env:") {
		b, err := hsm.ReadPIN(r.token)
		if err != nil {
			return fault.Usage("correct --token", "token: %s", tokenSource.Replace(err.Error()))
		}
		r.token = string(b.Bytes())
		b.Wipe()
	}
	var err error
	if r.http, err = client.NewHTTP(client.Files{CA: r.ca, Known: r.own, Cert: r.cert, Key: r.key, Name: r.name}, r.timeout); err != nil {
		return fault.Usage("correct --ca, --cert and --key", "%w", err)
	}
	return nil
}

// client is what the commands ask a node with. It takes the next node of --api where one does not answer, and repeats nothing else.
// The caller closes the key of who asks.
func (r *remote) client() (*client.Client, io.Closer, error) {
	if err := r.open(); err != nil {
		return nil, nil, err
	}
	who, key, err := r.who.open()
	if err != nil {
		return nil, nil, err
	}
	return client.New(client.Config{Nodes: r.nodes, Token: r.token, HTTPClient: r.http, Attempts: len(r.nodes), Initiator: who}), key, nil
}

// ask asks a node for something; session is the request's, "" for none.
func ask[T any](r *remote, what, session string, do func(*client.Client) (T, error)) (T, error) {
	c, key, err := r.client()
	if err != nil {
		var none T
		return none, err
	}
	defer key.Close()
	v, err := do(c)
	return v, r.failed(what, err, session)
}

// show asks a node for something and writes the answer, for humans by table.
func show[T any](o *output, r *remote, what, session string, do func(*client.Client) (T, error), table func(io.Writer, T)) error {
	v, err := ask(r, what, session, do)
	if err != nil {
		return err
	}
	return o.result(v, func(w io.Writer) { table(w, v) })
}

// act is show for a request with a session_id, which is made where none is given. With --no-wait it shows the operation that it has begun.
func act[T any](o *output, r *remote, what string, session *string, do func(*client.Client) (T, error), human func(io.Writer, T),
	later func(*client.Client) (*wire.Operation, error)) error {
	if *session = cmp.Or(*session, "cli-"+strings.ToLower(rand.Text())); r.noWait {
		return show(o, r, what, *session, later, table(enrol.OperationRows))
	}
	return show(o, r, what, *session, do, human)
}

// failed turns what a client returns into a fault with its exit code. session is the request's, "" for none.
func (r *remote) failed(what string, err error, session string) error {
	var refused *client.Error
	var others *client.OthersError
	var timeout interface{ Timeout() bool }
	again := "repeat it"
	if session != "" {
		again = "repeat it with --session " + session + ", which never signs twice"
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		f := ofProblem(refused.Problem, session)
		if errors.As(err, &others) {
			f.Err = &client.OthersError{Err: fmt.Errorf("%s: %w", refused.Node, f.Err), Others: others.Others}
		}
		return fault.Doing(what, f)
	case errors.Is(err, client.ErrUnsent):
		return fault.Doing(what, fault.Usage("correct the request, or who signs it: --initiator, --initiator-key, --initiator-token", "%w", err))
	case errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return fault.Doing(what, &fault.Error{Code: fault.CodeTimeout, Err: fmt.Errorf("no answer from %s within %s", r.api, r.timeout),
			Do: again + ", or with a longer --timeout"})
	case errors.Is(err, context.Canceled):
		return fault.Doing(what, &fault.Error{Code: fault.CodeTimeout, Err: errors.New("interrupted before the answer came"),
			Do: again + " to learn the outcome"})
	}
	return fault.Doing(what, &fault.Error{Code: fault.CodeQuorum, Err: fmt.Errorf("node not reached: %w", err),
		Do: cmp.Or(client.Advice(err), "start it with `mpcd start` (for trials `mpcd dev`), or name another with --api; then "+again)})
}
