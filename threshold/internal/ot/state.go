package ot

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
	"reflect"

	"github.com/luxfi/mpcd/internal/secret"
)

// The encodings of both states: version, role, the id of the setup, then for the sender Δ and three leaves of each tree, for the receiver
// four leaves of each. Every byte string of the right length and header is a state.
const (
	stateVersion = 1
	roleSender   = 'S'
	roleReceiver = 'R'
	headerLen    = 2 + 32
	senderLen    = headerLen + seedLen + trees*kept*seedLen
	receiverLen  = headerLen + trees*leaves*seedLen
)

// Sender is A's outcome of a pair setup, the state of Alice: Δ and the leaves of the punctured PRF. Calls of Reply may run in parallel;
// Wipe must not run in parallel with anything. The owner calls Wipe.
type Sender struct {
	state *secret.Bytes
	id    [32]byte
	delta element
	prg   [trees][kept]cipher.Block // y-1 -> leaf at y^Δ_j
	spare spare
}

// Receiver is B's outcome of a pair setup, the state of Bob: all leaves. Calls of Start may run in parallel; Wipe must not run in parallel
// with anything. The owner calls Wipe.
type Receiver struct {
	state *secret.Bytes
	id    [32]byte
	prg   [trees][leaves]cipher.Block
	spare spare
}

// newSender takes over an encoding.
func newSender(state *secret.Bytes) *Sender {
	b := state.Bytes()
	s := &Sender{state: state, id: [32]byte(b[2:headerLen]), delta: elementOf(b[headerLen:])}
	for j := range s.prg {
		for y := range kept {
			s.prg[j][y] = newPRG(b[headerLen+seedLen+(j*kept+y)*seedLen:])
		}
	}
	return s
}

func newReceiver(state *secret.Bytes) *Receiver {
	b := state.Bytes()
	r := &Receiver{state: state, id: [32]byte(b[2:headerLen])}
	for j := range r.prg {
		for x := range leaves {
			r.prg[j][x] = newPRG(b[headerLen+(j*leaves+x)*seedLen:])
		}
	}
	return r
}

// ParseSender reads what Sender.Bytes wrote. b stays the caller's, who wipes it.
func ParseSender(b []byte) (*Sender, error) {
	state, err := parseState(b, roleSender, senderLen)
	if err != nil {
		return nil, err
	}
	return newSender(state), nil
}

// ParseReceiver reads what Receiver.Bytes wrote. b stays the caller's, who wipes it.
func ParseReceiver(b []byte) (*Receiver, error) {
	state, err := parseState(b, roleReceiver, receiverLen)
	if err != nil {
		return nil, err
	}
	return newReceiver(state), nil
}

func parseState(b []byte, role byte, want int) (*secret.Bytes, error) {
	switch {
	case len(b) != want:
		return nil, fmt.Errorf("ot: pair state of %d bytes, want %d", len(b), want)
	case b[0] != stateVersion:
		return nil, fmt.Errorf("ot: pair state of version %d, this program reads %d", b[0], stateVersion)
	case b[1] != role:
		return nil, fmt.Errorf("ot: pair state of role %q, want %q", b[1], role)
	}
	state := secret.New(want)
	copy(state.Bytes(), b)
	return state, nil
}

func putHeader(enc []byte, role byte, id *[32]byte) {
	enc[0], enc[1] = stateVersion, role
	copy(enc[2:headerLen], id[:])
}

// putSenderTree stores A's part of tree j: her leaves and two bits of Δ.
func putSenderTree(enc []byte, j int, known *[kept][seedLen]byte, delta byte) {
	enc[headerLen+j/4] |= delta << (softK * (j % 4))
	for y := range kept {
		copy(enc[headerLen+seedLen+(j*kept+y)*seedLen:], known[y][:])
	}
}

// putReceiverTree stores B's leaves of tree j.
func putReceiverTree(enc []byte, j int, t *tree) {
	for x := range leaves {
		copy(enc[headerLen+(j*leaves+x)*seedLen:], t[x][:])
	}
}

// ID is the hash of all messages of the setup, the same on both sides if nobody stood between them. It is public; sign it.
func (s *Sender) ID() [32]byte { return s.id }

// ID is the hash of all messages of the setup, the same on both sides if nobody stood between them. It is public; sign it.
func (r *Receiver) ID() [32]byte { return r.id }

// Bytes encodes the state for sealing. The caller wipes what it is given.
func (s *Sender) Bytes() *secret.Bytes { return cloneSecret(s.state) }

// Bytes encodes the state for sealing. The caller wipes what it is given.
func (r *Receiver) Bytes() *secret.Bytes { return cloneSecret(r.state) }

func cloneSecret(s *secret.Bytes) *secret.Bytes {
	out := secret.New(s.Len())
	copy(out.Bytes(), s.Bytes())
	return out
}

// Wipe destroys the state. It is idempotent, and does nothing on nil.
func (s *Sender) Wipe() {
	if s == nil {
		return
	}
	s.state.Wipe()
	s.delta = element{}
	for j := range s.prg {
		wipePRGs(s.prg[j][:])
	}
}

// Wipe destroys the state. It is idempotent, and does nothing on nil.
func (r *Receiver) Wipe() {
	if r == nil {
		return
	}
	r.state.Wipe()
	for j := range r.prg {
		wipePRGs(r.prg[j][:])
	}
}

// Format redacts under every verb.
func (s *Sender) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Format redacts under every verb.
func (r *Receiver) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// newPRG prepares AES-128 under a leaf. The key schedule is made once for all sessions of the pair.
func newPRG(leaf []byte) cipher.Block {
	b, err := aes.NewCipher(leaf[:seedLen])
	if err != nil {
		panic("ot: " + err.Error())
	}
	return b
}

// wipePRGs zeroes key schedules, whose first words are the leaf itself. crypto/aes has no method for it.
func wipePRGs(prg []cipher.Block) {
	for i, b := range prg {
		if v := reflect.ValueOf(b); v.Kind() == reflect.Pointer {
			v.Elem().SetZero()
		}
		prg[i] = nil
	}
}
