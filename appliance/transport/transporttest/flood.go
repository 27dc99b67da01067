package transporttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/luxfi/mpcd/appliance/transport"
)

// Publish has the network carry a frame to a node on a channel, as if from another: the name on it is written by whoever sends it.
type Publish func(over transport.Network, channel string, as, to transport.NodeID, frame []byte) error

// Flood checks that who floods a node in another's name, or with what that one once sent, takes nothing from it. All that is public stands
// in the flood: the sender's name, run and time, and by what the addressee finds its MAC.
func Flood(t *testing.T, open Open, publish Publish) {
	s := newStage(t, open)
	genuine := s.capture("genuine")
	head := behind(genuine)
	mine := s.pairName("a", "b")
	forged := func(seq uint64) []byte {
		body := make([]byte, 200)
		_, _ = rand.Read(body)
		sum := sha256.Sum256(body)
		f := append([]byte{}, genuine[:head+atSeq]...)
		f = binary.BigEndian.AppendUint64(f, seq)
		f = binary.BigEndian.AppendUint64(f, uint64(time.Now().UnixMilli()))
		f = append(append(f, sum[:]...), 0, 1)
		return append(append(append(f, mine...), body[:entry-pairName]...), body...)
	}
	// Each round is more than an inbox holds, and no more than waits unread on the way there.
	const rounds, words, each = 4, 20, 1000
	for name, frame := range map[string]func(uint64) []byte{"in its name": forged, "repeated": func(uint64) []byte { return genuine }} {
		for round := range rounds {
			for i := range words {
				for j := range each {
					body := frame(uint64(1000 + (round*words+i)*each + j))
					if err := publish(s.raw["mallory"], "news", "a", "b", body); err != nil {
						t.Fatal(err)
					}
				}
				s.a.send(transport.Envelope{To: to("b"), Body: fmt.Appendf(nil, "%s %d.%d", name, round, i)})
			}
			for i := range words {
				s.b.wait(fmt.Sprintf("%s %d.%d", name, round, i))
			}
		}
	}
	if stats := s.secured["b"].Stats(); stats.Lost["a"] != 0 || stats.Dropped["signature"] != 0 || stats.Dropped["forged"] == 0 {
		t.Errorf("a flood in a's name took a place of a's: %+v", stats)
	}
}
