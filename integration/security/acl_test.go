package security_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

// TestUsersCanDoTheirWork runs all that the API does as users of the roles. Nothing of it
// may be denied.
func TestUsersCanDoTheirWork(t *testing.T) {
	for name, queues := range map[string][]string{"all queues": nil, "named queues": {"default", "second", "events"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := found(t, queues...)
			w.work()
			w.replicated("default")
			w.allUsed(queues)
			w.nothingDenied()
		})
	}
}

// denied is how the server says so, in a script and outside.
var denied = regexp.MustCompile("^NOPERM|The user executing the script can't|ACL failure in script|Write commands are not allowed from read-only")

// TestUsersCannotDoMore tries what each role must not do.
func TestUsersCannotDoMore(t *testing.T) {
	t.Parallel()
	found(t, "mine").nothingMore()
}

// refused has a user try a command that the server must deny.
func (w *town) refused(c *redis.Client, who, command string) {
	w.t.Helper()
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, word)
	}
	if _, err := c.Do(w.ctx, args...).Result(); err == nil || !denied.MatchString(err.Error()) {
		w.t.Errorf("%s: %s: %v; want it denied", who, command, err)
	}
}

// nothingMore has each role try what it must not do with the queue "mine", which is its.
func (w *town) nothingMore() {
	w.t.Helper()
	root := "cenote:{mine}:"
	w.ok(w.root.HSet(w.ctx, root+"tasks", "x", "y").Err())
	w.ok(w.root.RPush(w.ctx, root+"ready:1", "x").Err())
	line := store.NewLine("mine", 0, "")
	claim := func(s *store.Store) error {
		_, err := s.Take(w.ctx, &store.Turn{Line: line, Consumer: "c", Number: 1, Want: 1, Lease: time.Minute})
		return err
	}
	dangerous := []string{
		"FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET maxmemory 1", "SHUTDOWN NOSAVE", "ACL LIST", "ACL WHOAMI", "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal",
		"REPLICAOF NO ONE", "MODULE LIST", "SCRIPT FLUSH", "FUNCTION LIST", "SAVE", "LATENCY RESET", "SWAPDB 0 1", "RESTORE " + root + "x 0 y", "DUMP " + root + "tasks", "MIGRATE h 1 k 0 1",
		"RENAME " + root + "tasks " + root + "t", "EVAL return(redis.call('FLUSHALL')) 0",
		"GET cenote:{yours}:conf", "SET cenote:{yours}:conf x", "HGETALL cenote:{yours}:tasks", "GET anything", "SET anything x", "SUBSCRIBE cenote:{yours}:reply:x", "PUBLISH cenote:{yours}:reply:x y",
		"EVAL return(redis.call('GET','anything')) 0",
	}
	tries := map[store.Role][]string{
		store.RoleProducer:  {"BLMOVE " + root + "bell " + root + "taken:c LEFT RIGHT 0.01", "LPOP " + root + "ready:1", "HDEL " + root + "run:c x", "HSET " + root + "run:c # 1", "RPUSH " + root + "taken:c x", "ZADD " + root + "dead 1 x", "CONFIG GET *", "SMEMBERS cenote:queues", "GET cenote:link:x", "DEL cenote:queues", "INFO", "SCAN 0"},
		store.RoleConsumer:  {"SCAN 0", "CONFIG GET *", "SMEMBERS cenote:queues", "SET cenote:link:x off", "DEL cenote:queues", "INFO", "SCRIPT LOAD x"},
		store.RoleDashboard: {"SCAN 0", "SET " + root + "conf x", "DEL " + root + "tasks", "HSET " + root + "tasks x y", "EVAL return(redis.call('DEL',KEYS[1])) 1 " + root + "tasks", "EVAL_RO return(redis.call('DEL',KEYS[1])) 1 " + root + "tasks", "PUBLISH " + root + "reply:x y", "SUBSCRIBE " + root + "reply:x", "CONFIG GET *", "SADD cenote:queues x"},
		store.RoleAdmin:     {"BLMOVE " + root + "bell " + root + "taken:c LEFT RIGHT 0.01", "LPOP " + root + "ready:1"},
	}
	for _, role := range store.Roles {
		c := w.at(string(role), root)
		for _, text := range append(slices.Clone(dangerous), tries[role]...) {
			w.refused(c, string(role), text)
		}
		s := w.storeOf(role)
		if role == store.RoleConsumer {
			w.ok(s.SignOn(w.ctx, line, "c", "", time.Minute))
			continue
		}
		if err := claim(s); !errors.Is(err, queue.ErrDenied) && !errors.Is(err, store.ErrLapsed) {
			w.t.Errorf("%s: a claim: %v", role, err)
		}
		if err := s.SignOn(w.ctx, line, "c", "", time.Minute); !errors.Is(err, queue.ErrDenied) {
			w.t.Errorf("%s: signs on: %v", role, err)
		}
		if role == store.RoleDashboard {
			if _, err := s.Declare(w.ctx, "mine", queue.Layout{Kind: queue.KindList}); !errors.Is(err, queue.ErrDenied) {
				w.t.Errorf("%s: declares: %v", role, err)
			}
			if _, err := s.Submit(w.ctx, &store.Batch{Queue: "mine", Kind: queue.KindList, From: "p", Number: 1}); !errors.Is(err, queue.ErrDenied) {
				w.t.Errorf("%s: submits: %v", role, err)
			}
		}
	}
	// In the name of a consumer that is signed on.
	for _, role := range []store.Role{store.RoleProducer, store.RoleDashboard, store.RoleAdmin} {
		s := w.storeOf(role)
		if err := claim(s); !errors.Is(err, queue.ErrDenied) {
			w.t.Errorf("%s: a claim as somebody else: %v", role, err)
		}
		if role == store.RoleAdmin { // who repairs may strike a consumer off
			continue
		}
		if _, err := s.Leave(w.ctx, line, "c"); !errors.Is(err, queue.ErrDenied) {
			w.t.Errorf("%s: signs somebody off: %v", role, err)
		}
	}
	if n := w.root.LLen(w.ctx, root+"ready:1").Val(); n != 1 {
		w.t.Errorf("%d tasks are ready, want 1", n)
	}
}
