package api

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/audit"
	"github.com/luxfi/mpcd/appliance/keys"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// fake is the node's seam: it remembers what it was asked, and answers from memory, idempotently as Backend demands.
type fake struct {
	mu       sync.Mutex
	keygens  []appliance.KeygenRequest
	signs    []appliance.SignRequest
	renewals []appliance.RefreshRequest
	proofs   []string
	paths    [][]uint32 // of Derive
	pages    []appliance.Page
	words    []attest.Approval
	freezes  []appliance.FreezeRequest
	sessions map[string][32]byte
	ready    appliance.Readiness
	err      error         // every act fails with it
	over     bool          // the operation is
	changed  chan struct{} // tells who follows it
	followed atomic.Int64  // by how many it is
	panics   any           // every act panics with it
	hold     chan struct{} // every act waits for it to close, or for the request to end
	entered  chan struct{} // every act sends to it before it waits
}

var (
	edSeed   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	edPublic = []byte(edSeed.Public().(ed25519.PublicKey))
	taproot  = unhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	ecSecret = secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{2}, 32))
	ecPublic = ecSecret.PubKey().SerializeUncompressed()
	three    = []transport.NodeID{"node1", "node2", "node3"}
	born     = time.UnixMilli(1_700_000_000_000).UTC()
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func edWallet() *appliance.Wallet {
	return &appliance.Wallet{SessionID: "made", ID: "w_ed", Kind: threshold.Ed25519, Protocol: "frost", PublicKey: edPublic,
		Threshold: 2, Parties: three, State: keys.Active, Created: born}
}

func tapWallet() *appliance.Wallet {
	return &appliance.Wallet{SessionID: "made", ID: "w_tap", Kind: threshold.BIP340, Protocol: "frost", PublicKey: taproot,
		Threshold: 2, Parties: three, State: keys.Active, Created: born}
}

func ecWallet() *appliance.Wallet {
	return &appliance.Wallet{SessionID: "made", ID: "w_ec", Kind: threshold.ECDSA, Protocol: "dkls23", PublicKey: ecPublic,
		Threshold: 2, Parties: three, State: keys.Active, Created: born}
}

// ecChild is the key at the path below the ECDSA wallet's, whose chain code is zero: here its secret is known.
func ecChild(path []uint32) (*secp256k1.PrivateKey, error) {
	k := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPrivateKeyID[:], ecSecret.Serialize(), make([]byte, 32),
		make([]byte, 4), 0, 0, true)
	for _, index := range path {
		var err error
		if k, err = k.Derive(index); err != nil {
			return nil, err
		}
	}
	secret, err := k.ECPrivKey()
	if err != nil {
		return nil, err
	}
	return secp256k1.PrivKeyFromBytes(secret.Serialize()), nil
}

// noChildren is what the node says of a path below another wallet.
func noChildren() error {
	return &problem.Error{Code: problem.Unsupported, Field: "derivation_path", Message: "no key below this one", Next: "Leave the path out."}
}

func (f *fake) Derive(ctx context.Context, id string, path []uint32) (*appliance.Child, error) {
	f.mu.Lock()
	f.paths = append(f.paths, path)
	f.mu.Unlock()
	if err := f.act(ctx, "", [32]byte{}); err != nil {
		return nil, err
	}
	if id != "w_ec" {
		return nil, noChildren()
	}
	secret, err := ecChild(path)
	if err != nil {
		return nil, err
	}
	return &appliance.Child{WalletID: id, Path: path, PublicKey: secret.PubKey().SerializeUncompressed()}, nil
}

// ecSign is what the node answers for an ECDSA wallet: r || s and the recovery id.
func ecSign(secret *secp256k1.PrivateKey, digest []byte) ([]byte, int) {
	compact := ecdsa.SignCompact(secret, digest, false)
	return compact[1:], int(compact[0]) - 27
}

func newFake() *fake {
	return &fake{sessions: map[string][32]byte{},
		ready: appliance.Readiness{Ready: true, Checks: []appliance.Check{{Name: "token", OK: true}}}}
}

func (f *fake) act(ctx context.Context, session string, hash [32]byte) error {
	if f.entered != nil {
		f.entered <- struct{}{}
	}
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if f.panics != nil {
		panic(f.panics)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.sessions[session]; ok && session != "" && old != hash {
		return &problem.Error{Code: problem.Conflict, Field: "session_id", Message: "session " + session + " was another request",
			Next: "Use a new session_id."}
	}
	f.sessions[session] = hash
	return f.err
}

func (f *fake) Keygen(ctx context.Context, r appliance.KeygenRequest) (*appliance.Wallet, error) {
	if _, err := schemes.For(r.Curve, r.Protocol); err != nil {
		return nil, appliance.NoScheme(err)
	}
	f.keygens = append(f.keygens, r)
	if err := f.act(ctx, r.SessionID, r.BodyHash); err != nil {
		return nil, err
	}
	w := edWallet()
	switch {
	case r.Curve == "secp256k1" && r.Protocol == "frost":
		w = tapWallet()
	case r.Curve == "secp256k1":
		w = ecWallet()
	}
	w.SessionID, w.Label, w.Group = r.SessionID, r.Label, r.Group
	return w, nil
}

func (f *fake) Sign(ctx context.Context, r appliance.SignRequest) (*appliance.Signature, error) {
	f.mu.Lock()
	f.signs = append(f.signs, r)
	f.mu.Unlock()
	if err := f.act(ctx, r.SessionID, r.BodyHash); err != nil {
		return nil, err
	}
	if r.WalletID == "w_ec" {
		secret, err := ecChild(r.Path)
		if err != nil {
			return nil, err
		}
		sig, id := ecSign(secret, r.Message)
		return &appliance.Signature{SessionID: r.SessionID, WalletID: r.WalletID, Path: r.Path,
			PublicKey: secret.PubKey().SerializeUncompressed(), Bytes: sig, RecoveryID: id, Signers: three[:2], ReceiptID: "r_1"}, nil
	}
	if len(r.Path) > 0 {
		return nil, noChildren()
	}
	return &appliance.Signature{SessionID: r.SessionID, WalletID: r.WalletID, PublicKey: edPublic, Bytes: ed25519.Sign(edSeed, r.Message),
		RecoveryID: -1, Signers: three[:2], ReceiptID: "r_1"}, nil
}

func (f *fake) Refresh(ctx context.Context, r appliance.RefreshRequest) (*appliance.Wallet, error) {
	f.renewals = append(f.renewals, r)
	if err := f.act(ctx, r.SessionID, r.BodyHash); err != nil {
		return nil, err
	}
	w, err := f.Wallet(ctx, r.WalletID)
	if err == nil {
		w.Epoch, w.SessionID = 1, r.SessionID
	}
	return w, err
}

func (f *fake) ProveThreshold(ctx context.Context, id string) (*appliance.Wallet, error) {
	f.proofs = append(f.proofs, id)
	if err := f.act(ctx, "", [32]byte{}); err != nil {
		return nil, err
	}
	return f.Wallet(ctx, id)
}

func (f *fake) Wallet(_ context.Context, name string) (*appliance.Wallet, error) {
	key, _ := hex.DecodeString(name)
	for _, w := range []*appliance.Wallet{edWallet(), tapWallet(), ecWallet()} {
		if name == w.ID || bytes.Equal(w.Kind.Shown(key), w.PublicKey) {
			return w, nil
		}
	}
	return nil, &problem.Error{Code: problem.NotFound, Message: "no such wallet on this node", Next: "List them with GET /api/v1/wallets."}
}

func (f *fake) Wallets(_ context.Context, p appliance.Page) ([]appliance.Wallet, string, error) {
	f.pages = append(f.pages, p)
	if slices.Equal(p.Vaults, []string{"nobodys"}) {
		return nil, "", f.err
	}
	return []appliance.Wallet{*edWallet(), *tapWallet()}, "more", f.err
}

func (f *fake) Nodes() []appliance.NodeStatus {
	return []appliance.NodeStatus{{ID: "node1", Party: 1, Self: true, Live: true}, {ID: "node2", Party: 2, LastSeen: born, Accused: true}}
}

func (f *fake) Receipt(_ context.Context, id string) (*attest.Receipt, error) {
	if id != "r_1" {
		return nil, &problem.Error{Code: problem.NotFound, Message: "no such receipt"}
	}
	return &attest.Receipt{ID: id, Cluster: "test"}, nil
}

// waiting is an operation that waits for the treasury.
func waiting() appliance.Operation {
	return appliance.Operation{State: appliance.PendingApproval, Needs: map[string]int{"treasury": 2}, Key: threshold.KeyInfo{Kind: "ed25519",
		GroupKey: edPublic}, Intent: attest.Intent{Version: attest.IntentVersion, Cluster: "c", Operation: attest.OpSign, RequestID: "s1",
		KeyID: "w_ed", Message: attest.Hex("m"), Initiation: &attest.Initiation{By: "payments", Expires: 7, Signature: make(attest.Hex, 64)},
		Approvals: []attest.Approval{{By: "ann", Expires: 7, Signature: make(attest.Hex, 64)}}},
		Rejected: []attest.Approval{{By: "ben", Expires: 7, Signature: make(attest.Hex, 64), Rejects: true}}}
}

func (f *fake) Operation(_ context.Context, session string) (*appliance.Operation, error) {
	if o := waiting(); session == "s1" {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.over {
			o.State, o.ReceiptID, o.Needs = appliance.Succeeded, "r_1", nil
		}
		o.Intent.Created = time.Now().UnixNano()
		return &o, f.err
	}
	return nil, problem.New(problem.NotFound, "", "no operation %q", session)
}

func (f *fake) Operations(_ context.Context, state appliance.OperationState) ([]appliance.Operation, error) {
	if state != "" && state != appliance.PendingApproval {
		return nil, f.err
	}
	return []appliance.Operation{waiting()}, f.err
}

func (f *fake) Later(_ context.Context, q appliance.Request) (*appliance.Operation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, sign := q.(appliance.SignRequest)
	if sign && r.Initiation == nil {
		return nil, f.err
	}
	o := waiting()
	if o.State = appliance.Running; f.over {
		o.State = appliance.Succeeded
	}
	o.Intent.RequestID = r.SessionID
	return &o, f.err
}

func (f *fake) Follow(string) (<-chan struct{}, func()) {
	f.followed.Add(1)
	return f.changed, func() { f.followed.Add(-1) }
}

func (f *fake) Approve(ctx context.Context, session string, x attest.Approval) (*appliance.Operation, error) {
	f.words = append(f.words, x)
	return f.Operation(ctx, session)
}

func (f *fake) Cancel(ctx context.Context, session string, signature []byte) (*appliance.Operation, error) {
	f.words = append(f.words, attest.Approval{Signature: signature})
	return f.Operation(ctx, session)
}

// frozen is a freeze of vault own.
func frozen() *appliance.FreezeState {
	return &appliance.FreezeState{Freeze: attest.Freeze{Version: 1, Cluster: "c", Node: "node1", Scope: attest.ScopeVault, Name: "own",
		Reason: "a theft", Created: 7, Nonce: make([]byte, 16)}}
}

func (f *fake) Freeze(ctx context.Context, r appliance.FreezeRequest) (*appliance.FreezeState, error) {
	f.freezes = append(f.freezes, r)
	return frozen(), f.err
}

func (f *fake) Freezes(context.Context) ([]appliance.FreezeState, error) {
	return []appliance.FreezeState{*frozen()}, f.err
}

func (f *fake) Thaw(_ context.Context, id attest.Hash, s []attest.AuthoritySignature) (*appliance.FreezeState, error) {
	x := frozen()
	if id != x.Freeze.Digest() {
		return nil, problem.New(problem.NotFound, "", "no freeze")
	}
	x.Thaw = &attest.SignedThaw{Signatures: s}
	return x, f.err
}

func (f *fake) Audit(_ context.Context, p appliance.Page) ([]audit.Entry, string, error) {
	f.pages = append(f.pages, p)
	return []audit.Entry{{Seq: 7, Time: 1, Node: "node1", Event: "sign"}}, "", f.err
}

func (f *fake) Checkpoints(context.Context) ([]appliance.Checkpoint, error) {
	return []appliance.Checkpoint{{Node: "node1", Entries: 7, Note: []byte("a note")}}, f.err
}

func (f *fake) Readiness() appliance.Readiness { return f.ready }
func (f *fake) Version() string                { return "v1.2.3" }

// call sends one request from this machine and returns the answer.
func send(t testing.TB, h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8080"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4711"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		if header[i] == "RemoteAddr" {
			r.RemoteAddr = header[i+1]
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func devServer(f *fake) http.Handler { return New(Config{Backend: f, Dev: true}) }

// decode reads the answer's JSON.
func decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return v
}

// wantProblem checks that the answer is a complete RFC 9457 problem of the status and code.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, status int, code string) wire.Problem {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != wire.ProblemType {
		t.Errorf("got %d %s %s, want problem %d", w.Code, w.Header().Get("Content-Type"), w.Body, status)
		return wire.Problem{}
	}
	p := decode[wire.Problem](t, w)
	if p.Code != code || p.Status != status || p.Title == "" || p.Detail == "" || p.Type != "/docs#error-"+code ||
		p.Instance != "urn:uuid:"+w.Header().Get("X-Request-Id") {
		t.Errorf("got %+v, want a whole problem with code %s", p, code)
	}
	retry := status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && p.Retryable
	if retry != (w.Header().Get("Retry-After") != "") {
		t.Errorf("%d with Retry-After %q", status, w.Header().Get("Retry-After"))
	}
	return p
}

// logTo is a logger for tests.
func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }
