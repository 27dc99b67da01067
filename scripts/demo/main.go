// Command demo shows the whole line with real input: it starts three mpcd processes with tokens of the kind asked for, has them sign a
// Solana transfer, the spend of a Bitcoin Taproot output, an Ethereum transaction and the spend of a P2WPKH output, checks everything
// with code none of us wrote, stops all nodes, starts them again and signs again.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/internal/dev"
)

func main() {
	program := flag.String("mpcd", "bin/mpcd", "the program")
	kind := flag.String("hsm", "softhsm", "the nodes' tokens: softhsm, tpm, aws, gcp")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := run(ctx, *program, *kind); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program, kind string) (err error) {
	began := time.Now()
	dir, err := os.MkdirTemp("", "mpcd-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	heading("1. mpcd dev: three nodes, their tokens, keys that none of them holds")
	parts, err := os.MkdirTemp("", "mpcd-hsm-") // short: the names of sockets are
	if err != nil {
		return err
	}
	defer os.RemoveAll(parts)
	h, err := startHardware(kind, parts)
	defer h.stop()
	if err != nil {
		return err
	}
	say("tokens: %s", h.what)
	data := filepath.Join(dir, "cluster")
	c, end, err := start(ctx, program, data, h)
	if err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, end())
		}
	}()
	for _, n := range c.Nodes {
		fmt.Printf("   %s is process %d\n", n.ID, n.PID)
	}
	d := &demo{program: program, dir: dir, cluster: c, client: client.New(client.Config{Nodes: []string{c.API}})}
	heading("2. Solana: sign a transfer with the Ed25519 key")
	solana, err := d.solana(ctx)
	if err != nil {
		return err
	}
	heading("3. Bitcoin: spend a Taproot output with the BIP-340 key")
	if err := d.taproot(ctx); err != nil {
		return err
	}
	heading("4. Ethereum and Bitcoin: sign with an ECDSA key")
	key, err := d.ecdsaKey(ctx)
	if err == nil {
		err = d.ethereum(ctx, key)
	}
	if err == nil {
		err = d.keyHash(ctx, key)
	}
	if err != nil {
		return err
	}
	heading("5. The receipt: evidence that anybody may check offline")
	if err := d.receipt(ctx, solana); err != nil {
		return err
	}
	heading("6. All nodes stop, start again from what they stored, and sign with the same keys")
	ended = true
	if err := end(); err != nil {
		return err
	}
	if c, end, err = start(ctx, program, data, h); err != nil {
		return err
	}
	ended = false
	d.cluster, d.client = c, client.New(client.Config{Nodes: []string{c.API}})
	if _, err := d.solana(ctx); err != nil {
		return err
	}
	if err := d.ethereum(ctx, key); err != nil {
		return err
	}
	heading("7. The end: Ctrl-C")
	ended = true
	if err := end(); err != nil {
		return err
	}
	fmt.Printf("\ndone in %.1f s; the processes, their tokens and their data are gone\n", time.Since(began).Seconds())
	return nil
}

func heading(s string) { fmt.Printf("\n%s\n", s) }

func say(format string, a ...any) { fmt.Printf("   "+format+"\n", a...) }

// start starts the cluster and returns when it is ready. end stops it.
func start(ctx context.Context, program, data string, h hardware) (*dev.Ready, func() error, error) {
	cmd := exec.Command(program, "dev", "-o", "json", "--listen", "127.0.0.1:0", "--data", data, "--hsm", h.uri)
	cmd.Env = append(os.Environ(), h.env...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stderr = &indent{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through us
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("%w; `make build` makes the program", err)
	}
	end := func() error {
		_ = cmd.Process.Signal(os.Interrupt)
		return cmd.Wait()
	}
	stopOnCancel := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(os.Interrupt) })
	line, err := bufio.NewReaderSize(stdout, 1<<16).ReadBytes('\n')
	stopOnCancel()
	var c dev.Ready
	if err == nil {
		err = json.Unmarshal(line, &c)
	}
	if err == nil && len(c.Wallets) != 2 {
		err = fmt.Errorf("%d wallets, want 2", len(c.Wallets))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("mpcd dev did not get ready: %w", err), end())
	}
	return &c, end, nil
}

// indent passes lines on, set in.
type indent struct{ rest string }

func (w *indent) Write(b []byte) (int, error) {
	w.rest += string(b)
	for {
		line, rest, ok := strings.Cut(w.rest, "\n")
		if !ok {
			return len(b), nil
		}
		w.rest = rest
		fmt.Println("   " + line)
	}
}

// demo is a ready cluster and what the steps need.
type demo struct {
	program string
	dir     string
	cluster *dev.Ready
	client  *client.Client
}

// write keeps bytes in a file of the demo's directory.
func (d *demo) write(name string, b []byte) (string, error) {
	path := filepath.Join(d.dir, name)
	return path, os.WriteFile(path, b, 0o600)
}
