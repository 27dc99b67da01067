package durable

import (
	"errors"
	"testing"
)

// Goal: who waits for a failure hears of it, also who comes later, and of the first reason. Method: one who waits before and one after.
func TestFailure(t *testing.T) {
	var f Failure
	before := f.Done()
	if f.Err() != nil {
		t.Error("a reason before there is one")
	}
	first := errors.New("first")
	f.Set(first)
	f.Set(errors.New("second"))
	<-before
	<-f.Done()
	if f.Err() != first {
		t.Error(f.Err())
	}
}
