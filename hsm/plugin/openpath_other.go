//go:build !linux

package plugin

import "os"

func openPath(f *os.File) string { return f.Name() }
