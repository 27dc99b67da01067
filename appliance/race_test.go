//go:build race

package appliance_test

// slowdown is about how many times slower a node is under the race detector: tests that flood one send so much less.
const slowdown = 10
