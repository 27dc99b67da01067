//go:build !race

package appliance_test

// slowdown is for the race detector; without it a flood is as large as it stands.
const slowdown = 1
