//go:build !unix

package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/cenote-go/cenote/queue"
)

// Isolated children are for Unix. Elsewhere a crew's starts fail.

type output struct{}

func newOutput(*kid, *os.File, bool) *output { return &output{} }

func (*output) drain()        {}
func (*output) begin(uint64)  {}
func (*output) cut(uint64)    {}
func (*output) pending() bool { return false }
func (*output) finish()       {}
func (*output) tail() string  { return "" }

func executable() (string, error) {
	return "", fmt.Errorf("%w: child processes need a Unix system", queue.ErrOption)
}

func attributes() *syscall.SysProcAttr       { return nil }
func awaitExit(cmd *exec.Cmd)                {}
func killGroup(int)                          {}
func terminateGroup(int)                     {}
func openMemory(int) *os.File                { return nil }
func usage(*os.ProcessState) (string, int64) { return "", 0 }
func settle()                                {}
func end(status int)                         { os.Exit(status) }
func writeOut([]byte) (int, error)           { return 0, errors.ErrUnsupported }
func (k *kid) memory() int64                 { return 0 }
