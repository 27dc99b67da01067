// Package api is the node's outside: HTTP with JSON, described by an OpenAPI document that is generated from the code.
//
// It turns requests into the node's own types and the node's answers into JSON, and does nothing else: what a request means, who
// holds which share, and whether a policy allows it is the node's business, behind the Backend interface.
//
// One door stands in front of every route and does the same things in the same order: it names the request, refuses what a
// browser was tricked into sending (dev), finds the route, authenticates, checks the role, counts the request for its caller, reads and
// checks the body, takes a place, and writes one log line without a body. A route that has no rule is closed. Who is let in for some
// vaults has a Backend in which what is of others is not there (vaults.go); docs/ROLES.md is written of the answers. What a stranger or
// a caller can hold is bounded at every step: a connection, a body, an answer and a place have their time.
//
// Promises: bad input never ends in 500; an error is always RFC 9457 with what to do next; an answer is a function of what the
// node returned and of nothing else, so that the same idempotency key gives the same bytes; a JSON body has one meaning, for
// duplicate, unknown and differently cased fields are refused; /livez does not depend on peers.
//
// To add an endpoint: the shape of its answer goes into client/wire, the shape of its request into a file here, and a line into
// routes.go. The tests fail until its roles and errors are described.
package api
