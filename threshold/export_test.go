package threshold

// What the tests look at from outside.

// ExhibitMax is exhibitMax.
const ExhibitMax = exhibitMax

// DecodeOriginals is decodeOriginals.
func DecodeOriginals(ceremony [32]byte, round uint8, body []byte) ([]Message, error) {
	return decodeOriginals(ceremony, round, body)
}

// EncodeOriginals is encodeOriginals.
func EncodeOriginals(ms []Message) []byte { return encodeOriginals(ms) }

// DecodeAccusation is decodeAccusation.
func DecodeAccusation(ceremony [32]byte, round uint8, body []byte) (*Abort, error) {
	return decodeAccusation(ceremony, round, body)
}

// Held is how many bytes of peers' bodies and of our own a session keeps.
func (x *Session[R]) Held() int {
	n := 0
	for _, round := range x.in {
		for _, in := range round {
			for _, m := range []*Message{in.broadcast, in.direct} {
				if m != nil {
					n += len(m.Body)
				}
			}
		}
	}
	for _, m := range x.early {
		n += len(m.Body)
	}
	for _, m := range x.outbox {
		n += len(m.Body)
	}
	return n
}

// ContextHash is contextHash.
func ContextHash(s Setup) [32]byte { return contextHash(s) }

// MakeSessionID is sessionID.
func MakeSessionID(s Setup, context [32]byte, opens [][]byte) SessionID {
	return sessionID(s, context, opens)
}

// EchoHash is echoHash.
func EchoHash(id SessionID, round int, before [32]byte, bodies [][]byte) [32]byte {
	return echoHash(id, round, before, bodies)
}
