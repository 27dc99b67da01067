// Package threshold is the engine of mpcd: threshold signatures as arithmetic.
//
// It turns messages into messages. It has no context, clock, goroutine, lock, file, network or logger, and randomness is a
// parameter; so a run is a function of its seed and its messages, and every run can be repeated.
//
// A ceremony among parties is, on each side, a Session. Round 0 is always OPEN: every party contributes a fresh nonce and the
// hash of what it believes the ceremony is about, and the session ID is the hash of them all. Broadcasts are echoed in the
// round that follows; who said two things is proven by its own signatures. A session ends with a result or with an Abort,
// whose culprits are data. A Proven abort carries evidence, judged by VerifyConduct and the scheme's Judge; the session passes
// it on, and its peers judge it for themselves.
//
// What the engine takes from its caller (Session lists the duties): authenticated senders, one ceremony value per session for
// ever, resending, and a Setup that is the same for all. What it promises in turn: no honest party is ever blamed, whatever
// the others do and however the network treats messages; a failed session leaves no secret; a peer can make it hold no more
// than two rounds of messages. The last round is not echoed: whether all parties have the result is for certificates to tell.
//
// A Scheme makes keys, refreshes them, and signs in three steps: Presign (rounds, ahead of or with the request), SignShare
// (no rounds: the place where hardware attests), Combine.
//
// The package does not move, sign or encrypt messages, persist shares, or decide who may sign: the appliance does.
// To add a scheme: implement Scheme in a directory of its own, pass thresholdtest, and list it in threshold/schemes.
package threshold
