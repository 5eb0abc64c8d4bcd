package redis_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cpuMeter measures the CPU time of this process and of the server's, where
// /proc shows them.
type cpuMeter struct{ self, server time.Duration }

func startCPU(testing.TB) cpuMeter { return cpuMeter{selfCPU(), serverCPU()} }

func (m cpuMeter) report(b *testing.B, n int) {
	self, server := selfCPU()-m.self, serverCPU()-m.server
	b.ReportMetric(float64((self+server).Microseconds())/float64(n), "cpu-us/op")
	b.ReportMetric(float64(server.Microseconds())/float64(n), "server-us/op")
}

func selfCPU() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// serverCPU sums up the processes below this one: the server's, and those of
// its children that have ended.
func serverCPU() time.Duration {
	type process struct {
		parent int
		ticks  int64
		name   string
	}
	all := make(map[int]process)
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(f, "/")[2])
		open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
		fields := strings.Fields(string(raw[end+1:]))
		parent, _ := strconv.Atoi(fields[1])
		p := process{parent: parent, name: string(raw[open+1 : end])}
		for _, i := range []int{11, 12, 13, 14} { // user and system time, and of children that have ended
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			p.ticks += n
		}
		all[pid] = p
	}
	var sum int64
	for pid, p := range all {
		for at := pid; at > 1; at = all[at].parent {
			if at == os.Getpid() && pid != at {
				sum += p.ticks
				break
			}
		}
	}
	return time.Duration(sum) * time.Second / 100
}
