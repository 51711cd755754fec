package child

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cenote-go/cenote/queue"
)

// Config is what a crew is made of. Children and Mux are needed.
type Config struct {
	Name     string     // what the crew calls its tasks: a child learns it by [Name]
	Mux      *queue.Mux // knows the forms of the tasks' errors; its handlers do not run here
	Children int        // how many tasks run at once; at least 1

	Spare       int           // children that wait, ready to take the place of one that ends. Default: 1; negative: none
	MaxTasks    int           // a child is replaced after so many tasks. Default: 0, never
	MaxLifetime time.Duration // and after the task during which it gets this old. Default: 0, never
	// MaxMemory is how much memory in bytes a child may use: it is replaced after a
	// task that leaves it with more, and killed once it has twice as much, with
	// queue.ErrOutOfMemory. It is looked at every 100 ms. Linux only. It also makes the
	// child's GOMEMLIMIT 90 % of it, unless that is set. Default: 0, no limit.
	MaxMemory int64
	// Cgroup is a directory in the cgroup v2 hierarchy that is the crew's to use. Each
	// child has a group of its own below it, and the kernel kills that, with what the child has
	// started, before it has more than MaxMemory; nobody looks every 100 ms. A child is
	// replaced after a task that leaves its group with more than 95 % of it. Default: the group
	// of this process, if that has limited groups already or is the hierarchy's root and this
	// user may make groups there; otherwise none.
	Cgroup string
	place  string // the one that is used; "" is none

	KillAfter    time.Duration // how long a handler may go on after its context has ended, until SIGTERM. Default: 5 s
	StartTimeout time.Duration // how long a child may take to say that it is ready. Default: 30 s
	Env          []string      // "NAME=value" for the children, besides what they get anyway
	Tries        int           // how often in a row a start may fail. Default: 3

	// Broken is called once, in a goroutine of the crew, when starts have failed Tries times
	// in a row. From then on tasks fail with the error, for which IsBroken holds, and no
	// child is started.
	Broken func(err error)
	// Persist makes the crew broken only if it has no child left, and go on trying, at longer
	// and longer intervals up to 30 s. Mended is called when a start succeeds after
	// Broken was called.
	Persist bool
	Mended  func()
}

// termGrace is how long a child may take after SIGTERM, until SIGKILL.
const termGrace = time.Second

// Check says what is wrong with c, if anything is.
func (c Config) Check() error { return c.complete() }

func (c *Config) complete() error {
	switch {
	case isChild:
		return fmt.Errorf("%w: this process is a child of a pool, which starts no children of its own", queue.ErrOption)
	case c.Mux == nil:
		return fmt.Errorf("%w: no handlers", queue.ErrOption)
	case c.Children < 1:
		return fmt.Errorf("%w: %d child processes; give it at least 1", queue.ErrOption, c.Children)
	case c.MaxTasks < 0 || c.MaxLifetime < 0 || c.MaxMemory < 0:
		return fmt.Errorf("%w: MaxTasks is %d, MaxLifetime %v, MaxMemory %d; none may be negative, 0 is no limit",
			queue.ErrOption, c.MaxTasks, c.MaxLifetime, c.MaxMemory)
	case c.Cgroup != "" && c.MaxMemory == 0:
		return fmt.Errorf("%w: a Cgroup holds children to MaxMemory, which is 0", queue.ErrOption)
	case c.KillAfter < 0 || c.StartTimeout < 0 || c.Tries < 0:
		return fmt.Errorf("%w: KillAfter is %v, StartTimeout %v, Tries %d; none may be negative, 0 is the default",
			queue.ErrOption, c.KillAfter, c.StartTimeout, c.Tries)
	}
	for _, v := range c.Env {
		name, _, ok := strings.Cut(v, "=")
		if !ok || name == "" || name == Variable || secret[name] {
			return fmt.Errorf("%w: Env has %q, which is not for children", queue.ErrOption, name)
		}
	}
	if c.MaxMemory > 0 {
		var err error
		if c.place, err = findPlace(c.Cgroup); err != nil {
			return err
		}
	}
	if c.Spare == 0 {
		c.Spare = 1
	}
	c.Spare = max(c.Spare, 0)
	if c.KillAfter == 0 {
		c.KillAfter = 5 * time.Second
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.Tries == 0 {
		c.Tries = 3
	}
	return nil
}

// secret is what no child gets: it has no business with Redis.
var secret = map[string]bool{"CENOTE_REDIS_URL": true, "REDIS_URL": true}

// inherited is what children get of this process's environment.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR",
	"GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG", "GOTRACEBACK", "GORACE", "GOCOVERDIR",
	"SSL_CERT_FILE", "SSL_CERT_DIR",
}

func (c *Config) environ() []string {
	env := []string{Variable + "=" + c.Name}
	if c.MaxMemory > 0 { // so that garbage is collected before the child is too large
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(c.MaxMemory/10*9, 10))
	}
	for _, name := range inherited { // and what is set wins
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LC_") {
			env = append(env, v)
		}
	}
	return append(env, c.Env...)
}
