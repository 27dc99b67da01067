//go:build !linux

package durable

import "math"

// freeSpace is not known here.
func freeSpace(string) (int64, error) { return math.MaxInt64, nil }

// freeInodes is not known here.
func freeInodes(string) (int64, error) { return math.MaxInt64, nil }

// Allocate does nothing here.
func Allocate(string) error { return nil }
