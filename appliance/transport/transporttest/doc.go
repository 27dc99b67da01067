// Package transporttest is the contract of transport.Network as tests: Run for every network, raw and under
// transport.Secure, and Rejoin for networks whose nodes can die and come back.
package transporttest
