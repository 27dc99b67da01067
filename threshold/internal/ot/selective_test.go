// Goal: guessing secrets by provoked failures is caught as often as the guess is wrong (PROTOCOLS A.5, "don't overextend your OT"). Method:
// both cheaters, written out: Bob guesses bits of Δ, Alice guesses bits of β; a wrong guess must be ErrCheat, a right one goes through.
package ot

import (
	"testing"

	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// cheatingStart is Start with U_i changed by e and t~ adjusted as if Δ_i were guess.
func cheatingStart(r *Receiver, sid [32]byte, i int, e *row, guess int) (msg1 []byte, t columns, choice row) {
	rand := newSeeded("cheat")
	var random [rowLen]byte
	rand.Read(random[:])
	choice.setBytes(random[:])
	msg1 = make([]byte, Msg1Len)
	rand.Read(msg1[:saltLen])
	key := sessionKey(&sid, msg1[:saltLen])
	u := msg1[offU:offClaim]
	var v [rows]row
	r.expand(&key, &choice, &v, u)

	var ui row
	ui.setBytes(u[i*rowLen : (i+1)*rowLen])
	ui.xor(e)
	ui.putBytes(u[i*rowLen : (i+1)*rowLen])

	check := newCheckHash(&key, u)
	check.of(&choice).put(msg1[offClaim:])
	error := check.of(e)
	for k := range v {
		claim := check.of(&v[k])
		if k/softK == i && guess>>(k%softK)&1 == 1 {
			claim.lo ^= error.lo
			claim.hi ^= error.hi
		}
		claim.put(msg1[offClaim+16*(k+1):])
	}
	t.setRows(&v)
	return msg1, t, choice
}

// deltaOf is Δ_i, 0 to 3.
func deltaOf(s *Sender, i int) int {
	return int(s.deltaMask(softK*i)&1 | s.deltaMask(softK*i+1)&2)
}

// TestFlippedRows flips bits of each row of U and nothing else. χ follows from U, so that x~ and t~ are stale and even Δ_i = 0 sees it.
func TestFlippedRows(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "flipped")
	for i := range trees {
		for _, bit := range []int{i, xi - 1, 8 * dataLen, 8*rowLen - 1} {
			_, err := n.reply(flipped(n.msg1, 8*(offU+i*rowLen)+bit))
			wantError(t, "flipped row", err, ErrCheat)
		}
	}
}

// TestBobGuessesDelta makes all four guesses for every row.
func TestBobGuessesDelta(t *testing.T) {
	s, r := thePair()
	sid, a := sidOf("guess"), inputs("guess")
	var seen [leaves]int
	for i := range trees {
		var e row
		e.data[i%words] = 1 << (i % 32)
		seen[deltaOf(s, i)]++
		for guess := range leaves {
			msg1, columns, choice := cheatingStart(r, sid, i, &e, guess)
			c, msg2, err := s.Reply(sid, msg1, a, newSeeded("Alice"))
			if guess != deltaOf(s, i) {
				wantError(t, "wrong guess", err, ErrCheat)
				continue
			}
			if err != nil {
				t.Fatalf("row %d: the right guess is caught: the test does not know the check: %v", i, err)
			}
			if guess == 0 { // nothing of Alice's changed, so even the result is right
				var b secp256k1.Scalar
				gadgetSum(&b, &choice.data)
				x := &Receiving{r: r, session: sessionKey(&sid, msg1[:saltLen]), beta: choice.data, t: columns}
				if d, err := x.Finish(msg2); err != nil || !isShared(a, &b, c, d) {
					t.Errorf("row %d: %v", i, err)
				}
			}
		}
	}
	for guess, n := range seen {
		if n == 0 {
			t.Errorf("no Δ_i is %d: the test shows less than it says", guess)
		}
	}
}

// cheatingReply is Reply with a_1 + delta in transfer j alone, and μ_j adjusted as if β_j were guess.
func cheatingReply(s *Sender, sid [32]byte, msg1 []byte, a *[ell]secp256k1.Scalar, j, guess int, delta *secp256k1.Scalar) []byte {
	key := sessionKey(&sid, msg1[:saltLen])
	var w [rows]row
	s.expand(&key, msg1[offU:offClaim], &w)
	q := new(columns)
	q.setRows(&w)
	rand := newSeeded("cheating Alice")
	msg2 := make([]byte, Msg2Len)
	rand.Read(msg2[:saltLen])
	in := [width]secp256k1.Scalar{a[0], a[1]}
	_ = randomScalar(&in[ell], rand)
	hash := newRandomiser(&key, msg2[:saltLen])
	var alpha [xi][width]secp256k1.Scalar
	for k := range xi {
		for i := range width {
			var other, tilde secp256k1.Scalar
			hash.scalar(&alpha[k][i], k, i, q[k])
			hash.scalar(&other, k, i, element{q[k].lo ^ s.delta.lo, q[k].hi ^ s.delta.hi})
			tilde.Sub(&alpha[k][i], &other)
			tilde.Add(&tilde, &in[i])
			if k == j && i == 0 {
				tilde.Add(&tilde, delta)
			}
			copy(msg2[offA+(k*width+i)*scalar:], tilde.Bytes())
		}
	}
	theta := hash.theta(msg2[offA:offEta])
	var eta secp256k1.Scalar
	eta.MulAdd(&theta[0], &in[0], &in[ell])
	eta.MulAdd(&theta[1], &in[1], &eta)
	copy(msg2[offEta:], eta.Bytes())
	var all []byte
	for k := range xi {
		var mu secp256k1.Scalar
		mu.MulAdd(&theta[0], &alpha[k][0], &alpha[k][ell])
		mu.MulAdd(&theta[1], &alpha[k][1], &mu)
		if k == j && guess == 1 {
			mu.MulAdd(&theta[0], delta, &mu)
		}
		all = append(all, mu.Bytes()...)
	}
	sum := hash.mu(all)
	copy(msg2[offMu:], sum[:])
	return msg2
}

// TestAliceGuessesBeta makes both guesses for a spread of transfers.
func TestAliceGuessesBeta(t *testing.T) {
	s, r := thePair()
	n := newSession(t, s, r, "beta")
	delta := new(secp256k1.Scalar).SetUint64(12345)
	if _, err := n.finish(cheatingReply(s, n.sid, n.msg1, n.a, 0, 0, new(secp256k1.Scalar))); err != nil {
		t.Fatalf("a cheater who does not cheat is caught: %v", err)
	}
	var seen [2]int
	for j := 0; j < xi; j += 16 {
		beta := bitOf(&n.x.beta, j)
		seen[beta]++
		for guess := range 2 {
			_, err := n.finish(cheatingReply(s, n.sid, n.msg1, n.a, j, guess, delta))
			if guess != beta {
				wantError(t, "wrong guess", err, ErrCheat)
			} else if err != nil {
				t.Errorf("transfer %d: the right guess is caught: %v", j, err)
			}
		}
	}
	if seen[0] == 0 || seen[1] == 0 {
		t.Error("all β are equal: the test shows less than it says")
	}
}
