//go:build !linux

package child

import (
	"fmt"
	"os"
	"syscall"

	"github.com/cenote-go/cenote/queue"
)

// The kernel limits memory for us on Linux only.

func findPlace(named string) (string, error) {
	if named != "" {
		return "", fmt.Errorf("%w: the Cgroup %s cannot be used: there are cgroups on Linux only", queue.ErrOption, named)
	}
	return "", nil
}

type cgroup struct{}

func newCgroup(string, int64) (*cgroup, error) { return &cgroup{}, nil }

func (g *cgroup) cell() (*cell, error) { return nil, nil }
func (g *cgroup) close()               {}

type cell struct{}

func (c *cell) bear(*syscall.SysProcAttr) (*os.File, error) { return nil, nil }
func (c *cell) starved() bool                               { return false }
func (c *cell) full() bool                                  { return false }
func (c *cell) kill() error                                 { return nil }
func (c *cell) remove()                                     {}
