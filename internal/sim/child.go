package sim

import (
	"os/exec"
	"runtime"
	"sync"
)

// starter starts processes from one thread that lives as long as this process: the kernel sends a child its death signal when the
// thread that started it ends (prctl(2), PR_SET_PDEATHSIG).
var starter struct {
	once sync.Once
	jobs chan func()
}

// StartChild starts cmd so that it ends with this process, however that ends.
func StartChild(cmd *exec.Cmd) error {
	starter.once.Do(func() {
		starter.jobs = make(chan func())
		go func() {
			runtime.LockOSThread()
			for job := range starter.jobs {
				job()
			}
		}()
	})
	cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	starter.jobs <- func() { started <- cmd.Start() }
	return <-started
}
