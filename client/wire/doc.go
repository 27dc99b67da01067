// Package wire holds the JSON shapes of the HTTP API: what a client sends, and what a node answers.
//
// Server and clients share it, so it knows nothing of either: no network, no engine, only the standard library. The server
// accepts more spellings than a client needs to write (a number or a list of names for total, payload for message_hash); the
// OpenAPI document has them all. A field, once here, keeps its name and meaning for the life of /api/v1.
package wire
