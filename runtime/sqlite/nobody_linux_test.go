package sqlite_test

import (
	"runtime"
	"syscall"
)

// asNobody makes the goroutine one that may write no more than others may, if
// it can. The goroutine must end soon: its thread ends with it.
func asNobody() bool {
	runtime.LockOSThread()
	return syscall.Setfsuid(65534) == nil
}
