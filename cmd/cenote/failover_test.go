package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cenote-go/cenote/internal/redistest"
)

// TestSentinelAndCluster runs testdata/many on Sentinels and on a cluster, whose
// address is $REDIS.
func TestSentinelAndCluster(t *testing.T) {
	s := redistest.StartSentinels(t, 1)
	c := redistest.StartCluster(t, 3)
	for name, address := range map[string]string{
		"sentinel": fmt.Sprintf("redis+sentinel://%s/%s", strings.Join(s.Options().Addrs, ","), s.Options().MasterName),
		"cluster":  "redis+cluster://" + strings.Join(c.Options().Addrs[:2], ","),
	} {
		t.Run(name, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir:                 "testdata/many",
				RequireExplicitExec: true,
				Setup: func(e *testscript.Env) error {
					e.Setenv("REDIS", address)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"code":       scriptCode,
					"json":       scriptJSON,
					"eventually": scriptEventually,
				},
			})
		})
	}
}
