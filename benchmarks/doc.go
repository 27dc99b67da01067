// Package benchmarks holds the figures mpcd promises, and measures them.
//
// There are three kinds. Engine figures are CPU time, user and system, summed over all signers of one ceremony in one process
// without network, hardware and signatures on messages: they hold on a noisy machine. Node figures come from real processes,
// all on this machine, through HTTP, NATS, HSM cosignature, attested shares and the durable audit log: latency from the
// client's side, and sustained signatures per second in a closed loop. Token figures come from each provider of package hsm by itself, and
// from clusters on tokens of different speed.
//
// `go run ./benchmarks/run` prints them with machine and commit; `go test ./benchmarks -run Gate -gate` fails below the floor.
package benchmarks
