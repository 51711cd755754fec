package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cenote-go/cenote/queue"
)

// Role is what a Redis user is for.
type Role string

// The roles.
const (
	RoleProducer  Role = "producer"  // submits, waits for outcomes, cancels, shares objects
	RoleConsumer  Role = "consumer"  // runs tasks, shares objects
	RoleDashboard Role = "dashboard" // looks, and changes nothing
	RoleAdmin     Role = "admin"     // looks, declares, cancels, audits and repairs, drops queues
)

// Roles are all of them.
var Roles = []Role{RoleProducer, RoleConsumer, RoleDashboard, RoleAdmin}

// needs is what the users of a role do: the scripts they run, and the commands that
// they send without a script. What the scripts use is read in the scripts themselves.
type needs struct {
	scripts  []*script
	commands string
	// keys are ends of names below a queue's root, with the permission before them; the
	// server tries them in this order for every key of every command.
	keys      string
	channels  string   // likewise
	selectors []string // rights on keys that are of no queue
}

// audited is what an audit sends besides its scripts.
const audited = "scan exists zrange hget hlen pttl xinfo|groups"

// every is what any client sends, and one of a cluster besides: to hear which node has which
// slots and what the server's commands are, and before what it sends to a node that a slot is
// moving to. They tell and change nothing of the queues, and every server knows them. AUTH
// and HELLO need no right.
const every = "ping select client|setname cluster|slots command asking"

// moving is the end of a name that scripts declare on a cluster, see Store.whole.
const moving = "moving"

func (r Role) needs() (needs, error) {
	switch r {
	case RoleProducer:
		return needs{
			scripts: []*script{declareScript, submitScript, openScript, cancelScript, settleScript},
			// arrivals; layout; logs; shared arguments; cancelling and forgetting; links
			commands: "rpushx hgetall xrange xtrim unlink expire set hmget get hexists lrem subscribe unsubscribe wait",
			// What consumers hold (run, taken) is not among what it writes: it cannot
			// sign on, claim, or end what others run.
			keys: "~ ~" + moving + " ~tasks ~bell ~ready:* ~arrivals ~came ~settled ~from:* ~notes ~due ~bundled ~stream ~seen:* ~watch ~@*/watch ~@*/bell ~reply:* " +
				"~common:* ~conf ~answer:* ~stops:* ~alive ~alone ~faults ~result:* %R~*",
			channels:  "reply:* stops:*",
			selectors: []string{"(%W~" + queuesKey + " +sadd)", "(%W~" + linkKey("*") + " +set)", sharing},
		}, nil
	case RoleConsumer:
		return needs{
			scripts: []*script{declareScript, joinScript, turnScript, beatScript, leaveScript, trimScript, recordScript, sayScript, cancelScript, submitScript},
			// the bell; what is on record, shared arguments; wishes
			commands:  "blmove get subscribe unsubscribe wait",
			keys:      "~*",
			channels:  "reply:* stops:* @*/stops:*",
			selectors: []string{"(%W~" + queuesKey + " +sadd)", "(%R~" + linkKey("*") + " +get)", sharing},
		}, nil
	case RoleDashboard:
		return needs{
			scripts:   []*script{lookScript, findScript, countScript},
			commands:  "smembers hgetall time",
			keys:      "%R~*",
			selectors: []string{"(%R~" + queuesKey + " +smembers)"},
		}, nil
	case RoleAdmin:
		return needs{
			scripts:  []*script{lookScript, findScript, countScript, declareScript, openScript, cancelScript, settleScript, placeScript, siftScript, agesScript, tallyScript, holdsScript, mendScript},
			commands: "smembers hgetall time unlink hmget get hexists lrem xrange xtrim subscribe unsubscribe script|load info config|get " + audited,
			keys:     "~*",
			channels: "reply:* stops:*",
			// An audit asks of every key whether it expires, also of those that it does not know.
			selectors: []string{"(~" + queuesKey + " +smembers +sadd +srem)", "(%R~" + prefix + "* +pttl)",
				"(~" + linkKey("*") + " +expire)", "(~" + prefix + "shared:* +pexpire)"},
		}, nil
	}
	return needs{}, fmt.Errorf("%w: %q is no role; choose one of %v", queue.ErrOption, r, Roles)
}

// sharing is what a user does who shares objects: the scripts are those of another room,
// and so are the commands in them. These concern keys of shared objects only.
const sharing = "(~" + prefix + "shared:* &" + prefix + "shared:* " +
	"+decrby +del +eval +evalsha +exists +get +getrange +hdel +hexists +hget +hincrby +hkeys +hlen " +
	"+hmget +hscan +hset +hsetnx +incrby +lindex +linsert +llen +lpop +lpush +lrange +lrem +lset " +
	"+persist +pexpire +pttl +publish +rename +rpop +rpush +set +setrange +subscribe +time +unlink " +
	"+unsubscribe +zadd +zpopmin +zrange +zrangebyscore +zrem +zscore)"

var (
	called = regexp.MustCompile(`redis\.p?call\('([A-Z]+)'(?:, *'([A-Z]+)')?`)
	parent = []string{"XINFO", "XGROUP"} // commands whose next word is a part of their name
)

// calls are the commands that the script runs, as rules of users name them.
func (s *script) calls() []string {
	var names []string
	for _, m := range called.FindAllStringSubmatch(s.src, -1) {
		name := m[1]
		if slices.Contains(parent, name) {
			name += "|" + m[2]
		}
		names = append(names, strings.ToLower(name))
	}
	return names
}

// Rights are the least that a user of the role needs on the queues, all if there are
// none, as the words that follow the name in ACL SETUSER and in a file of users. They
// begin with a reset, which takes the passwords away as well. version is the server's,
// for example "7.0": it refuses a rule with a command that it does not know. The error is
// [queue.ErrOption] or [queue.ErrName].
func Rights(role Role, queues []string, version string) ([]string, error) {
	n, err := role.needs()
	if err != nil {
		return nil, err
	}
	knowsLater, err := since72(version)
	if err != nil {
		return nil, err
	}
	for _, name := range queues {
		if err := queue.CheckName("queue", name); err != nil {
			return nil, err
		}
	}
	roots := []string{prefix + "{*}:"}
	if len(queues) > 0 {
		roots = nil
		for _, name := range slices.Compact(slices.Sorted(slices.Values(queues))) {
			roots = append(roots, prefix+"{"+name+"[}/]*:") // all its partitions, see Root
		}
	}
	words := []string{"reset", "on"}
	for _, end := range strings.Fields(n.keys) {
		for _, root := range roots {
			words = append(words, strings.Replace(end, "~", "~"+root, 1))
		}
	}
	for _, root := range roots {
		for _, end := range strings.Fields(n.channels) {
			words = append(words, "&"+root+end)
		}
	}
	commands := append(strings.Fields(n.commands), strings.Fields(every)...)
	for _, s := range n.scripts {
		commands = append(commands, strings.ToLower(s.byDigest), strings.ToLower(s.byText))
		commands = append(commands, s.calls()...)
	}
	if knowsLater {
		commands = append(commands, "client|setinfo")
		if slices.Contains(commands, "wait") {
			commands = append(commands, "waitaof")
		}
	}
	return append(append(words, allow(commands)...), n.selectors...), nil
}

// SentinelRights are the least that a user of a Sentinel needs for its clients to learn who
// the master is, and that it is another. All roles need the same there. The words and
// the errors are those of [Rights].
func SentinelRights(version string) ([]string, error) {
	commands := strings.Fields("ping client|setname sentinel|get-master-addr-by-name sentinel|sentinels subscribe")
	knowsLater, err := since72(version)
	if err != nil {
		return nil, err
	}
	if knowsLater {
		commands = append(commands, "client|setinfo")
	}
	return append([]string{"reset", "on", "&+switch-master", "&+replica-reconf-done"}, allow(commands)...), nil
}

// since72 reports whether the server knows what came with Redis 7.2.
func since72(version string) (bool, error) {
	var major, minor int
	if _, err := fmt.Sscanf(version+".0", "%d.%d", &major, &minor); err != nil {
		return false, fmt.Errorf("%w: %q is no version of Redis; give for example 7.0", queue.ErrOption, version)
	}
	if major < 7 {
		return false, fmt.Errorf("%w: Redis %s is too old; Cenote needs 7.0 or newer", queue.ErrOption, version)
	}
	return major > 7 || minor >= 2, nil
}

// allow are the rules for these commands and no others.
func allow(commands []string) []string {
	slices.Sort(commands)
	words := []string{"-@all"}
	for _, c := range slices.Compact(commands) {
		words = append(words, "+"+c)
	}
	return words
}

// Version asks the server for its version.
func (s *Store) Version(ctx context.Context) (string, error) {
	text, err := s.rdb.Info(ctx, "server").Result()
	if err != nil {
		return "", s.explain(err)
	}
	_, rest, ok := strings.Cut(text, "redis_version:")
	version, _, _ := strings.Cut(rest, "\r\n")
	if !ok || version == "" {
		return "", fmt.Errorf("the server does not say its version; give it")
	}
	return version, nil
}
