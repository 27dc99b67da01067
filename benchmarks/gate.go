package benchmarks

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/address"
	"github.com/luxfi/mpcd/internal/keyfile"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/dkls23"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// gatePolicy wants one approval of each transfer, with a few rules beside that one.
const gatePolicy = `@id("raw") permit (principal, action == Action::"sign-raw", resource);
@id("keys") permit (principal, action in [Action::"keygen", Action::"refresh"], resource);
@id("approved") permit (principal, action == Action::"sign", resource) when { context.what == "send" && context.approvals.bench >= 1 };
@id("large") forbid (principal, action == Action::"sign", resource) when { context.amount.greaterThan(decimal("10.0")) };
@id("large-fee") forbid (principal, action == Action::"sign", resource) when { context has fee && context.fee.greaterThan(decimal("0.1")) };
`

// payments are what a wallet of a kind is asked to sign.
type payments struct {
	nodeScheme
	chain    string
	kind     threshold.KindID
	by       threshold.SchemeID
	transfer func(key []byte, i, salt int64) []byte // as its network writes it; of every i and salt another
	digest   func(transfer []byte) []byte           // what is signed
}

var gateLoads = []payments{
	{nodeSchemes[0], "solana", threshold.Ed25519.ID, threshold.FrostEd25519, solanaTransfer, func(b []byte) []byte { return b }},
	{nodeSchemes[1], "ethereum", threshold.ECDSA.ID, dkls23.Scheme{}.ID(), ethereumTransfer, address.Keccak256},
}

// Gate measures what it costs a cluster that transactions are read, judged by rules and approved by a person, beside the same load of
// messages that are raw, in turns, on one cluster: transfers of Solana and of Ethereum, each signed for by an initiator and an approver.
func Gate(ctx context.Context, o NodeOptions, t, n int) (out []Figure, err error) {
	for _, p := range gateLoads {
		f, err := p.measure(ctx, o, t, n)
		if err != nil {
			return nil, err
		}
		out = append(out, f...)
	}
	return out, nil
}

func (p payments) measure(ctx context.Context, o NodeOptions, t, n int) ([]Figure, error) {
	d, err := startDev(ctx, o.Program, t, n)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	var key keyAnswer
	keygen := map[string]any{"threshold": t, "total": n, "curve": p.curve, "protocol": p.protocol}
	if err := d.post(ctx, "/api/v1/keygen", keygen, &key); err != nil {
		return nil, err
	}
	g, err := d.govern(ctx, p, key)
	if err != nil {
		return nil, err
	}
	plain := p.nodeScheme
	plain.pooled, plain.message = false, func(i, salt int64) []byte { return p.transfer(g.pub, i, salt) }
	plain.verify = func(pub, m, sig []byte) bool { return p.verify(pub, p.digest(m), sig) }
	approved := plain
	plain.ask = func(wallet string, m []byte) any { return p.ask(wallet, p.digest(m)) }
	approved.ask = g.ask
	var rates, cpus [2][]float64
	for range 3 {
		for i, s := range []nodeScheme{plain, approved} {
			l, err := d.load(ctx, s, key, o.Clients, o.Duration/3)
			if err != nil {
				return nil, err
			}
			cpu := 0.0
			for _, c := range l.cpu {
				cpu += c
			}
			rates[i], cpus[i] = append(rates[i], l.rate), append(cpus[i], cpu)
		}
	}
	median := func(of []float64) float64 { slices.Sort(of); return of[len(of)/2] }
	name := fmt.Sprintf("gate %s %d-of-%d ", p.name, t, n)
	note := fmt.Sprintf("%d clients, median of three in turns", o.Clients)
	return []Figure{
		{name + "raw messages", median(rates[0]), "1/s", note},
		{name + "approved transfers", median(rates[1]), "1/s", note},
		{name + "CPU of all nodes, raw messages", median(cpus[0]), "CPU-ms", note},
		{name + "CPU of all nodes, approved transfers", median(cpus[1]), "CPU-ms", note},
		{name + "approved of raw", 100 * median(rates[1]) / median(rates[0]), "%", "what clients sign is made before the time is taken"},
	}, nil
}

// governed is a cluster whose rules want an approval, with the keys of its initiator and approver.
type governed struct {
	payments
	key       threshold.KeyInfo
	pub       []byte
	authority attest.Hash
	initiator *keyfile.Key
	approver  ed25519.PrivateKey
}

// govern gives the cluster of dev an authority with gatePolicy and an approver, and waits until it goes by it.
func (d *devCluster) govern(ctx context.Context, p payments, key keyAnswer) (*governed, error) {
	pub, approver, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(d.ready.Data, "cluster")
	next, rules := filepath.Join(dir, "next.json"), filepath.Join(dir, "gate.cedar")
	if err := os.WriteFile(rules, []byte(gatePolicy), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, d.cmd.Path, "authority", "change", "--from", filepath.Join(dir, "authority.json"), "--to", next,
		"--approver", "bench=0x"+hex.EncodeToString(spki)+":bench", "--policy", rules, "--as", "officer",
		"--key", filepath.Join(dir, "officer.key"))
	if b, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, b)
	}
	b, err := os.ReadFile(next)
	if err != nil {
		return nil, err
	}
	for _, n := range d.ready.Nodes {
		if err := os.WriteFile(filepath.Join(d.ready.Data, n.ID, "authority.json"), b, 0o600); err != nil {
			return nil, err
		}
	}
	root, err := hex.DecodeString(strings.TrimPrefix(d.ready.Root, "0x"))
	if err != nil {
		return nil, err
	}
	chain, err := host.ReadAuthority(next, root)
	if err != nil {
		return nil, err
	}
	g := &governed{payments: p, authority: chain[len(chain)-1].Authority.Digest(), approver: approver}
	if g.pub, err = hex.DecodeString(strings.TrimPrefix(key.PublicKey, "0x")); err != nil {
		return nil, err
	}
	g.key = threshold.KeyInfo{Kind: p.kind, GroupKey: g.pub}
	if k, err := secp256k1.ParsePubKey(g.pub); err == nil {
		g.key.GroupKey = k.SerializeCompressed()
	}
	if g.initiator, err = keyfile.Read(filepath.Join(dir, "initiator.key"), nil); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		var a signAnswer
		err := d.post(ctx, "/api/v1/sign", g.ask(key.WalletID, g.transfer(g.pub, 1, 1)), &a)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return g, errors.Join(err, ctx.Err())
		}
	}
}

// solanaTransfer sends i lamports from a key to another, in a message of its own for each salt.
func solanaTransfer(key []byte, i, salt int64) []byte {
	m := bytes.NewBuffer([]byte{1, 0, 1, 3})
	m.Write(key)
	m.Write(bytes.Repeat([]byte{7}, 32))
	m.Write(make([]byte, 32))                                              // the system program
	m.Write(binary.BigEndian.AppendUint64(make([]byte, 24), uint64(salt))) // the blockhash
	m.Write([]byte{1, 2, 2, 0, 1, 12, 2, 0, 0, 0})
	m.Write(binary.LittleEndian.AppendUint64(nil, uint64(i)))
	return m.Bytes()
}

// ethereumTransfer sends salt wei in a transaction of EIP-1559 with the nonce i.
func ethereumTransfer(_ []byte, i, salt int64) []byte {
	var items []byte
	for _, b := range [][]byte{{1}, big.NewInt(i).Bytes(), {1}, {0x3b, 0x9a, 0xca, 0x00}, {0x52, 0x08}, bytes.Repeat([]byte{7}, 20),
		big.NewInt(salt).Bytes(), {}} { // chain, nonce, tip, fee, gas, to, value, data: RLP of at most 55 bytes each
		if len(b) != 1 || b[0] >= 0x80 {
			items = append(items, 0x80+byte(len(b)))
		}
		items = append(items, b...)
	}
	items = append(items, 0xc0) // no access list
	return append([]byte{2, 0xc0 + byte(len(items))}, items...)
}

// ask is a request for the signature of a transfer, asked for and approved.
func (g *governed) ask(wallet string, transfer []byte) any {
	format := intent.Format("transaction")
	id := sha256.Sum256(transfer)
	in := attest.Intent{Cluster: "dev", Operation: attest.OpSign, RequestID: fmt.Sprintf("bench-%x", id[:16]), KeyID: wallet, Chain: g.chain,
		Authority: g.authority[:], Payload: &attest.Payload{Format: format, Bytes: transfer}, Message: g.digest(transfer),
		Created: time.Now().UnixMilli()}
	until := time.Now().Add(5 * time.Minute)
	var word *attest.Approval
	scheme, err := schemes.ByID(g.by)
	if err == nil {
		in.Initiation, err = in.Initiate("initiator", until, g.initiator.Sign)
	}
	if err == nil {
		decoded, derr := in.Decode(scheme, g.key)
		if err = derr; err == nil {
			word, err = in.Approve(decoded, "bench", until, false, func(m []byte) ([]byte, error) { return ed25519.Sign(g.approver, m), nil })
		}
	}
	if err != nil {
		return json.RawMessage(fmt.Sprintf("%q", err.Error())) // which the node refuses, and shows
	}
	return client.SignRequest{WalletID: wallet, SessionID: in.RequestID, Chain: in.Chain,
		Transaction: &client.Transaction{Format: string(format), Bytes: transfer},
		Initiation:  &wire.Initiation{By: in.Initiation.By, Expires: in.Initiation.Expires, Signature: wire.Hex(in.Initiation.Signature)},
		Approvals:   []client.Approval{{By: word.By, Expires: word.Expires, Signature: wire.Hex(word.Signature)}}}
}
