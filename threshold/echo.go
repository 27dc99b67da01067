package threshold

import "github.com/luxfi/mpcd/internal/canon"

// The three hashes by which parties compare what they saw. Bodies stand in the order of the signers; a party that has no
// broadcast in a round counts as an empty one.

// contextHash is what a party believes the ceremony is about.
func contextHash(s Setup) [32]byte {
	committee := s.Committee.Digest()
	return canon.Hash("mpcd/v1/open/context", s.Context, committee[:], canon.MustMarshal(s.Signers))
}

// sessionID is H("open"; ceremony, context, and of each signer its nonce and payload).
func sessionID(s Setup, context [32]byte, opens [][]byte) SessionID {
	h := canon.NewHasher("mpcd/v1/open", 2+2*len(opens))
	h.Field(s.Ceremony[:])
	h.Field(context[:])
	for _, body := range opens {
		h.Field(body[:openNonceLen])
		h.Field(body[openFixedLen:])
	}
	return h.Sum()
}

// echoHash is E_r (PROTOCOLS 1.4): all broadcasts of the round, and what was echoed before.
func echoHash(id SessionID, round int, before [32]byte, bodies [][]byte) [32]byte {
	h := canon.NewHasher("mpcd/v1/echo", 3+len(bodies))
	h.Field(id[:])
	h.Field([]byte{byte(round)})
	h.Field(before[:])
	for _, b := range bodies {
		h.Field(b)
	}
	return h.Sum()
}
