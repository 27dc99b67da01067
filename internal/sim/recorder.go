package sim

import (
	"crypto/rand"
	"io"
	"runtime"
	"strings"
	"sync"
)

// Recorder is the randomness of a node, from crypto/rand, kept with the place in the engine that drew it.
type Recorder struct {
	mu    sync.Mutex
	draws []Draw
}

// Draw is one read.
type Draw struct {
	Bytes []byte
	Nonce bool // drawn for a signing nonce (threshold/frost)
	Deal  bool // drawn for a scalar of key generation or refresh: 64 bytes, reduced
	ECDSA bool // drawn for a scalar of presigning (threshold/dkls23), r_i or phi_i: 64 bytes, reduced
	OT    bool // drawn for the pair setup, or for the choices of a vector OLE, of which Bytes are the secret part
}

// oleChoices is how many of the bytes that begin a vector OLE are secret; the salt after them goes to the peer.
const oleChoices = (416 + 128) / 8

// Read implements io.Reader.
func (r *Recorder) Read(p []byte) (int, error) { return r.note(p, rand.Read) }

func (r *Recorder) note(p []byte, read func([]byte) (int, error)) (int, error) {
	n, err := read(p)
	d := Draw{Bytes: append([]byte(nil), p[:n]...)}
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if _, name, ok := strings.Cut(f.Function, "/threshold/"); ok {
			d.Nonce = d.Nonce || strings.HasPrefix(name, "frost.") && strings.Contains(strings.ToLower(name), "nonce")
			d.Deal = d.Deal || n == 64 && (strings.HasPrefix(name, "dkg.") || strings.HasPrefix(name, "internal/poly."))
			d.ECDSA = d.ECDSA || n == 64 && strings.HasPrefix(name, "dkls23.randomScalar")
			d.OT = d.OT || strings.HasPrefix(name, "internal/ot.") || strings.HasPrefix(name, "dkls23.(*pairSetup).begin")
			if strings.HasPrefix(name, "internal/ot.(*Receiver).Start") {
				d.Bytes = d.Bytes[:oleChoices]
			}
		}
		if !more {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draws = append(r.draws, d)
	return n, err
}

// Tap implements threshold.Tap: what the engine makes of what it drew is a draw too.
func (r *Recorder) Tap(from io.Reader) io.Reader { return &derived{r, from} }

type derived struct {
	r    *Recorder
	from io.Reader
}

func (d *derived) Read(p []byte) (int, error) { return d.r.note(p, d.from.Read) }

// Draws is a copy of the list so far.
func (r *Recorder) Draws() []Draw {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Draw(nil), r.draws...)
}
