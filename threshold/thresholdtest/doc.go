// Package thresholdtest tries the engine and its schemes as a hostile world would.
//
// World is a committee with identity keys. Run moves one ceremony's messages through a simulated network that reorders,
// delays, loses, repeats, replays and forges, as a seed decides: the same seed gives the same run, always. TestScheme is the
// contract of threshold.Scheme, and of threshold.Pairer and threshold.Pooler; Plain is a second protocol for Ed25519 keys, for tests
// that need one. A Misbehaviour is a party that runs the real protocol and tampers with what it sends; Table
// asserts whom every honest party blames for it, and that the evidence convinces a third party.
//
// It is for tests only. To test a new scheme, call TestScheme and Simulate with it; to test a new check, add a row to a table
// and see it fail when the check is taken out.
package thresholdtest
