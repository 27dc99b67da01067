package plugin

import (
	"fmt"
	"os"
)

// openPath names an open file, so that what was checked is what is started. The child resolves it before its files are closed.
func openPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
