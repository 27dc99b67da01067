package threshold

// OpenOriginals is the message that shows the OPENs this session received, signed by their senders: what a party answers when
// another sees a different session ID after the last round. An observer may send it too.
// There is none before round 0 has ended: what a party held when it left says nothing of what it was shown.
func (x *Session[R]) OpenOriginals() (m Message, ok bool) {
	if x.id == (SessionID{}) {
		return Message{}, false
	}
	return Message{Ceremony: x.setup.Ceremony, Session: x.id, Kind: Originals, From: x.setup.Self, To: Everybody,
		Body: encodeOriginals(x.broadcasts(0))}, true
}
