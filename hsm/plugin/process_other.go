//go:build !linux

package plugin

import "syscall"

func attributes(Config) *syscall.SysProcAttr { return nil }

func prepare(Config) error { return nil }

func awaitExit(int) {}

func killGroup(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }
