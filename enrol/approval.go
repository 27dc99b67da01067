package enrol

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/luxfi/mpcd/attest"
	"github.com/luxfi/mpcd/client/wire"
	"github.com/luxfi/mpcd/host"
	"github.com/luxfi/mpcd/host/fault"
	"github.com/luxfi/mpcd/intent"
	"github.com/luxfi/mpcd/internal/canon"
	"github.com/luxfi/mpcd/internal/durable"
	"github.com/luxfi/mpcd/policy"
	"github.com/luxfi/mpcd/threshold"
)

// Decision is how an approver decides on an operation, and where his word goes.
type Decision struct {
	By      string // the approver's name
	TTL     time.Duration
	Reject  bool
	Yes     bool   // what it does was read before
	Passkey bool   // a browser on this machine shows it, and has a passkey sign
	Port    uint16 // of the page; 0 for any
	// Files: of the operation, where no node is asked; of the cluster's authority; for his word, in the place of a node; of a word that
	// was written before.
	File, Authority, Out, Bring string
}

// Decide has an approver read an operation, and decide: get asks a node for it, use lends his key, r and w are his terminal.
func (d Decision) Decide(ctx context.Context, id string, get func() (*wire.Operation, error), use func(func(attest.SignFunc) error) error,
	r io.Reader, w io.Writer) (x *wire.Approval, err error) {
	if d.Bring != "" {
		if d.Reject || d.Out != "" || d.Passkey {
			return nil, fault.Usage("give --bring alone: what the approver signed is in the file", "--bring with --reject, --passkey or --out")
		}
		return ReadApproval(d.Bring)
	}
	p, err := ReadPending(id, d.File, get)
	if err == nil && d.Authority != "" {
		err = p.JudgeBy(d.Authority, d.By)
	}
	if err == nil {
		err = d.inTime(p.Intent, time.Now())
	}
	switch {
	case err != nil:
		return nil, err
	case d.Passkey:
		x, err = p.ApproveAtPage(ctx, d, w)
	default:
		if !d.Yes {
			if err := p.Confirm(r, w, d.Reject); err != nil {
				return nil, err
			}
		}
		err = use(func(sign attest.SignFunc) error {
			x, err = p.Approve(d.By, d.TTL, d.Reject, sign)
			return err
		})
	}
	if err == nil && d.Out != "" {
		err = WriteApproval(d.Out, x)
	}
	return x, err
}

// inTime refuses to sign what no node takes: a word that holds no time, or longer than one may, and an approval of what is over.
func (d Decision) inTime(in attest.Intent, now time.Time) error {
	switch {
	case d.TTL <= 0 || d.TTL > attest.MaxInitiation:
		return fault.Usage("give --approver-ttl from 1s to 168h", "the word of an approver that holds %s", d.TTL)
	case !d.Reject && now.UnixMilli() > in.Initiation.Expires:
		return fault.Usage("have its initiator ask again", "the request expired, at %s",
			time.UnixMilli(in.Initiation.Expires).UTC().Format(time.RFC3339))
	}
	return nil
}

// until is when his word ends: as long after now as he says, and no later than a week after the request, which no word outlives.
func until(in attest.Intent, now time.Time, ttl time.Duration) time.Time {
	return time.UnixMilli(min(now.Add(ttl).UnixMilli(), in.Created+attest.MaxInitiation.Milliseconds()))
}

// Pending is an operation as an approver reads it, who believes no node: what it would do is decoded here.
type Pending struct {
	Intent    attest.Intent
	Key       attest.KeyRecord  // the wallet's
	Decoded   *intent.Decoded   // nil where it is a message or digest that nobody can read
	Authority *attest.Authority // that it was judged by; nil before
}

// maxOperation is the largest file of an operation, in bytes.
const maxOperation = 1 << 20

// ReadPending reads an operation from a file, as `mpcd operation show ID -o json` writes it, or where path is "" as get brings it.
func ReadPending(id, path string, get func() (*wire.Operation, error)) (*Pending, error) {
	o := new(wire.Operation)
	var err error
	if path == "" {
		o, err = get()
	} else {
		var b []byte
		if b, err = durable.ReadFile(path, maxOperation); err != nil {
			return nil, err
		}
		if err = canon.UnmarshalJSON(b, o); err != nil {
			err = fault.Usage("write it anew: `mpcd operation show ID -o json`", "%s: %w", path, err)
		}
	}
	if err == nil && o.ID != id {
		err = fault.Usage("give that operation's", "it is operation %.128q", o.ID)
	}
	if err != nil {
		return nil, err
	}
	return ParseOperation(o)
}

// ParseOperation reads an operation. It fails where the message is not what the transaction says, or the key is not the wallet's.
func ParseOperation(o *wire.Operation) (*Pending, error) {
	var p Pending
	err := canon.UnmarshalJSON(o.Intent, &p.Intent)
	if err == nil && (p.Intent.Initiation == nil || !attest.Initiated(p.Intent.Operation) || p.Intent.RequestID != o.ID) {
		err = fmt.Errorf("it is nothing that an initiator has asked for under that name")
	}
	if in := p.Intent; err == nil && (in.Created < 0 || in.Initiation.Expires < in.Created ||
		in.Initiation.Expires-in.Created > attest.MaxInitiation.Milliseconds()) {
		err = fmt.Errorf("it is asked for at a time, or until one, that no request has: %d to %d in Unix milliseconds", in.Created,
			in.Initiation.Expires)
	}
	if err == nil && p.Intent.Operation == attest.OpKeygen {
		err = p.parseKeygen()
	} else if err == nil {
		err = p.parseKey(o.Key)
	}
	if err != nil {
		return nil, fault.Usage("approve nothing that cannot be read: ask another node for the operation", "operation %.128q: %w", o.ID, err)
	}
	return &p, nil
}

// parseKey reads the key that the operation is about, and what is to be done with it.
func (p *Pending) parseKey(key json.RawMessage) error {
	if err := canon.UnmarshalJSON(key, &p.Key); err != nil {
		return err
	}
	if attest.KeyID(p.Key.Kind, p.Key.GroupKey) != p.Intent.KeyID {
		return fmt.Errorf("the key that is shown is not that of wallet %.64q", p.Intent.KeyID)
	}
	if p.Intent.Operation == attest.OpRefresh && (len(p.Intent.Message) > 0 || p.Intent.Payload != nil) {
		return errors.New("a refresh with a message or a transaction")
	}
	var err error
	p.Decoded, err = host.DecodeIntent(p.Intent, p.Key)
	return err
}

// parseKeygen holds what is asked for of a key to be made against the form that it has, as every node does.
func (p *Pending) parseKeygen() error {
	whole := p.Intent
	whole.Node, whole.Approvals = whole.Initiation.By, nil
	if err := whole.Validate(); err != nil {
		return err
	}
	k := p.Intent.Keygen
	if threshold.KindOf(k.Kind).Name == "" {
		return fmt.Errorf("keys of kind %.64q are not known", k.Kind)
	}
	p.Key = attest.KeyRecord{Kind: k.Kind, Parties: p.Intent.Signers, Threshold: k.Threshold} // as rules are asked about it
	return nil
}

// OperationTable lists operations, for people.
func OperationTable(all []wire.Operation) [][]any {
	rows := [][]any{{"OPERATION", "WHAT", "STATE", "ASKED BY", "WALLET", "NEEDS", "APPROVED", "REJECTED", "UNTIL"}}
	for _, x := range all {
		rows = append(rows, []any{x.ID, x.Operation, x.State, x.Initiator, x.WalletID, policy.Needs(x.Needs), quoted(x.Approved),
			quoted(x.Rejected), time.UnixMilli(x.ExpiresMS).UTC().Format(time.RFC3339)})
	}
	return rows
}

// OperationRows show an operation as it is read here, for people.
func OperationRows(x *wire.Operation) [][]any {
	rows := [][]any{{"operation", x.ID}, {"state", x.State, policy.Needs(x.Needs), x.Why},
		{"approved by", cmp.Or(quoted(x.Approved), "nobody")}}
	if len(x.Rejected) > 0 {
		rows = append(rows, []any{"rejected by", quoted(x.Rejected)})
	}
	if x.Operation == string(attest.OpKeygen) && x.WalletID != "" {
		rows = append(rows, []any{"made", x.WalletID})
	}
	if x.ReceiptID != "" {
		rows = append(rows, []any{"receipt", x.ReceiptID})
	}
	p, err := ParseOperation(x)
	if err != nil {
		return append(rows, []any{"WARN", err})
	}
	for _, r := range p.Rows() {
		rows = append(rows, []any{r[0], r[1]})
	}
	return rows
}

// Rows are what an approver reads before he decides: who asks, for what, and what was decoded of it here.
func (p *Pending) Rows() [][2]string {
	in := p.Intent
	rows := [][2]string{{"asked by", fmt.Sprintf("%q of cluster %q", in.Initiation.By, in.Cluster)},
		{"session", fmt.Sprintf("%q", in.RequestID)}}
	if in.Keygen != nil {
		rows = append(rows, p.keygenRows()...)
	} else {
		rows = append(rows, [2]string{"wallet", fmt.Sprintf("%q of vault %q", in.KeyID, in.Vault)})
	}
	if len(in.Path) > 0 {
		rows = append(rows, [2]string{"path", wire.FormatPath(in.Path)})
	}
	switch {
	case p.Decoded != nil:
		rows = append(rows, p.Decoded.Rows()...)
	case in.Operation == attest.OpRefresh:
		rows = append(rows, [2]string{"would", "make the shares of the wallet's key anew; the key stays"})
	case in.Operation == attest.OpSign:
		rows = append(rows, [2]string{"NOT READ",
			fmt.Sprintf("a message or digest of which nobody can tell what it does: %.600s", in.Message)})
	}
	return append(rows, [2]string{"waits until", time.UnixMilli(in.Initiation.Expires).UTC().Format(time.RFC3339)},
		[2]string{"authority", in.Authority.String()})
}

// keygenRows say which key is to be made.
func (p *Pending) keygenRows() [][2]string {
	in, k := p.Intent, p.Intent.Keygen
	kind := threshold.KindOf(k.Kind)
	who := fmt.Sprintf("the first %d of the roster", len(in.Signers))
	if len(k.Nodes) > 0 {
		who = strings.Join(k.Nodes, ", ")
	}
	return [][2]string{{"would", "make a new key"}, {"label", fmt.Sprintf("%q", k.Label)}, {"vault", fmt.Sprintf("%q", k.Group)},
		{"key", fmt.Sprintf("%s on %s, by %q", kind.Name, kind.Curve, in.Scheme)},
		{"threshold", fmt.Sprintf("%d of %d", k.Threshold, len(in.Signers))},
		{"parties", fmt.Sprintf("%s; numbers %s", who, strings.Trim(fmt.Sprint(in.Signers), "[]"))}}
}

// JudgeBy holds the operation against an authority in a file: it is the one it is under, its initiator asked for it, and the approver is
// one of it.
func (p *Pending) JudgeBy(path, approver string) error {
	c, err := ReadChain(path)
	if err != nil {
		return err
	}
	a := c[len(c)-1].Authority
	if in, digest := p.Intent.Authority.String(), a.Digest().String(); in != digest {
		return fault.Usage("get the authority in force from a node", "the operation is under authority %.80s, that of serial %d in %s is %s",
			in, a.Serial, path, digest)
	}
	if err := a.CheckInitiation(p.Intent, time.Now()); err != nil {
		return fault.Usage("approve nothing that no initiator has asked for", "%w", err)
	}
	if _, ok := a.Approver(approver); !ok {
		return fault.Usage("`mpcd authority show` has its approvers", "the authority has no approver %.64q", approver)
	}
	p.Authority = &a
	return nil
}

// show writes what is decided.
func (p *Pending) show(w io.Writer) {
	for _, x := range p.Rows() {
		fmt.Fprintf(w, "%-12s %s\n", x[0], x[1])
	}
}

// Confirm shows what is decided to w, and asks whoever types into r for the word.
func (p *Pending) Confirm(r io.Reader, w io.Writer, reject bool) error {
	p.show(w)
	word := "approve"
	if reject {
		word = "reject"
	}
	fmt.Fprintf(w, "Type %s to %s this: ", word, word)
	line, err := bufio.NewReader(io.LimitReader(r, 64)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != word {
		return fault.Usage("read what it does, and type the word; or give --yes", "nothing was signed: %q was not typed", word)
	}
	return nil
}

// Approve signs that the operation may be done, or with rejects that it may not, in an approver's name.
func (p *Pending) Approve(by string, ttl time.Duration, rejects bool, sign attest.SignFunc) (*wire.Approval, error) {
	x, err := p.Intent.Approve(p.Decoded, by, until(p.Intent, time.Now(), ttl), rejects, sign)
	if err != nil {
		return nil, err
	}
	return wireApproval(x), nil
}

// wireApproval is an approval as the API takes it.
func wireApproval(x *attest.Approval) *wire.Approval {
	out := &wire.Approval{By: x.By, Expires: x.Expires, Signature: wire.Hex(x.Signature), Rejects: x.Rejects}
	if a := x.Assertion; a != nil {
		out.Assertion = &wire.Assertion{AuthenticatorData: wire.Hex(a.AuthenticatorData), ClientData: wire.Hex(a.ClientData)}
	}
	return out
}

// WriteApproval writes an approval into a file that is not there yet.
func WriteApproval(path string, x *wire.Approval) error {
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return fault.Usage("name a file that is not there yet", "%s is there already, or cannot be: %v", path, err)
	}
	return durable.WriteFile(path, append(b, '\n'), 0o644)
}

// ReadApproval reads what `mpcd approve --out` wrote.
func ReadApproval(path string) (*wire.Approval, error) {
	b, err := durable.ReadFile(path, maxOperation)
	if err != nil {
		return nil, err
	}
	var x wire.Approval
	if err := canon.UnmarshalJSON(b, &x); err != nil {
		return nil, fault.Usage("give what `mpcd approve --out FILE` wrote", "%s is no approval: %w", path, err)
	}
	return &x, nil
}
