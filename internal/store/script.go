package store

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var luaFiles embed.FS

// script is one verb of the protocol. Every script may be run twice: go-redis
// sends a command again when its reply is lost.
type script struct {
	name, src, sha string

	byDigest, byText string // the commands that run it: by its digest, and with its text
}

// loadScript reads lua/<name>.lua and puts the fragments it includes in place of
// its "--@include" lines.
func loadScript(name string) *script { return readScript(luaFiles, name) }

// loadReader is loadScript of a script that changes nothing, which a user who may only
// read can run.
func loadReader(name string) *script {
	s := loadScript(name)
	s.byDigest, s.byText = "EVALSHA_RO", "EVAL_RO"
	return s
}

func readScript(files embed.FS, name string) *script {
	var b strings.Builder
	for line := range strings.Lines(luaFile(files, name)) {
		if frag, ok := strings.CutPrefix(strings.TrimSpace(line), "--@include "); ok {
			b.WriteString(luaFile(files, frag))
			continue
		}
		b.WriteString(line)
	}
	src := b.String()
	sum := sha1.Sum([]byte(src)) //nolint:gosec // see above
	return &script{name: name, src: src, sha: hex.EncodeToString(sum[:]), byDigest: "EVALSHA", byText: "EVAL"}
}

func luaFile(files embed.FS, name string) string {
	data, err := files.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("store: script %s is not in the binary: %v", name, err))
	}
	return string(data)
}

// Verb is a script of a room above, which lies in the lua folder of that room.
type Verb struct{ *script }

// LoadVerb reads lua/<name>.lua of the files, with what it includes.
func LoadVerb(files embed.FS, name string) Verb { return Verb{readScript(files, name)} }

// Do runs a verb that replies with a flat array. It may be sent twice, see script.
func (s *Store) Do(ctx context.Context, v Verb, key string, args ...any) ([]string, error) {
	return s.run(ctx, v.script, append(v.args(key), args...))
}

var (
	declareScript = loadScript("declare")
	joinScript    = loadScript("join")
	submitScript  = loadScript("submit")
	turnScript    = loadScript("turn")
	beatScript    = loadScript("beat")
	leaveScript   = loadScript("leave")
	openScript    = loadScript("open")
	lookScript    = loadReader("look")
	countScript   = loadReader("count")
	trimScript    = loadScript("trim")
	cancelScript  = loadScript("cancel")
	settleScript  = loadScript("settle")
	findScript    = loadReader("find")
	recordScript  = loadScript("record")
	sayScript     = loadScript("say")
	placeScript   = loadReader("place")
	siftScript    = loadReader("sift")
	agesScript    = loadReader("ages")
	tallyScript   = loadReader("tally")
	mendScript    = loadScript("mend")
	holdsScript   = loadReader("holds")
)

// args begins the arguments of a call: room for the command, the digest and the
// number of keys, then the keys. What follows are the script's own arguments.
func (s *script) args(keys ...string) []any {
	a := make([]any, 0, 8+len(keys))
	a = append(a, s.byDigest, s.sha, len(keys))
	for _, k := range keys {
		a = append(a, k)
	}
	return a
}

// whole makes a cluster run the script on all of its keys or not at all. While their
// slot moves from one node to another some are here and some there, and a script that
// declares one key runs on either side; a command with two keys, one of them
// missing, is put off until the slot has moved. So another key is declared, which
// is never there.
func (s *Store) whole(args []any) []any {
	if s.cluster == nil {
		return args
	}
	n := args[2].(int)
	args[2] = n + 1
	return slices.Insert(args, 3+n, any(args[3].(string)+moving))
}

// run runs a script that replies with a flat array. A server that has forgotten
// the script (SCRIPT FLUSH, a failover) gets its text.
func (s *Store) run(ctx context.Context, sc *script, args []any) ([]string, error) {
	args = s.whole(args)
	cmd := redis.NewStringSliceCmd(ctx, args...)
	err := s.process(ctx, args[3].(string), cmd)
	for _, by := range [...]string{sc.byText, "EVAL"} {
		if err == nil || !isNoScript(err) && !isMisread(err) {
			break
		}
		args[0], args[1] = by, sc.src
		cmd = redis.NewStringSliceCmd(ctx, args...)
		err = s.process(ctx, args[3].(string), cmd)
	}
	args[0], args[1] = sc.byDigest, sc.sha
	return cmd.Val(), s.explain(err)
}

// isMisread reports whether a script that only reads was refused all the same:
// miniredis takes XINFO for a write.
func isMisread(err error) bool {
	return strings.Contains(err.Error(), "Write commands are not allowed in read-only scripts")
}

// runInt runs a script that replies with a number.
func (s *Store) runInt(ctx context.Context, sc *script, args []any) (int64, error) {
	args = s.whole(args)
	cmd := redis.NewIntCmd(ctx, args...)
	err := s.process(ctx, args[3].(string), cmd)
	if isNoScript(err) {
		args[0], args[1] = sc.byText, sc.src
		cmd = redis.NewIntCmd(ctx, args...)
		err = s.process(ctx, args[3].(string), cmd)
	}
	return cmd.Val(), s.explain(err)
}

// runText runs a script that replies with a text.
func (s *Store) runText(ctx context.Context, sc *script, args []any) (string, error) {
	args = s.whole(args)
	cmd := redis.NewCmd(ctx, args...)
	err := s.process(ctx, args[3].(string), cmd)
	if isNoScript(err) {
		args[0], args[1] = sc.byText, sc.src
		cmd = redis.NewCmd(ctx, args...)
		err = s.process(ctx, args[3].(string), cmd)
	}
	if err != nil {
		return "", s.explain(err)
	}
	return cmd.Text()
}

// process sends a command that concerns the key. A client of a cluster would send it four times to a master
// that does not answer, each time for as long as its read timeout, before anybody
// looked whether there is another by now; here once is enough.
func (s *Store) process(ctx context.Context, key string, cmd redis.Cmder) error {
	if s.cluster == nil {
		return s.rdb.Process(ctx, cmd)
	}
	master, err := s.master(ctx, key)
	if err == nil {
		err = master.Process(ctx, cmd)
	}
	var ne net.Error
	switch {
	case err == nil || errors.As(err, &ne) && ne.Timeout():
		return err
	case isNetwork(err) || isPassing(err.Error()): // it knows what to do about a redirection, or a lost connection
		return s.cluster.Process(ctx, cmd)
	}
	return err
}

func isNoScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

// bytesOf are the bytes of a string that came with a reply, which nobody else has:
// the message or outcome in it need not be copied.
func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // go-redis read it into memory of its own
}
