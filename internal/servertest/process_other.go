//go:build !unix

package servertest

import (
	"errors"
	"os/exec"
)

type process struct{}

func (s *Server) command(name string, args ...string) *exec.Cmd { return exec.Command(name, args...) }

func spawn(*Server) (*process, error) {
	return nil, errors.New("servers are started on Unix only")
}

func (*process) end(string) error { return nil }
