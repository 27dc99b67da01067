package ot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"

	"github.com/luxfi/mpcd/internal/secret"
	"github.com/luxfi/mpcd/threshold/internal/secp256k1"
)

// selfAnswer is the SHA-256 of both messages of the self-test's session, b and the gadget.
const selfAnswer = "5b0108ab16c1f9c9a209ae618fa797604f496033ae6f6c2f3e1308ba8c987972"

var errSelfTest = errors.New("ot: self-test failed: do not use this build on this machine")

// SelfTest runs one tree of the punctured PRF and one vector OLE on fixed states, and compares the result with the definition and the
// messages, b and the gadget with a known answer. It takes a millisecond and is run at boot; a node whose SelfTest fails must not start.
func SelfTest() error {
	sender, receiver := selfStates()
	defer sender.Wipe()
	defer receiver.Wipe()
	rand := new(counter)
	var a [ell]secp256k1.Scalar
	for i := range a {
		a[i].SetBytesReduced(rand.next())
	}
	var sid [32]byte
	receiving, b, msg1, err := receiver.Start(sid, rand)
	if err != nil {
		return err
	}
	c, msg2, err := sender.Reply(sid, msg1, &a, rand)
	if err != nil {
		return errors.Join(errSelfTest, err)
	}
	d, err := receiving.Finish(msg2)
	if err != nil {
		return errors.Join(errSelfTest, err)
	}
	for i := range a {
		var sum, product secp256k1.Scalar
		if sum.Add(&c[i], &d[i]).Equal(product.Mul(&a[i], b)) == 0 {
			return errSelfTest
		}
	}
	all := append(append(msg1, msg2...), b.Bytes()...)
	for j := range gadget {
		all = append(all, gadget[j].Bytes()...)
	}
	answer := sha256.Sum256(all)
	if hex.EncodeToString(answer[:]) != selfAnswer {
		return errSelfTest
	}
	return nil
}

// selfStates makes both states from a counter in place of base transfers.
func selfStates() (*Sender, *Receiver) {
	var sid, id [32]byte
	var choice [baseOTs]byte
	var keys [2]baseKeys
	var mine baseKeys
	rand := new(counter)
	for i := range choice {
		choice[i] = rand.next()[0] & 1
		copy(keys[0][i][:], rand.next())
		copy(keys[1][i][:], rand.next())
		selectBytes(mine[i][:], keys[1][i][:], keys[0][i][:], choice[i])
	}
	s, r := secret.New(senderLen), secret.New(receiverLen)
	putHeader(s.Bytes(), roleSender, &id)
	putHeader(r.Bytes(), roleReceiver, &id)
	var msg [treeLen]byte
	for j := range trees {
		clear(msg[:])
		t := growTree(&sid, j, &keys, msg[:])
		known, delta, _ := punctureTree(&sid, j, &choice, &mine, msg[:])
		putReceiverTree(r.Bytes(), j, &t)
		putSenderTree(s.Bytes(), j, &known, delta)
	}
	return newSender(s), newReceiver(r)
}

// counter is a stream that anybody knows: SHA-256 of 1, 2 and so on.
type counter struct{ n uint64 }

func (c *counter) next() []byte {
	c.n++
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, c.n))
	return h[:]
}

// Read fills b and wastes what is left of the last hash.
func (c *counter) Read(b []byte) (int, error) {
	for k := 0; k < len(b); {
		k += copy(b[k:], c.next())
	}
	return len(b), nil
}

var _ io.Reader = (*counter)(nil)
