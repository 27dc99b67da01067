package main

import (
	"bytes"
	"regexp"
	"testing"
)

// Goal: `mpcd config show` takes the sample. Method: run it, look for a value.
func TestSampleIsShown(t *testing.T) {
	var shown bytes.Buffer
	cmd := configShow(&output{out: &shown, err: &shown})
	cmd.SetArgs([]string{"--config", "../../docs/mpcd.yaml", "--origin"})
	if err := cmd.Execute(); err != nil || !regexp.MustCompile(`cluster +treasury +file .*mpcd\.yaml:\d+\n`).Match(shown.Bytes()) {
		t.Errorf("%v: %s", err, &shown)
	}
}
