package thresholdtest_test

import (
	"slices"

	"github.com/luxfi/mpcd/threshold"
	"github.com/luxfi/mpcd/threshold/schemes"
)

// simple are the schemes without pair state, paired the others.
func simple() []threshold.Scheme { return slices.DeleteFunc(schemes.All(), needsPairs) }

func paired() []threshold.Scheme {
	return slices.DeleteFunc(schemes.All(), func(s threshold.Scheme) bool { return !needsPairs(s) })
}

func needsPairs(s threshold.Scheme) bool { _, needs := s.(threshold.Pairer); return needs }
