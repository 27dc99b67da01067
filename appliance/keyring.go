package appliance

import (
	"container/list"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"

	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/vault"
)

// walletRecord is what a node keeps of a key beside its share: public, and the same on every party but for times.
type walletRecord struct {
	Version   uint8             `cbor:"1,keyasint"`
	Info      threshold.KeyInfo `cbor:"2,keyasint"` // Party is 0
	Label     string            `cbor:"3,keyasint,omitempty"`
	Vault     string            `cbor:"4,keyasint,omitempty"`
	State     State             `cbor:"5,keyasint"`
	Created   int64             `cbor:"6,keyasint"` // ms
	SessionID string            `cbor:"7,keyasint,omitempty"`
	Attempts  []attempt         `cbor:"8,keyasint,omitempty"` // refreshes whose shares are staged, ascending
	Pairs     [32]byte          `cbor:"9,keyasint,omitempty"` // digest of the pair state certified, or to be certified, with the key
}

// attempt is one refresh whose share this party has stored and perhaps certified, and whose certificate it has not seen complete.
// Every attempt has an epoch of its own, and what was certified is never discarded but by activating a higher epoch: whoever shows
// its complete certificate, however late, moves all honest parties to it, and no two of them can be led apart.
type attempt struct {
	Epoch uint64   `cbor:"1,keyasint"`
	Pairs [32]byte `cbor:"2,keyasint,omitempty"` // as walletRecord.Pairs
}

// top is the highest epoch this party has a share of, active or staged. The next attempt is above it on every party.
func (r walletRecord) top() uint64 {
	if n := len(r.Attempts); n > 0 {
		return max(r.Info.Epoch, r.Attempts[n-1].Epoch)
	}
	return r.Info.Epoch
}

// waits lists the epochs whose end this party does not know.
func (r walletRecord) waits() []uint64 {
	var out []uint64
	if r.State != StateActive {
		out = append(out, r.Info.Epoch)
	}
	for _, a := range r.Attempts {
		out = append(out, a.Epoch)
	}
	return out
}

// staged returns the record as it was certified with the staged share of the epoch.
func (r walletRecord) staged(epoch uint64) (walletRecord, bool) {
	if r.State == StateStaged && epoch == r.Info.Epoch {
		return r, true
	}
	for _, a := range r.Attempts {
		if a.Epoch == epoch {
			r.Pairs = a.Pairs
			return r, true
		}
	}
	return r, false
}

const walletRecordVersion = 1

func walletKey(id string) []byte  { return []byte("node/wallet/" + id) }
func publicKey(pub []byte) []byte { return append([]byte("node/public/"), pub...) }
func pendingKey(id string) []byte { return []byte("node/pending/" + id) }

// heldShare is an opened key share, shared by the ceremonies that use it.
type heldShare struct {
	id     string
	share  *threshold.KeyShare
	signer threshold.Signer
	scheme threshold.Scheme
	refs   int
	dead   bool // wipe at the last release
	place  *list.Element
}

// keyring finds keys and keeps a bounded number of shares opened.
type keyring struct {
	n *Node

	mu      sync.Mutex
	records map[string]*walletRecord // recently used
	held    map[string]*heldShare    // by id and epoch
	age     *list.List               // of *heldShare, oldest at the back
	pending map[string]bool          // keys that wait for a certificate or a proof
	locked  map[string]bool          // keys whose epoch is being changed
	changed chan struct{}            // closed and made anew when a record changes
}

const recordsMax = 65536

func newKeyring(n *Node) *keyring {
	return &keyring{n: n, records: map[string]*walletRecord{}, held: map[string]*heldShare{}, age: list.New(), pending: map[string]bool{}, locked: map[string]bool{}, changed: make(chan struct{})}
}

// load reads which keys wait for others.
func (k *keyring) load(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.n.Store.Iterate(ctx, pendingKey(""), func(key, _ []byte) error {
		k.pending[strings.TrimPrefix(string(key), string(pendingKey("")))] = true
		return nil
	})
}

func noWallet(id string) error {
	return problem.New(problem.NotFound, "list the wallets of this node, or ask a node that is a party of the key", "no wallet %q on this node", id)
}

// record returns a copy of the wallet's record.
func (k *keyring) record(ctx context.Context, id string) (walletRecord, error) {
	k.mu.Lock()
	if r := k.records[id]; r != nil {
		defer k.mu.Unlock()
		return *r, nil
	}
	k.mu.Unlock()
	if len(id) > 128 {
		return walletRecord{}, noWallet(id[:16] + "…")
	}
	b, err := k.n.Store.Get(ctx, walletKey(id))
	if errors.Is(err, vault.ErrNotFound) {
		return walletRecord{}, noWallet(id)
	}
	if err != nil {
		return walletRecord{}, err
	}
	r, err := decodeWallet(id, b)
	if err != nil {
		return walletRecord{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.records) >= recordsMax {
		clear(k.records)
	}
	k.records[id] = &r
	return r, nil
}

func decodeWallet(id string, b []byte) (walletRecord, error) {
	var r walletRecord
	if err := canon.Unmarshal(b, &r); err != nil {
		return r, &problem.Error{Code: problem.Integrity, Message: fmt.Sprintf("the record of wallet %s is damaged", id), Next: "restore the node's data directory from a good disk", Err: err}
	}
	if r.Version != walletRecordVersion || attest.KeyID(r.Info.Scheme, r.Info.GroupKey) != id {
		return r, problem.New(problem.Integrity, "restore the node's data directory from a good disk", "the record of wallet %s is another wallet's", id)
	}
	return r, nil
}

// lateFor is how long a party waits for its own end of a ceremony that others have already ended.
const lateFor = 2 * time.Second

// recordWhen returns the wallet's record as soon as ok holds of it, or as it is after lateFor. A wallet that is not here is not
// waited for: a party's record is durable before its certificate leaves.
func (k *keyring) recordWhen(ctx context.Context, id string, ok func(walletRecord) bool) (walletRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, lateFor)
	defer cancel()
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		r, err := k.record(context.WithoutCancel(ctx), id)
		if err != nil || ok(r) {
			return r, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return r, err
		}
	}
}

// put stores a record durably and remembers it.
func (k *keyring) put(ctx context.Context, id string, r walletRecord) error {
	r.Version = walletRecordVersion
	r.Info.Party = 0
	puts := []vault.Pair{{Key: walletKey(id), Value: canon.MustMarshal(r)}, {Key: publicKey(outsideKey(r.Info)), Value: []byte(id)}}
	var dels [][]byte
	waits := len(r.waits()) > 0
	if waits {
		puts = append(puts, vault.Pair{Key: pendingKey(id), Value: []byte{1}})
	} else {
		dels = append(dels, pendingKey(id))
	}
	if err := k.n.Store.Batch(ctx, puts, dels); err != nil {
		return fmt.Errorf("appliance: store wallet %s: %w", id, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.records[id]; old != nil && old.Info.Epoch < r.Info.Epoch {
		if h := k.held[heldID(id, old.Info.Epoch)]; h != nil { // opened again since it was retired
			k.drop(h)
		}
	}
	k.n.pool.dropKey(id, r.Info.Epoch)
	k.records[id] = &r
	close(k.changed)
	k.changed = make(chan struct{})
	if waits {
		k.pending[id] = true
	} else {
		delete(k.pending, id)
	}
	return nil
}

// lockRefresh keeps a key's epoch from being changed by two lines at once.
func (k *keyring) lockRefresh(id string) (unlock func(), ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.locked[id] {
		return nil, false
	}
	k.locked[id] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.locked, id)
		close(k.changed)
		k.changed = make(chan struct{})
	}, true
}

// lockRefreshSoon waits up to lateFor for the lock: the change before may be over for others already.
func (k *keyring) lockRefreshSoon(ctx context.Context, id string) (unlock func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, lateFor)
	defer cancel()
	for {
		k.mu.Lock()
		changed := k.changed
		k.mu.Unlock()
		if unlock, ok := k.lockRefresh(id); ok {
			return unlock, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false
		}
	}
}

func (k *keyring) waiting() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := make([]string, 0, len(k.pending))
	for id := range k.pending {
		ids = append(ids, id)
	}
	return ids
}

// find resolves a wallet ID or any valid encoding of a public key to the wallet ID.
func (k *keyring) find(ctx context.Context, id string, pub []byte) (string, error) {
	if id != "" {
		if strings.HasPrefix(id, "w_") {
			return id, nil
		}
		b, err := hex.DecodeString(strings.TrimPrefix(id, "0x"))
		if err != nil {
			return "", noWallet(id)
		}
		pub = b
	}
	for _, form := range [][]byte{pub, uncompressed(pub), xOnly(pub)} {
		if len(form) == 0 {
			continue
		}
		b, err := k.n.Store.Get(ctx, publicKey(form))
		if err == nil {
			return string(b), nil
		}
		if !errors.Is(err, vault.ErrNotFound) {
			return "", err
		}
	}
	return "", problem.New(problem.NotFound, "list the wallets of this node, or ask a node that is a party of the key", "no wallet with public key %x on this node", pub[:min(len(pub), 65)])
}

// xOnly is the 32-byte form of a compressed or uncompressed secp256k1 key, nil for anything else.
func xOnly(pub []byte) []byte {
	switch {
	case len(pub) == 33 && (pub[0] == 2 || pub[0] == 3):
		return pub[1:]
	case len(pub) == 65 && pub[0] == 4:
		return pub[1:33]
	}
	return nil
}

// outsideKey is the public key as chains and users write it.
func outsideKey(info threshold.KeyInfo) []byte {
	switch info.Purpose {
	case threshold.PurposeBIP340:
		return info.GroupKey[1:]
	case threshold.PurposeECDSA:
		return uncompressed(info.GroupKey)
	}
	return info.GroupKey
}

func heldID(id string, epoch uint64) string { return fmt.Sprintf("%s/%d", id, epoch) }

// open returns the active share of a key, opened once through the hardware and kept. The caller releases it.
func (k *keyring) open(ctx context.Context, id string, epoch uint64) (*heldShare, error) {
	name := heldID(id, epoch)
	k.mu.Lock()
	if h := k.held[name]; h != nil {
		h.refs++
		k.age.MoveToFront(h.place)
		k.mu.Unlock()
		return h, nil
	}
	k.mu.Unlock()

	b, meta, err := k.n.Vault.Load(ctx, id)
	if err != nil {
		return nil, &problem.Error{Code: vaultCode(err), Message: "the share of wallet " + id + " cannot be opened", Next: "run mpcd doctor", Err: err}
	}
	defer b.Wipe()
	if meta.Epoch != epoch {
		return nil, problem.New(problem.Conflict, "repeat the request", "wallet %s is at epoch %d, not %d", id, meta.Epoch, epoch)
	}
	scheme, err := k.n.Schemes(threshold.SchemeID(meta.SchemeID))
	if err != nil {
		return nil, err
	}
	share, err := scheme.ParseKeyShare(b.Bytes())
	if err != nil {
		return nil, &problem.Error{Code: problem.Integrity, Message: "the share of wallet " + id + " is damaged", Next: "refresh the key without this node, or restore it", Err: err}
	}
	signer, err := scheme.NewSigner(share)
	if err != nil {
		share.Destroy()
		return nil, err
	}
	return k.hold(id, epoch, &heldShare{id: name, share: share, signer: signer, scheme: scheme})
}

// hold keeps an opened share and lends it, unless its epoch has ended since it was read.
func (k *keyring) hold(id string, epoch uint64, h *heldShare) (*heldShare, error) {
	name := h.id
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.records[id]; r != nil && r.Info.Epoch > epoch {
		h.share.Destroy()
		return nil, problem.New(problem.Conflict, "repeat the request", "wallet %s is at epoch %d, not %d", id, r.Info.Epoch, epoch)
	}
	if other := k.held[name]; other != nil { // another ceremony was faster
		h.share.Destroy()
		other.refs++
		return other, nil
	}
	h.refs = 1
	h.place = k.age.PushFront(h)
	k.held[name] = h
	for e := k.age.Back(); e != nil && k.age.Len() > k.n.Limits.Shares; {
		old := e.Value.(*heldShare)
		e = e.Prev()
		if old.refs == 0 {
			k.drop(old)
		}
	}
	return h, nil
}

// drop forgets a share and wipes it once nobody uses it. The caller holds mu.
func (k *keyring) drop(h *heldShare) {
	if k.held[h.id] == h {
		delete(k.held, h.id)
		k.age.Remove(h.place)
	}
	h.dead = true
	if h.refs == 0 {
		h.share.Destroy()
	}
}

func (k *keyring) release(h *heldShare) {
	if h == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	h.refs--
	if h.dead && h.refs == 0 {
		h.share.Destroy()
	}
}

// retire forgets the share of an epoch that is over.
func (k *keyring) retire(id string, epoch uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.held[heldID(id, epoch)]; h != nil {
		k.drop(h)
	}
}

func (k *keyring) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, h := range k.held {
		k.drop(h)
	}
}

func vaultCode(err error) problem.Code {
	switch {
	case errors.Is(err, vault.ErrIntegrity):
		return problem.Integrity
	case errors.Is(err, vault.ErrNotFound):
		return problem.NotFound
	}
	return problem.HSM
}

// wallet is the record as the outside sees it.
func (n *Node) wallet(id string, r walletRecord) *Wallet {
	curve, protocol := describe(r.Info.Scheme)
	return &Wallet{
		SessionID: r.SessionID, ID: id, Label: r.Label, Vault: r.Vault, Scheme: r.Info.Scheme, Curve: curve, Protocol: protocol,
		PublicKey: outsideKey(r.Info), Threshold: r.Info.Committee.Threshold, Parties: n.nodesOf(r.Info.Committee.Parties),
		Epoch: r.Info.Epoch, State: r.State, Created: time.UnixMilli(r.Created).UTC(),
	}
}

// schemeDKLs23 is named here because the node imports no scheme.
const schemeDKLs23 threshold.SchemeID = "dkls23-secp256k1"

// uncompressed is the 65-byte form (SEC 1 §2.3.3) of a compressed secp256k1 key, nil for anything else.
func uncompressed(pub []byte) []byte {
	if len(pub) != 33 {
		return nil
	}
	k, err := secp256k1.ParsePubKey(pub)
	if err != nil {
		return nil
	}
	return k.SerializeUncompressed()
}

func describe(s threshold.SchemeID) (curve, protocol string) {
	switch s {
	case threshold.FrostEd25519:
		return "ed25519", "frost"
	case threshold.FrostTaproot:
		return "secp256k1", "frost"
	case schemeDKLs23:
		return "secp256k1", "dkls23"
	}
	return "", string(s)
}

// Wallet returns one wallet by ID or public key in hex.
func (n *Node) Wallet(ctx context.Context, idOrKey string) (*Wallet, error) {
	id, err := n.keys.find(ctx, idOrKey, nil)
	if err != nil {
		return nil, err
	}
	r, err := n.keys.record(ctx, id)
	if err != nil {
		return nil, err
	}
	return n.wallet(id, r), nil
}

// Wallets lists wallets in the order of their IDs.
func (n *Node) Wallets(ctx context.Context, p Page) ([]Wallet, string, error) {
	size := pageSize(p)
	var out []Wallet
	next := ""
	stop := errors.New("page is full")
	prefix := walletKey("")
	err := n.Store.Iterate(ctx, prefix, func(key, value []byte) error {
		id := string(key[len(prefix):])
		if id <= p.Token {
			return nil
		}
		if len(out) == size {
			next = out[size-1].ID
			return stop
		}
		r, err := decodeWallet(id, append([]byte(nil), value...))
		if err != nil {
			return err
		}
		out = append(out, *n.wallet(id, r))
		return nil
	})
	if err != nil && !errors.Is(err, stop) {
		return nil, "", err
	}
	return out, next, nil
}

func pageSize(p Page) int {
	if p.Size <= 0 || p.Size > 1000 {
		return 100
	}
	return p.Size
}
