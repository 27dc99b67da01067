package durable

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Release has the kernel take back the memory in which this process has mapped files below dir whose names end so, as it would by itself
// where memory is short, also where the process has locked it: whoever reads the disk may see these files. The maps stay; what is needed
// again is read from the disk. A kernel before 5.4, and a tmpfs, keep it.
func Release(dir string, endings ...string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var begin, end uintptr
		at := strings.Index(lines.Text(), dir+"/")
		if at < 0 || !slices.Contains(endings, filepath.Ext(lines.Text())) {
			continue
		}
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &begin, &end); err != nil {
			return err
		}
		// They change no memory, also if something else has taken the place meanwhile: MADV_DONTNEED would. What is locked stays.
		_, _, _ = unix.Syscall(unix.SYS_MUNLOCK, begin, end-begin, 0)
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_PAGEOUT)
	}
	return nil
}
