package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/luxfi/mpcd/appliance"
	"github.com/luxfi/mpcd/appliance/problem"
	"github.com/luxfi/mpcd/appliance/transport"
	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/intent"
)

// The bodies of requests, with every spelling that is accepted. What they mean is settled once, by the methods below them.

type keygenBody struct {
	SessionID string  `json:"session_id,omitempty" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" doc:"Idempotency key, as the Idempotency-Key header; made if absent."`
	Threshold int     `json:"threshold,omitempty" minimum:"1" maximum:"255" example:"2" doc:"Signers needed. The cluster's default if absent."`
	Total     parties `json:"total,omitempty" doc:"How many nodes hold shares, the first of the roster, or which."`
	Parties   parties `json:"parties,omitempty" doc:"The same as total."`
	Curve     string  `json:"curve" maxLength:"32" example:"secp256k1" doc:"ed25519 (EdDSA), or secp256k1 (ECDSA, and Bitcoin Taproot with protocol frost)."`
	Protocol  string  `json:"protocol,omitempty" maxLength:"32" example:"dkls23" doc:"ed25519: frost. secp256k1: dkls23 (ECDSA) or frost (Taproot, BIP-340). The curve's usual one if absent: frost, dkls23. The answer says what ran."`
	Purpose   string  `json:"purpose,omitempty" maxLength:"32" doc:"Reserved; must be absent in this build."`
	Label     string  `json:"label,omitempty" maxLength:"128" example:"client-42" doc:"A name for people."`
	Consent
}

type signBody struct {
	SessionID      string           `json:"session_id,omitempty" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" doc:"Idempotency key, as the Idempotency-Key header; made if absent."`
	PublicKey      string           `json:"public_key,omitempty" maxLength:"256" doc:"The key, in hex of any valid encoding; or wallet_id."`
	WalletID       string           `json:"wallet_id,omitempty" maxLength:"256" example:"w_5f1c" doc:"The key, by its name; or public_key."`
	MessageHash    string           `json:"message_hash,omitempty" maxLength:"131074" doc:"Hex of what is signed. ECDSA and BIP-340: the digest that the chain signs, exactly 32 bytes; it is not hashed again. Ed25519: the message itself."`
	Payload        string           `json:"payload,omitempty" maxLength:"131074" doc:"The same as message_hash."`
	Message        string           `json:"message,omitempty" maxLength:"131074" doc:"The same as message_hash."`
	Transaction    *transactionBody `json:"transaction,omitempty" doc:"What is to be signed, as the chain writes it: every signer reads it for itself, and computes the digest. In the place of message_hash, which only an initiator with the grant sign-raw may ask for."`
	DerivationPath *string          `json:"derivation_path,omitempty" maxLength:"2806" example:"m/0/5" doc:"ECDSA only: sign with the key that BIP 32's public derivation gives at this path below the wallet's: indexes below 2^31, none hardened, at most 255. The wallet's own key if absent. GET /api/v1/wallets/{id}/derive shows it."`
	Signers        nodeNames        `json:"signers,omitempty" doc:"Which nodes sign; the node chooses if absent."`
	Chain          string           `json:"chain,omitempty" maxLength:"32" pattern:"^[a-z0-9_-]*$" example:"ethereum" doc:"What the signature is for; stands in the receipt. A name among the wallet's addresses."`
	Consent
}

type refreshBody struct {
	SessionID       string    `json:"session_id,omitempty" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" doc:"Idempotency key, as the Idempotency-Key header; made if absent."`
	PublicKey       string    `json:"public_key,omitempty" maxLength:"256" doc:"The key, in hex of any valid encoding; or wallet_id."`
	WalletID        string    `json:"wallet_id,omitempty" maxLength:"256" doc:"The key, by its name; or public_key."`
	NewThreshold    int       `json:"new_threshold,omitempty" minimum:"1" maximum:"255" doc:"In this build only what it is already."`
	NewTotal        parties   `json:"new_total,omitempty" doc:"In this build only what it is already."`
	NewParties      parties   `json:"new_parties,omitempty" doc:"In this build only the nodes that hold the shares already."`
	NewParticipants parties   `json:"new_participants,omitempty" doc:"The same as new_parties."`
	Release         nodeNames `json:"release,omitempty" doc:"Nodes whose bans by the answering node end with this refresh: their operator has found and removed what made them fail."`
	Consent
}

// reshareBody is refreshBody for a wallet named in the path.
type reshareBody struct {
	SessionID       string    `json:"session_id,omitempty" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" doc:"Idempotency key, as the Idempotency-Key header; made if absent."`
	NewThreshold    int       `json:"new_threshold,omitempty" minimum:"1" maximum:"255" doc:"In this build only what it is already."`
	NewTotal        parties   `json:"new_total,omitempty" doc:"In this build only what it is already."`
	NewParties      parties   `json:"new_parties,omitempty" doc:"In this build only the nodes that hold the shares already."`
	NewParticipants parties   `json:"new_participants,omitempty" doc:"The same as new_parties."`
	Release         nodeNames `json:"release,omitempty" doc:"Nodes whose bans by the answering node end with this refresh: their operator has found and removed what made them fail."`
	Consent
}

// transactionBody is a payload of the chain that the request names.
type transactionBody struct {
	Format string `json:"format" minLength:"1" maxLength:"32" pattern:"^[a-z0-9-]+$" example:"transaction" doc:"How it is written, on the chain that the request names: transaction, message, typed-data, psbt, direct, amino; docs/POLICY.md has them all."`
	Bytes  string `json:"bytes" minLength:"2" maxLength:"131074" doc:"It, in hex."`
	Input  int    `json:"input,omitempty" minimum:"0" maximum:"65535" doc:"Which input is to be signed, of a psbt."`
}

// value is what it means; nil for none.
func (b *transactionBody) value() (*attest.Payload, error) {
	if b == nil {
		return nil, nil
	}
	bytes, err := parseHex(spelled[string]{"transaction.bytes", b.Bytes})
	return &attest.Payload{Format: intent.Format(b.Format), Bytes: bytes, Input: b.Input}, err
}

// initiationBody is an initiator's word: what its signature covers stands in docs/RECEIPTS.md.
type initiationBody struct {
	By        string `json:"by" minLength:"1" maxLength:"63" pattern:"^[a-z0-9][a-z0-9._-]*$" example:"payments" doc:"The initiator's name in the cluster's authority."`
	Expires   int64  `json:"expires_ms" minimum:"1" maximum:"9007199254740991" doc:"Unix time in ms after which no ceremony begins for it; at most a week after the request."`
	Signature string `json:"signature" minLength:"130" maxLength:"130" pattern:"^0x[0-9a-f]{128}$" doc:"64 bytes in hex: Ed25519, or r and s of ECDSA on P-256 with SHA-256."`
}

// value is what it means; nil for none.
func (b *initiationBody) value() (*attest.Initiation, error) {
	if b == nil {
		return nil, nil
	}
	sig, err := parseHex(spelled[string]{"initiation.signature", b.Signature})
	return &attest.Initiation{By: b.By, Expires: b.Expires, Signature: sig}, err
}

// Consent is who signed that a request is wanted, and may be done.
type Consent struct {
	Initiation *initiationBody `json:"initiation,omitempty" doc:"Signature of an initiator of the cluster's authority that it wants this. Outside of dev nothing is done without."`
	Approvals  []ApprovalBody  `json:"approvals,omitempty" nullable:"false" maxItems:"32" doc:"Signatures of approvers of the cluster's authority that it may be done, each by another: where the rules want them."`
}

// ApprovalBody is an approver's word: what its signature covers stands in docs/RECEIPTS.md.
type ApprovalBody struct {
	By        string `json:"by" minLength:"1" maxLength:"63" pattern:"^[a-z0-9][a-z0-9._-]*$" example:"carol" doc:"The approver's name in the cluster's authority."`
	Expires   int64  `json:"expires_ms" minimum:"1" maximum:"9007199254740991" doc:"Unix time in ms after which no ceremony begins with it; at most a week after the request."`
	Signature string `json:"signature" minLength:"130" maxLength:"130" pattern:"^0x[0-9a-f]{128}$" doc:"64 bytes in hex: Ed25519, or r and s of ECDSA on P-256 with SHA-256."`
	// Assertion is of a passkey alone.
	Assertion *assertionBody `json:"assertion,omitempty" doc:"What an authenticator of WebAuthn has signed, where the approver has a passkey: the signature is over it."`
}

type assertionBody struct {
	AuthenticatorData string `json:"authenticator_data" minLength:"76" maxLength:"76" pattern:"^0x[0-9a-f]{74}$" doc:"37 bytes in hex, without extensions."`
	ClientData        string `json:"client_data_json" minLength:"4" maxLength:"2050" pattern:"^0x([0-9a-f]{2})+$" doc:"At most 1,024 bytes in hex, as the browser wrote them."`
}

// value is what it means; at is where it stands in the body, with a dot behind.
func (b ApprovalBody) value(at string) (x attest.Approval, err error) {
	x = attest.Approval{By: b.By, Expires: b.Expires}
	if x.Signature, err = parseHex(spelled[string]{at + "signature", b.Signature}); err != nil || b.Assertion == nil {
		return x, err
	}
	x.Assertion, at = &attest.Assertion{}, at+"assertion."
	x.Assertion.AuthenticatorData, err = parseHex(spelled[string]{at + "authenticator_data", b.Assertion.AuthenticatorData})
	if err == nil {
		x.Assertion.ClientData, err = parseHex(spelled[string]{at + "client_data_json", b.Assertion.ClientData})
	}
	return x, err
}

// value is what it means, of a request with a header.
func (b Consent) value(h http.Header) (c appliance.Consent, err error) {
	if c.Initiation, c.Field, err = headerInitiation(h); err != nil {
		return c, err
	}
	if c.Initiation != nil && b.Initiation != nil {
		return c, invalidField("initiation", "give one of them", "the field initiation and the header %s are both given", attest.InitiationField)
	}
	if c.Initiation == nil {
		if c.Initiation, err = b.Initiation.value(); err != nil {
			return c, err
		}
	}
	for i, x := range b.Approvals {
		at := fmt.Sprintf("approvals[%d]", i)
		word, err := x.value(at + ".")
		if err != nil {
			return c, err
		}
		if slices.ContainsFunc(c.Approvals, func(y attest.Approval) bool { return y.By == x.By }) {
			return c, invalidField(at, "send each approval once", "%s approves twice", x.By)
		}
		c.Approvals = append(c.Approvals, word)
	}
	slices.SortFunc(c.Approvals, func(x, y attest.Approval) int { return strings.Compare(x.By, y.By) })
	if len(c.Approvals) > 0 && c.Initiation == nil {
		return c, invalidField("initiation", "send the request that was approved: with its initiation",
			"approvals of what no initiator has signed")
	}
	return c, nil
}

// proveBody is the body of a request that says everything in its path.
type proveBody struct {
	SessionID string `json:"session_id,omitempty" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" doc:"Accepted and not needed: a proof may be repeated."`
}

// spelled is a value and the field it came from.
type spelled[T any] struct {
	field string
	value T
}

// committee reconciles the spellings of a committee: its size, and its names in the order given, if they were.
func committee(given ...spelled[parties]) (total int, names []transport.NodeID, err error) {
	for _, g := range given {
		if g.value.absent() {
			continue
		}
		n := g.value.count
		if g.value.names != nil {
			if names != nil {
				return 0, nil, invalidField(g.field, "name the nodes once", "%s: the nodes are named already", g.field)
			}
			if names, err = nodes(g.field, g.value.names); err != nil {
				return 0, nil, err
			}
			n = len(names)
		}
		if total != 0 && n != total {
			return 0, nil, invalidField(g.field, "give one of them, or let them agree", "%s says %d nodes, and another field says %d",
				g.field, n, total)
		}
		total = n
	}
	return total, names, nil
}

// nodes checks a list of names: each well formed, none twice.
func nodes(field string, names []string) ([]transport.NodeID, error) {
	out := make([]transport.NodeID, 0, len(names))
	seen := map[transport.NodeID]bool{}
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", field, i)
		id, err := transport.ParseNodeID(name)
		if err != nil {
			return nil, invalidField(at, "see /api/v1/nodes for the names", "%s is not a node's name: 1 to 63 characters of a-z, 0-9, - and _", at)
		}
		if seen[id] {
			return nil, invalidField(at, "name every node once", "%s names %s again", at, id)
		}
		seen[id] = true
		out = append(out, id)
	}
	return out, nil
}

// one returns the one spelling that is present; none is the zero value.
func one(given ...spelled[string]) (spelled[string], error) {
	var found spelled[string]
	for _, g := range given {
		if g.value == "" {
			continue
		}
		if found.field != "" {
			return found, invalidField(g.field, "give one of them", "%s and %s are both given", found.field, g.field)
		}
		found = g
	}
	return found, nil
}

// request is the node's form of a keygen.
func (b keygenBody) request(vault string) (appliance.KeygenRequest, error) {
	r := appliance.KeygenRequest{Threshold: b.Threshold, Curve: b.Curve, Protocol: b.Protocol, Label: b.Label, Group: vault}
	if len(b.Label) > appliance.MaxLabel {
		return r, invalidField("label", "shorten it", "label has %d bytes, at most %d", len(b.Label), appliance.MaxLabel)
	}
	if err := attest.CheckName(b.Label); err != nil {
		return r, invalidField("label", "use letters, digits, signs and single blanks between them", "label %v", err)
	}
	if b.Purpose != "" {
		return r, unsupported("purpose", "leave purpose out", "purpose is not in this build")
	}
	var err error
	r.Total, r.Parties, err = committee(spelled[parties]{"total", b.Total}, spelled[parties]{"parties", b.Parties})
	if err != nil {
		return r, err
	}
	if r.Total != 0 && r.Threshold > r.Total {
		return r, invalidField("threshold", fmt.Sprintf("give a threshold of at most %d, or name more nodes", r.Total),
			"threshold %d is more than the %d nodes that hold shares", r.Threshold, r.Total)
	}
	return r, nil
}

func unsupported(field, next, format string, a ...any) *problem.Error {
	return &problem.Error{Code: problem.Unsupported, Field: field, Next: next, Message: fmt.Sprintf(format, a...)}
}

// unchanged refuses a refresh that would change who holds the shares, or how many must sign.
func (b refreshBody) unchanged(w *appliance.Wallet) error {
	const next = "resharing is not in this build: leave the new_ fields out to refresh the shares within the same committee"
	if b.NewThreshold != 0 && b.NewThreshold != w.Threshold {
		return unsupported("new_threshold", next, "new_threshold %d differs from the wallet's %d", b.NewThreshold, w.Threshold)
	}
	total, names, err := committee(spelled[parties]{"new_total", b.NewTotal}, spelled[parties]{"new_parties", b.NewParties},
		spelled[parties]{"new_participants", b.NewParticipants})
	if err != nil {
		return err
	}
	if total != 0 && total != len(w.Parties) {
		return unsupported("new_total", next, "%d nodes differ from the wallet's %d", total, len(w.Parties))
	}
	held := map[transport.NodeID]bool{}
	for _, p := range w.Parties {
		held[p] = true
	}
	for _, n := range names {
		if !held[n] {
			return unsupported("new_parties", next, "%s holds no share of the wallet", n)
		}
	}
	return nil
}

// parsePath reads a field of a path.
func parsePath(g spelled[string]) ([]uint32, error) {
	path, err := wire.ParsePath(g.value)
	if err != nil {
		return nil, invalidField(g.field, fmt.Sprintf("write it as m/0/5: decimal indexes below 2^31, none hardened, at most %d", wire.MaxPath),
			"%s is not a path below a wallet: %s", g.field, strings.TrimPrefix(err.Error(), "wire: "))
	}
	return path, nil
}

// parseHex reads a field of hex.
func parseHex(g spelled[string]) ([]byte, error) {
	b, err := wire.ParseHex(g.value)
	if err != nil {
		return nil, invalidField(g.field, "write it in hex, with or without 0x", "%s is not hex: %s",
			g.field, strings.TrimPrefix(err.Error(), "wire: "))
	}
	return b, nil
}
