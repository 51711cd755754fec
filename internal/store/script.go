package store

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"embed"
	"encoding/hex"
	"fmt"
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
func loadScript(name string) *script {
	var b strings.Builder
	for line := range strings.Lines(luaFile(name)) {
		if frag, ok := strings.CutPrefix(strings.TrimSpace(line), "--@include "); ok {
			b.WriteString(luaFile(frag))
			continue
		}
		b.WriteString(line)
	}
	src := b.String()
	sum := sha1.Sum([]byte(src)) //nolint:gosec // see above
	return &script{name: name, src: src, sha: hex.EncodeToString(sum[:]), byDigest: "EVALSHA", byText: "EVAL"}
}

// loadReader is loadScript of a script that changes nothing, which a user who may only
// read can run.
func loadReader(name string) *script {
	s := loadScript(name)
	s.byDigest, s.byText = "EVALSHA_RO", "EVAL_RO"
	return s
}

func luaFile(name string) string {
	data, err := luaFiles.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("store: script %s is not in the binary: %v", name, err))
	}
	return string(data)
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

// run runs the script, which replies with a flat array. A server that has
// forgotten the script (SCRIPT FLUSH, a failover) gets its text.
func (s *script) run(ctx context.Context, rdb redis.UniversalClient, args []any) ([]string, error) {
	cmd := redis.NewStringSliceCmd(ctx, args...)
	err := rdb.Process(ctx, cmd)
	for _, by := range [...]string{s.byText, "EVAL"} {
		if err == nil || !isNoScript(err) && !isMisread(err) {
			break
		}
		args[0], args[1] = by, s.src
		cmd = redis.NewStringSliceCmd(ctx, args...)
		err = rdb.Process(ctx, cmd)
	}
	args[0], args[1] = s.byDigest, s.sha
	if err != nil {
		return nil, explain(err)
	}
	return cmd.Val(), nil
}

// isMisread reports whether a script that only reads was refused all the same:
// miniredis takes XINFO for a write.
func isMisread(err error) bool {
	return strings.Contains(err.Error(), "Write commands are not allowed in read-only scripts")
}

// runInt runs a script that replies with a number.
func (s *script) runInt(ctx context.Context, rdb redis.UniversalClient, args []any) (int64, error) {
	cmd := redis.NewIntCmd(ctx, args...)
	err := rdb.Process(ctx, cmd)
	if err != nil && isNoScript(err) {
		args[0], args[1] = s.byText, s.src
		cmd = redis.NewIntCmd(ctx, args...)
		err = rdb.Process(ctx, cmd)
	}
	return cmd.Val(), explain(err)
}

// runText runs a script that replies with a text.
func (s *script) runText(ctx context.Context, rdb redis.UniversalClient, args []any) (string, error) {
	cmd := redis.NewCmd(ctx, args...)
	err := rdb.Process(ctx, cmd)
	if err != nil && isNoScript(err) {
		args[0], args[1] = s.byText, s.src
		cmd = redis.NewCmd(ctx, args...)
		err = rdb.Process(ctx, cmd)
	}
	if err != nil {
		return "", explain(err)
	}
	return cmd.Text()
}

func isNoScript(err error) bool { return strings.HasPrefix(err.Error(), "NOSCRIPT") }

// bytesOf are the bytes of a string that came with a reply, which nobody else has:
// the message or outcome in it need not be copied.
func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // go-redis read it into memory of its own
}
