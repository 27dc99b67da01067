// Goal: the setup gives A all leaves but those at Δ, and B's lies are caught. Method: honest runs by leaf; then every field of both
// messages changed, on the border (C3, C5) and within (C6).
package ot

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

func TestSetup(t *testing.T) {
	h := theHandshake()
	s, r := thePair()
	if len(h.msg1) != MsgSetup1Len || len(h.msg2) != MsgSetup2Len {
		t.Fatalf("messages of %d and %d bytes", len(h.msg1), len(h.msg2))
	}
	if s.ID() != r.ID() || s.ID() == [32]byte{} {
		t.Error("the two sides name the setup differently")
	}
	if ones := checkLeaves(t, s, r); ones < 40 || ones > 88 {
		t.Errorf("%d of 128 bits of Δ are set", ones)
	}
	other, err := newHandshake("other pair")
	if err != nil {
		t.Fatal(err)
	}
	s2, err := other.setup.Finish(other.msg2)
	if err != nil {
		t.Fatal(err)
	}
	if s2.delta == s.delta || s2.ID() == s.ID() {
		t.Error("two setups share Δ or name")
	}
	checkLeaves(t, s2, other.receiver)
}

// checkLeaves holds A's leaves to B's and counts the bits of Δ.
func checkLeaves(t *testing.T, s *Sender, r *Receiver) (ones int) {
	t.Helper()
	mine, theirs := s.state.Bytes(), r.state.Bytes()
	for j := range trees {
		d := deltaOf(s, j)
		ones += d&1 + d>>1
		for y := 1; y < leaves; y++ {
			a := mine[headerLen+seedLen+(j*kept+y-1)*seedLen:][:seedLen]
			b := theirs[headerLen+(j*leaves+y^d)*seedLen:][:seedLen]
			if !bytes.Equal(a, b) {
				t.Errorf("tree %d, leaf %d^%d differs", j, y, d)
			}
		}
		missing := theirs[headerLen+(j*leaves+d)*seedLen:][:seedLen]
		if bytes.Contains(mine, missing) {
			t.Errorf("tree %d: A knows the leaf at Δ", j)
		}
	}
	return ones
}

// TestSetupLengths is C3.
func TestSetupLengths(t *testing.T) {
	h := theHandshake()
	for _, l := range []int{0, 1, point, MsgSetup1Len - 1, MsgSetup1Len + 1, MsgSetup2Len, 1 << 20} {
		_, _, err := RespondSetup(sidOf("pair"), resized(h.msg1, l), newSeeded(""))
		wantError(t, "first message", err, ErrMalformed)
	}
	for _, l := range []int{0, 1, MsgSetup1Len, MsgSetup2Len - 1, MsgSetup2Len + 1, 1 << 20} {
		_, err := h.again().Finish(resized(h.msg2, l))
		wantError(t, "answer", err, ErrMalformed)
	}
}

// TestSetupPoints is C5, for the first, some and the last of the points of both messages.
func TestSetupPoints(t *testing.T) {
	h := theHandshake()
	fieldP := bytes.Repeat([]byte{255}, 33)
	fieldP[0] = 2
	offCurve := make([]byte, point)
	offCurve[0], offCurve[32] = 2, 5
	prefix := secp256k1.NewGenerator().Bytes()
	prefix[0] = 4
	for what, bad := range map[string][]byte{"zeros": make([]byte, point), "x above p": fieldP, "x off the curve": offCurve,
		"wrong prefix": prefix} {
		for _, k := range []int{0, 1, 100, 2*baseOTs - 2, 2*baseOTs - 1} {
			m1, m2 := bytes.Clone(h.msg1), bytes.Clone(h.msg2)
			copy(m1[k*point:], bad)
			copy(m2[k*point:], bad)
			_, _, err := RespondSetup(sidOf("pair"), m1, newSeeded(""))
			wantError(t, fmt.Sprintf("R %d %s", k, what), err, ErrMalformed)
			_, err = h.again().Finish(m2)
			wantError(t, fmt.Sprintf("B %d %s", k, what), err, ErrMalformed)
		}
	}
}

// TestSetupIdentity makes A_b the identity by R_b = -Hc_b(R_{1-b}): B would use a key that everybody knows.
func TestSetupIdentity(t *testing.T) {
	sid := sidOf("pair")
	for _, i := range []int{0, 77, baseOTs - 1} {
		for b := range 2 {
			bad := bytes.Clone(theHandshake().msg1)
			pair := [2][]byte{}
			pair[0], pair[1] = pairOf(bad, i)
			hash := endemicHash(&sid, i, byte(b), pair[1-b])
			copy(pair[b], hash.Negate(hash).Bytes())
			_, _, err := RespondSetup(sid, bad, newSeeded(""))
			wantError(t, fmt.Sprintf("A_%d of transfer %d", b, i), err, ErrMalformed)
		}
	}
}

// TestPPRFProof is C6. What A does not use cannot be noticed: a correction t_z with z not her second choice, a base answer she did not
// choose.
func TestPPRFProof(t *testing.T) {
	h := theHandshake()
	honest, _ := thePair()
	for j := range trees {
		c0, c1 := int(h.setup.o.choice[2*j]), int(h.setup.o.choice[2*j+1])
		base := 8 * (baseOTs*2*point + j*treeLen)
		for _, f := range []struct {
			what     string
			bit      int
			harmless bool
		}{
			{"t_0", base + j, c1 != 0},
			{"t_1", base + 8*seedLen + j, c1 != 1},
			{"t~", base + 16*seedLen + j, false},
			{"t~, second half", base + 16*seedLen + 8*digest + j, false},
			{"s~", base + 16*seedLen + 8*halfH + j, false},
			{"B_0 of the first", 16 * j * 2 * point, c0 != 0}, // the parity of y: -B_0 is a point too
			{"B_1 of the first", 16*j*2*point + 8*point, c0 != 1},
			{"B_0 of the second", 16*(2*j+1)*point + 0, c1 != 0},
			{"B_1 of the second", 16*(2*j+1)*point + 8*point, c1 != 1},
		} {
			if j%8 != 0 && f.what[0] == 'B' {
				continue // the points cost milliseconds
			}
			s, err := finishTree(h, flipped(h.msg2, f.bit), j)
			if f.harmless {
				if err != nil || s != nil && s.delta != honest.delta {
					t.Errorf("tree %d, %s: an unused field is judged: %v", j, f.what, err)
				}
				continue
			}
			wantError(t, fmt.Sprintf("tree %d, %s", j, f.what), err, ErrCheat)
		}
	}
}

// finishTree is Finish, or where only tree j changed, its judgement of that tree alone.
func finishTree(h handshake, msg2 []byte, j int) (*Sender, error) {
	if j%16 == 0 {
		return h.again().Finish(msg2)
	}
	keys, err := h.setup.o.finish(&h.setup.sid, h.msg1, msg2)
	if err != nil {
		return nil, err
	}
	if _, _, ok := punctureTree(&h.setup.sid, j, &h.setup.o.choice, keys, treeOf(msg2, j)); ok != 1 {
		return nil, cheat("tree")
	}
	return nil, nil
}

// TestSetupWrongSession splices setups: another sid, the other direction, another run.
func TestSetupWrongSession(t *testing.T) {
	h := theHandshake()
	_, msg2, err := RespondSetup(sidOf("the other direction"), h.msg1, newSeeded("B"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.again().Finish(msg2)
	wantError(t, "swapped direction", err, ErrCheat)

	other, err := newHandshake("spliced")
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.again().Finish(other.msg2)
	wantError(t, "answer to another setup", err, ErrCheat)
	_, msg2, err = RespondSetup(sidOf("pair"), other.msg1, newSeeded("B"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.again().Finish(msg2)
	wantError(t, "answer to another first message", err, ErrCheat)
}

func TestSetupSpent(t *testing.T) {
	h := theHandshake()
	s := h.again()
	if _, err := s.Finish(flipped(h.msg2, 8*MsgSetup2Len-1)); !errors.Is(err, ErrCheat) {
		t.Fatal(err)
	}
	if *s.o != (oblivious{}) {
		t.Error("the choice bits are not wiped")
	}
	if _, err := s.Finish(h.msg2); !errors.Is(err, ErrSpent) {
		t.Errorf("used after a failure: %v", err)
	}
	s = h.again()
	s.Wipe()
	s.Wipe()
	if _, err := s.Finish(h.msg2); !errors.Is(err, ErrSpent) || *s.o != (oblivious{}) {
		t.Errorf("used after Wipe: %v", err)
	}
	(*Setup)(nil).Wipe()
}

func TestSetupShortRandomness(t *testing.T) {
	for _, l := range []int{0, 15, 16, 100} {
		if _, _, err := NewSetup([32]byte{}, bytes.NewReader(make([]byte, l))); err == nil {
			t.Errorf("NewSetup with %d random bytes", l)
		}
		if _, _, err := RespondSetup(sidOf("pair"), theHandshake().msg1, bytes.NewReader(make([]byte, l))); err == nil {
			t.Errorf("RespondSetup with %d random bytes", l)
		}
	}
}
