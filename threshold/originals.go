package threshold

// OpenOriginals is the message that shows the OPENs this session received, signed by their senders: what a party answers when
// another sees a different session ID after the last round. An observer may send it too.
func (x *Session[R]) OpenOriginals() Message {
	return Message{Ceremony: x.setup.Ceremony, Session: x.id, Kind: Originals, From: x.setup.Self, To: Everybody,
		Body: encodeOriginals(x.broadcasts(0))}
}
