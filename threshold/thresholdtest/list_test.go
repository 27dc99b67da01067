package thresholdtest_test

import (
	"slices"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// simple are the schemes whose whole life runs here: those that need pair state are tested where they are.
func simple() []threshold.Scheme {
	return slices.DeleteFunc(schemes.All(), func(s threshold.Scheme) bool { _, needs := s.(threshold.Provisioner); return needs })
}
