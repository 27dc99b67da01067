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
// constants, of which a running node needs less than half. They stay mapped, and what is needed again comes from the page cache. Neither
// is a secret, so they need not stay locked.
func Settle() {
	debug.FreeOSMemory()
	exe, err := os.Executable()
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var begin, end uintptr // of the map that the lines are about
	var program, written bool
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		var rights string
		field, rest, _ := strings.Cut(lines.Text(), ":")
		switch n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &rights); {
		case n == 3:
			begin, end, written = from, to, false
			program = strings.HasSuffix(lines.Text(), " "+exe) && strings.HasPrefix(rights, "r-")
		case field == "Anonymous", field == "Swap": // pages that are not the file's: a loader has written them (GNU_RELRO)
			written = written || strings.TrimSpace(rest) != "0 kB"
		case field == "VmFlags" && program && !written: // the last line of a map
			_, _, _ = unix.Syscall(unix.SYS_MUNLOCK, begin, end-begin, 0)
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED) // nothing is ever written there, nor unmapped
		}
	}
}
