//go:build unix

package child_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/cenote-go/cenote/internal/child"
)

// beParent is a program with children: it says who they are, again for every line that it reads.
func beParent() {
	signal.Ignore(syscall.SIGINT)
	if err := syscall.Setpgid(0, 0); err != nil { // as a shell does it
		panic(err)
	}
	c, err := child.New(config(1))
	if err != nil {
		panic(err)
	}
	ask := func(what string) string {
		v, err := c.Handle(context.Background(), message(what))
		if err != nil {
			return err.Error()
		}
		return string(v)
	}
	grandchild := ask("spawn")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(ask("pid"), grandchild)
	}
	os.Exit(1)
}

func TestCtrlCDoesNotReachChildrenAndTheParentsDeathDoes(t *testing.T) {
	p, in, lines := program(t, parentEnv+"=1")
	ask := func() string {
		if _, err := fmt.Fprintln(in); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	before := ask()
	kill(t, -p.PID(), syscall.SIGINT)
	if after := ask(); after != before {
		t.Errorf("after Ctrl-C the processes are %q, before %q", after, before)
	}
	p.Kill()
	for _, s := range strings.Fields(before) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("the program says %q", before)
		}
		until(t, fmt.Sprintf("process %d is gone", pid), func() bool { return gone(pid) })
	}
}
