package host

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Settle gives back the memory that booting took: of the heap, where every block of the store was looked at, and of the program's code and
// constants, of which a running node needs less than half. They stay mapped, and what is needed again comes from the page cache.
func Settle() {
	debug.FreeOSMemory()
	exe, err := os.Executable()
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var begin, end uintptr
		var rights string
		if !strings.HasSuffix(lines.Text(), " "+exe) {
			continue
		}
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &begin, &end, &rights); err == nil && strings.HasPrefix(rights, "r-") {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED) // nothing is ever written there, nor unmapped
		}
	}
}
