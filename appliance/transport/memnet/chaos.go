package memnet

import (
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// Rates are probabilities between 0 and 1, and the longest delay.
type Rates struct {
	Drop float64 // a frame is lost
	Dup  float64 // a frame arrives twice
	// Delay is the longest delay of a copy; with it copies overtake each other. 0 keeps the order.
	Delay time.Duration
}

// Chaos returns a Fault that depends only on seed and on each frame's channel, link and number: not on the order in which
// goroutines happen to send.
func Chaos(seed uint64, r Rates) Fault {
	return func(f Frame) Fate {
		d := rand.New(rand.NewPCG(seed, position(f)))
		if d.Float64() < r.Drop {
			return nil
		}
		fate := make(Fate, 1, 2)
		if d.Float64() < r.Dup {
			fate = append(fate, 0)
		}
		if r.Delay > 0 {
			for i := range fate {
				fate[i] = time.Duration(d.Int64N(int64(r.Delay) + 1))
			}
		}
		return fate
	}
}

func position(f Frame) uint64 {
	h := fnv.New64a()
	for _, s := range []string{f.Channel, string(f.From), string(f.To)} {
		_, _ = h.Write([]byte(s))
		_, _ = h.Write([]byte{0})
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], f.N)
	_, _ = h.Write(n[:])
	return h.Sum64()
}
