//go:build unix

package servertest

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// keeper is the shell that stands between the test and its server. It waits
// for a line with a signal's name on its input. If the input ends instead, the
// test process has ended, and the server goes, with its folder.
const keeper = `kill=$1 dir=$2
shift 2
"$@" </dev/null &
if read -r signal; then
	kill -s "$signal" $!
	wait $!
else
	kill -s "$kill" $!
	wait $!
	cd /
	rm -rf "$dir"
fi`

// process is a running server, behind its keeper.
type process struct {
	cmd   *exec.Cmd
	input *os.File
}

// command is a command that runs as the server's user, in its folder, out of
// reach of the terminal's signals.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.owner != nil {
		uid, _ := strconv.ParseUint(s.owner.Uid, 10, 32)
		gid, _ := strconv.ParseUint(s.owner.Gid, 10, 32)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd
}

// spawn starts the server's process.
func spawn(s *Server) (*process, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer read.Close()
	cmd := s.command("sh", append([]string{"-c", keeper, "keeper", s.kill, s.dir}, s.args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("start %s: %w", s.args[0], err)
	}
	return &process{cmd, write}, nil
}

// end sends the server a signal, and waits until it has ended.
func (p *process) end(signal string) error {
	_, err := fmt.Fprintln(p.input, signal)
	_ = p.cmd.Wait() // the server's exit code: a killed one has a bad one
	if cerr := p.input.Close(); err == nil {
		err = cerr
	}
	return err
}
