package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/hsm"
	"github.com/luxfi/mpcd/internal/durable"
)

// answerMax is the largest answer of a node that is read, in bytes.
const answerMax = 32 << 20

// remote is a node, as the commands that use a cluster reach it.
type remote struct {
	api     string
	token   string
	ca      string
	cert    string
	key     string
	timeout time.Duration
	http    *http.Client
}

// register adds the flags by which a command finds its node.
func (r *remote) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.api, "api", env("MPCD_API", "http://127.0.0.1:8080"), "base URL of a node (MPCD_API)")
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

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// open makes the connection's settings; it sends nothing.
func (r *remote) open() error {
	if !strings.HasPrefix(r.api, "http://") && !strings.HasPrefix(r.api, "https://") {
		return usage("give --api http://HOST:PORT or https://HOST:PORT", "%q is no URL of a node", r.api)
	}
	r.api = strings.TrimSuffix(r.api, "/")
	if r.token == "" {
		r.token = os.Getenv("MPCD_TOKEN")
	}
	if strings.HasPrefix(r.token, "file:") || strings.HasPrefix(r.token, "cred:") || strings.HasPrefix(r.token, "env:") {
		b, err := hsm.ReadPIN(r.token)
		if err != nil {
			return usage("correct --token", "token: %s", strings.ReplaceAll(err.Error(), "hsm: pin-source", "source"))
		}
		r.token = string(b.Bytes())
		b.Wipe()
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13}
	if r.ca != "" {
		pem, err := durable.ReadFile(r.ca, secretsLimit)
		if err != nil {
			return err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return usage("give a PEM file with certificates", "%s holds no certificate", r.ca)
		}
	}
	if r.cert != "" {
		c, err := tls.LoadX509KeyPair(r.cert, r.key)
		if err != nil {
			return usage("correct --cert and --key", "client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{c}
	}
	r.http = &http.Client{Timeout: r.timeout, Transport: &http.Transport{TLSClientConfig: t, ForceAttemptHTTP2: true}}
	return nil
}

// call sends a request and reads the answer into out. A problem of the node is a fault with its exit code.
func (r *remote) call(ctx context.Context, method, path string, in, out any) error {
	if r.http == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.api+path, body)
	if err != nil {
		return usage("correct --api", "%w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return r.unreached(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return r.unreached(err)
	}
	if resp.StatusCode >= 300 {
		return r.refused(resp, b)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return &fault{Code: exitFailed, Err: fmt.Errorf("the answer of %s is not what this mpcd expects: %w", r.api, err), Do: "compare `mpcd version` here and there"}
	}
	return nil
}

func (r *remote) unreached(err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return &fault{Code: exitTimeout, Err: fmt.Errorf("no answer from %s within %s", r.api, r.timeout), Do: "repeat it with the same --session, which never signs twice, or with a longer --timeout"}
	}
	if errors.Is(err, context.Canceled) {
		return &fault{Code: exitTimeout, Err: errors.New("interrupted before the answer came"), Do: "repeat it with the same --session to learn the outcome"}
	}
	return &fault{Code: exitQuorum, Err: fmt.Errorf("node not reached: %w", err), Do: "start it with `mpcd dev` or `mpcd start`, or name another with --api"}
}

func (r *remote) refused(resp *http.Response, b []byte) error {
	var p wire.Problem
	if json.Unmarshal(b, &p) != nil || p.Title == "" {
		p = wire.Problem{Status: resp.StatusCode, Title: "the node answered " + resp.Status, Detail: "no details were given"}
	}
	for _, e := range p.Errors {
		p.Detail += fmt.Sprintf(" (%s: %s)", e.Field, e.Detail)
	}
	return ofProblem(p)
}
