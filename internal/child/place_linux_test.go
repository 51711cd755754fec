package child_test

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cenote-go/cenote/internal/child"
	"github.com/cenote-go/cenote/queue"
)

// ownerEnv makes the test binary a program that has a directory below the one that it names.
const ownerEnv = "CREW_TEST_OWNER"

func init() {
	if place := os.Getenv(ownerEnv); place != "" {
		dir, free, err := child.Own(place)
		if err != nil {
			panic(err)
		}
		fmt.Println(dir)
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		free()
		os.Exit(1)
	}
}

func TestOwnGroup(t *testing.T) {
	const (
		v2     = "26 23 0:23 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
		memory = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
		hybrid = memory + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
		within = "26 23 0:23 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		spaced = "26 23 0:23 / /mnt/my\\040groups rw - cgroup2 none rw\n"
	)
	for _, c := range []struct{ mounts, groups, want string }{
		{v2, "0::/\n", "/sys/fs/cgroup"},
		{v2, "0::/system.slice/cenote.service/main\n", "/sys/fs/cgroup/system.slice/cenote.service/main"},
		{hybrid, "4:memory:/a\n0::/b\n", "/sys/fs/cgroup/unified/b"},
		{memory, "4:memory:/a\n0::/b\n", ""},
		{hybrid, "4:memory:/a\n", ""},
		{within, "0::/docker/abc\n", "/sys/fs/cgroup"},
		{within, "0::/docker/abc/d\n", "/sys/fs/cgroup/d"},
		{within, "0::/docker/abcd\n", ""},
		{within + spaced, "0::/e\n", "/mnt/my groups/e"},
		{v2, "0::/../outside\n", ""},
		{v2, "", ""},
		{"", "0::/\n", ""},
		{"nonsense - cgroup2 x\n", "0::/\n", ""},
	} {
		if got := child.OwnGroup(c.mounts, c.groups); got != c.want {
			t.Errorf("in %q with %q got %q, want %q", c.groups, c.mounts, got, c.want)
		}
	}
}

func TestAbove(t *testing.T) {
	for _, c := range [][3]string{
		{"/g/a/main", "/g/a", "/g/a"}, {"/g/a", "/g/a/b", "/g/a"}, {"/g/a", "/g/a", "/g/a"},
		{"/g/ab", "/g/a", "/g"}, {"/x", "/g", "/"}, {"/", "/g", "/"},
	} {
		if got := child.Above(c[0], c[1]); got != c[2] {
			t.Errorf("above %s and %s is %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// tree makes a directory with these files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWhatMakesAGroupUsable(t *testing.T) {
	good := map[string]string{
		"cgroup.controllers": "cpu memory pids\n", "cgroup.subtree_control": "", "cgroup.procs": "", "cgroup.type": "domain\n",
	}
	with := func(name, text string) map[string]string {
		files := maps.Clone(good)
		files[name] = text
		return files
	}
	without := func(name string) map[string]string {
		files := maps.Clone(good)
		delete(files, name)
		return files
	}
	root := without("cgroup.type")
	root["cgroup.procs"] = "1\n2\n"
	busy := with("cgroup.procs", "17\n")
	parent := with("cgroup.subtree_control", "cpu memory\n")
	for name, c := range map[string]struct {
		files map[string]string
		want  string // "" is none
		below bool
	}{
		"good":      {good, "", false},
		"parent":    {parent, "", true},
		"root":      {root, "", true},
		"processes": {busy, "there are processes in it, and such a group can give none below it a limit; run them in a group below it, by DelegateSubgroup=main", false},
		"no memory": {with("cgroup.controllers", "cpu memory2\n"), "it has no memory controller; hand it one, by Delegate=yes of a systemd unit or by: echo +memory > ", false},
		"unwritten": {without("cgroup.subtree_control"), "this user must be able to write there", false},
	} {
		dir := tree(t, c.files)
		err := child.Usable(dir, dir)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if got := child.MayHaveBelow(dir); got != c.below {
			t.Errorf("%s: may have groups below it: %v", name, got)
		}
	}
}

func TestACgroupThatCannotBeUsedIsSaidAtTheStart(t *testing.T) {
	no := filepath.Join(t.TempDir(), "no")
	for dir, want := range map[string]string{
		t.TempDir(): "it is not in a cgroup v2 hierarchy, which is at /sys/fs/cgroup on most systems",
		no:          "no such file or directory; make it, or name another",
	} {
		cfg := config(1)
		cfg.MaxMemory, cfg.Cgroup = 1<<30, dir
		_, err := child.New(cfg)
		for _, err := range []error{err, cfg.Check()} {
			if !errors.Is(err, queue.ErrOption) || !strings.Contains(err.Error(), "the Cgroup "+dir+" cannot be used: ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", dir, err, want)
			}
		}
		cfg.MaxMemory = 0
		if err := cfg.Check(); !errors.Is(err, queue.ErrOption) || !strings.Contains(err.Error(), "MaxMemory, which is 0") {
			t.Errorf("without a limit got %v", err)
		}
	}
}

func TestADeathForMemoryIsToldFromOthers(t *testing.T) {
	for events, want := range map[string]bool{
		"low 0\nhigh 0\nmax 31\noom 1\noom_kill 2\noom_group_kill 1\n": true,
		"low 0\nhigh 0\nmax 31\noom 0\noom_kill 0\n":                   false,
		"low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\n":                    false, // somebody else's want
		"low 0\nhigh 0\nmax 31\noom 1\noom_kill 0\n":                   false,
		"": false,
	} {
		if got := child.Starved(tree(t, map[string]string{"memory.events": events})); got != want {
			t.Errorf("%q: %v", events, got)
		}
	}
	if child.Starved(filepath.Join(t.TempDir(), "no")) {
		t.Error("so it is without a file")
	}
}

func TestWhenAGroupIsNearlyFull(t *testing.T) {
	for _, c := range []struct {
		current, stat string
		want          bool
	}{
		{"950\n", "", false},
		{"951\n", "anon 951\n", true},
		{"1000\n", "anon 900\nfile 90\nactive_file 20\ninactive_file 20\nslab_reclaimable 10\n", false},
		{"1000\n", "anon 900\nfile 90\nactive_file 20\ninactive_file 20\nslab_reclaimable 9\n", true},
		{"", "", false},
	} {
		dir := tree(t, map[string]string{"memory.current": c.current, "memory.stat": c.stat})
		if got := child.Full(dir, 1000); got != c.want {
			t.Errorf("%q with %q: %v", c.current, c.stat, got)
		}
	}
}

func TestWhatADeadOwnerHasLeftIsSweptAndNothingElse(t *testing.T) {
	place := t.TempDir()
	mine, free, err := child.Own(place)
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	p, _, lines := program(t, ownerEnv+"="+place)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	other := strings.TrimSpace(line)
	if !strings.HasPrefix(filepath.Base(other), fmt.Sprintf("cenote-%d-", p.PID())) {
		t.Errorf("process %d has made %s", p.PID(), other)
	}
	strange := filepath.Join(place, "other.service")
	for _, dir := range []string{strange, filepath.Join(other, "1", "deep"), filepath.Join(other, "2")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		if got, _ := filepath.Glob(filepath.Join(place, "*")); !slices.Equal(got, want) {
			t.Errorf("there is %q, want %q", got, want)
		}
	}
	child.Sweep(place)
	is(mine, other, strange)
	if _, err := os.Stat(filepath.Join(other, "2")); err != nil {
		t.Errorf("it was swept while its owner lived: %v", err)
	}
	p.Kill()
	until(t, "the owner is gone", func() bool { return !child.Locked(other) })
	child.Sweep(place)
	is(mine, strange)
	free()
	child.Sweep(place)
	is(strange)
}

func TestADirectoryThatIsGoneWhenItIsLockedIsNobodys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cenote-1-1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	is, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	sweeper, err := child.LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := child.LockDir(dir)
		got <- err
	}()
	inode := fmt.Sprintf(":%d ", is.Sys().(*syscall.Stat_t).Ino)
	until(t, "it waits for the lock", func() bool {
		locks, _ := os.ReadFile("/proc/locks")
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "-> FLOCK") && strings.Contains(line, inode) {
				return true
			}
		}
		return false
	})
	if err := errors.Join(os.Remove(dir), sweeper.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// Crews that start at once sweep while others make their directories: each gets one that stays.
func TestSweepsDoNotTakeADirectoryThatIsBeingMade(t *testing.T) {
	place := t.TempDir()
	stop := make(chan struct{})
	var sweeps sync.WaitGroup
	for range 4 {
		sweeps.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					child.Sweep(place)
				}
			}
		})
	}
	for range 1000 {
		dir, free, err := child.Own(place)
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := os.Stat(dir); err != nil || !child.Locked(dir) {
			t.Errorf("%s is not its owner's: %v", dir, err)
		}
		free()
	}
	close(stop)
	sweeps.Wait()
}
