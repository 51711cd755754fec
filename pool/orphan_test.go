package pool_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/pool"
)

// parentEnv makes the test binary a program that has a pool and waits to be killed.
const parentEnv = "POOL_TEST_PARENT"

// bePoor is that program: it says which children and grandchildren there are.
func bePoor() {
	p, err := pool.Processes(2, childRoutes()...)
	if err != nil {
		panic(err)
	}
	ctx, x := soonOf(time.Minute)
	defer x()
	grandchild, err := spawnTask.Call(ctx, p, "")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(os.Getenv(parentEnv), "spins")
	if _, err := spinTask.Submit(ctx, p, file); err != nil {
		panic(err)
	}
	for len(p.PIDs()) < 3 {
		time.Sleep(time.Millisecond)
	}
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	fmt.Println(strings.Trim(fmt.Sprint(append(p.PIDs(), grandchild)), "[]"))
	select {}
}

func TestChildrenDieWithAParentThatIsKilled(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		t.Fatal(err, cmd.Wait())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	began := time.Now()
	pids := strings.Fields(line)
	if len(pids) != 4 {
		t.Fatalf("the program says %q", line)
	}
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		for ctx := soon(t); running(pid); {
			if ctx.Err() != nil {
				t.Fatalf("process %d of %q lives", pid, line)
			}
			time.Sleep(time.Millisecond)
		}
	}
	t.Logf("all gone after %v", time.Since(began))
}
