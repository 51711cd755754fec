package security_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/redistest"
	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// within bounds every wait.
const within = 3 * time.Minute

const password = "open-the-gate"

// town is one or several servers on which everybody is a user of one role.
type town struct {
	t     *testing.T
	ctx   context.Context
	root  redis.UniversalClient // may do anything
	file  string                // the users
	nodes []*redis.Client       // each server by itself, by who may do anything
	dial  func(user string) redis.UniversalClient
	at    func(user, key string) *redis.Client // of the one server that has the key
	round int                                  // of work
}

// operators are the users that are not Cenote's: those by which replicas and Sentinels log
// in at servers, as SECURITY.md gives them.
var operators = []string{
	"user replica on >" + password + " -@all +psync +replconf +ping",
	"user sentinel on >" + password + " -@all &__sentinel__:hello +multi +exec +ping +info +role +publish +subscribe +slaveof +config|rewrite +client|setname +client|kill +script|kill",
	"user default on nopass ~* &* +@all",
}

// newTown makes a town without servers, and a file of users for them.
func newTown(t *testing.T) *town {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	w := &town{t: t, ctx: ctx, file: filepath.Join(t.TempDir(), "users.acl")}
	w.write(operators)
	return w
}

func (w *town) write(users []string) {
	w.t.Helper()
	w.ok(os.WriteFile(w.file, []byte(strings.Join(users, "\n")+"\n"), 0o600))
}

// args are a server's.
func (w *town) args() []string {
	return []string{"--aclfile", w.file, "--masteruser", "replica", "--masterauth", password}
}

// settle lets the users of all roles in, everywhere: one by one at servers that run, since
// ACL LOAD ends a replica of Valkey 8.0.1, and by the file at those that start again.
func (w *town) settle(queues []string) {
	w.t.Helper()
	users := slices.Clone(operators)
	for _, r := range store.Roles {
		words, err := store.Rights(r, queues, w.version())
		w.ok(err)
		words = slices.Insert(words, 2, ">"+password) // after "reset on"
		users = append(users, "user "+string(r)+" "+strings.Join(words[1:], " "))
		for _, n := range w.nodes {
			w.setUser(n, string(r), words)
		}
	}
	w.write(users)
}

func (w *town) setUser(c *redis.Client, name string, words []string) {
	w.t.Helper()
	args := []any{"ACL", "SETUSER", name}
	for _, word := range words {
		args = append(args, word)
	}
	w.ok(c.Do(w.ctx, args...).Err())
}

// found makes a town of one server.
func found(t *testing.T, queues ...string) *town {
	t.Helper()
	w := newTown(t)
	s := redistest.Start(t, w.args()...)
	w.root = s.Client()
	w.nodes = clients([]*redistest.Server{s})
	w.at = func(user, _ string) *redis.Client { return w.plain(s, user) }
	w.dial = func(user string) redis.UniversalClient { return w.plain(s, user) }
	w.settle(queues)
	redistest.StartReplica(t, s, w.args()...)
	return w
}

// clients are those that may do anything, one for each server.
func clients(servers []*redistest.Server) []*redis.Client {
	var all []*redis.Client
	for _, s := range servers {
		all = append(all, s.Client())
	}
	return all
}

// plain is a client of the user on the one server.
func (w *town) plain(s *redistest.Server, user string) *redis.Client {
	o := s.Options()
	o.Username, o.Password, o.DisableIdentity = user, password, true
	c := redis.NewClient(o)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// spread is a client of the user on several servers.
func (w *town) spread(o *redis.UniversalOptions, user string) redis.UniversalClient {
	o.Username, o.Password, o.DisableIdentity = user, password, true
	c := redis.NewUniversalClient(o)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// as is a client of the user of a role.
func (w *town) as(r store.Role) redis.UniversalClient { return w.dial(string(r)) }

// storeOf is a store of the user of a role.
func (w *town) storeOf(r store.Role) *store.Store {
	w.t.Helper()
	s, err := store.New(w.as(r))
	w.ok(err)
	return s
}

func (w *town) ok(err error) {
	w.t.Helper()
	if errors.Is(err, queue.ErrDenied) {
		w.t.Fatalf("%v\n%s", err, strings.Join(w.denials(w.nodes), "\n"))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// eventually waits for what nobody tells.
func (w *town) eventually(what string, is func() bool) {
	w.t.Helper()
	for !is() {
		select {
		case <-w.ctx.Done():
			w.t.Fatalf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (w *town) version() string {
	w.t.Helper()
	s, err := store.New(w.nodes[0])
	w.ok(err)
	v, err := s.Version(w.ctx)
	w.ok(err)
	return v
}

// denials are the commands, keys and channels that were denied to anybody since the last
// call, at any of the servers.
func (w *town) denials(nodes []*redis.Client) []string {
	w.t.Helper()
	var all []string
	for _, n := range nodes {
		entries, err := n.ACLLog(w.ctx, 1000).Result()
		w.ok(err)
		w.ok(n.ACLLogReset(w.ctx).Err())
		for _, e := range entries {
			all = append(all, fmt.Sprintf("%s: %s %s (%s)", e.Username, e.Reason, e.Object, e.Context))
		}
	}
	return all
}

// tolerated are denials that Cenote expects: what a Redis client says of itself, and
// the question for the eviction policy, see docs/operations.md.
func tolerated(denial string) bool {
	return strings.Contains(denial, "client|maint_notifications") || strings.HasPrefix(denial, "consumer: command config|get") || strings.Contains(denial, "command client ")
}

// nothingDenied fails if anybody was denied what Cenote does not expect. Somebody may have
// been served at the second try: it is the servers that tell.
func (w *town) nothingDenied() {
	w.t.Helper()
	if all := slices.DeleteFunc(w.denials(w.nodes), tolerated); len(all) > 0 {
		w.t.Errorf("denied:\n%s", strings.Join(all, "\n"))
	}
}

// stats is what all servers say of the commands that were called.
func (w *town) stats() string {
	w.t.Helper()
	var all strings.Builder
	for _, n := range w.nodes {
		stats, err := n.Info(w.ctx, "commandstats").Result()
		w.ok(err)
		all.WriteString(stats)
	}
	return all.String()
}

// calls is how often a command was called, at all servers.
func (w *town) calls(command string) (sum int) {
	w.t.Helper()
	for line := range strings.Lines(w.stats()) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":calls="); ok {
			digits, _, _ := strings.Cut(rest, ",")
			n, err := strconv.Atoi(digits)
			w.ok(err)
			sum += n
		}
	}
	return sum
}

// rare are commands that users may run and that work does not.
var rare = map[string]string{
	"select": "of a database other than 0", "client|setname": "of a client with a name", "client|setinfo": "of a client that names itself",
	"script|load": "by an admin, after a failover", "unsubscribe": "when a lease was lost",
	"lpos": "by an audit of long lists", "lset": "when a message on the bell is not the last any more", "getrange": "when a reply was lost",
	"cluster|slots": "of a cluster", "command": "of a cluster", "asking": "of a cluster",
}

// allUsed fails for rights that nobody needs.
func (w *town) allUsed(queues []string) {
	w.t.Helper()
	stats := w.stats()
	for _, r := range store.Roles {
		words, err := store.Rights(r, queues, w.version())
		w.ok(err)
		for _, word := range words {
			if c, ok := strings.CutPrefix(word, "+"); ok && rare[c] == "" && !strings.Contains(stats, "cmdstat_"+c+":") {
				w.t.Errorf("%s may run %s, which nothing here does", r, c)
			}
		}
	}
}
