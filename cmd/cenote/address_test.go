package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseAddressOfOneServer(t *testing.T) {
	for in, want := range map[string]struct {
		network, addr, user, password string
		db                            int
		tls                           bool
	}{
		"redis://localhost":                    {network: "tcp", addr: "localhost:6379"},
		"redis://u:p%40ss@10.0.0.1:7000/3":     {network: "tcp", addr: "10.0.0.1:7000", user: "u", password: "p@ss", db: 3},
		"rediss://:secret@redis.example:6380":  {network: "tcp", addr: "redis.example:6380", password: "secret", tls: true},
		"unix:///run/redis.sock?db=2":          {network: "unix", addr: "/run/redis.sock", db: 2},
		"unix://user:word@/run/redis.sock":     {network: "unix", addr: "/run/redis.sock", user: "user", password: "word"},
		"redis://[::1]:6379/0?read_timeout=2s": {network: "tcp", addr: "[::1]:6379"},
	} {
		a, err := parseAddress(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		o := a.single
		if o == nil || o.Network != want.network || o.Addr != want.addr || o.Username != want.user ||
			o.Password != want.password || o.DB != want.db || (o.TLSConfig != nil) != want.tls {
			t.Errorf("%s was read as %+v; want %+v", in, o, want)
		}
	}
}

func TestParseAddressOfSeveralServers(t *testing.T) {
	type want struct {
		addrs                  []string
		user, password, master string
		db                     int
		cluster                bool
		serverName             string
		watcher, watchword     string
	}
	for in, w := range map[string]want{
		"redis+sentinel://h1:26380,h2/main":                                      {addrs: []string{"h1:26380", "h2:26379"}, master: "main"},
		"redis+sentinel://u:p%3Aw@h1,h2:1,h3/m-1/4":                              {addrs: []string{"h1:26379", "h2:1", "h3:26379"}, user: "u", password: "p:w", master: "m-1", db: 4},
		"rediss+sentinel://:pw@h1/m":                                             {addrs: []string{"h1:26379"}, password: "pw", master: "m", serverName: "h1"},
		"redis+sentinel://u:p@h/m/2?sentinel_username=s&sentinel_password=w%26x": {addrs: []string{"h:26379"}, user: "u", password: "p", master: "m", db: 2, watcher: "s", watchword: "w&x"},
		"redis+cluster://a:7000,b:7001":                                          {addrs: []string{"a:7000", "b:7001"}, cluster: true},
		"redis+cluster://one/":                                                   {addrs: []string{"one:6379"}, cluster: true},
		"rediss+cluster://u:p@[::1]:7000,[fe80::2]/0":                            {addrs: []string{"[::1]:7000", "[fe80::2]:6379"}, user: "u", password: "p", cluster: true, serverName: "::1"},
		"redis+cluster://user:p@ss@10.1.1.1,10.1.1.2/":                           {addrs: []string{"10.1.1.1:6379", "10.1.1.2:6379"}, user: "user", password: "p@ss", cluster: true},
	} {
		a, err := parseAddress(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		o := a.many
		got := want{addrs: o.Addrs, user: o.Username, password: o.Password, master: o.MasterName, db: o.DB, cluster: o.IsClusterMode, watcher: o.SentinelUsername, watchword: o.SentinelPassword}
		if o.TLSConfig != nil {
			got.serverName = o.TLSConfig.ServerName
		}
		if !reflect.DeepEqual(got, w) {
			t.Errorf("%s was read as %+v; want %+v", in, got, w)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for in, why := range map[string]string{
		"localhost:6379":                                 "no scheme",
		"http://localhost":                               `scheme "http" is unknown`,
		"redis://:s3cret@host:port":                      "invalid port",
		"redis://:s3cret@host/db":                        "invalid database",
		"redis+sentinel://h1":                            "name of the master is missing",
		"redis+sentinel://:s3cret@h/m/x":                 `database "x" is not a number`,
		"redis+sentinel://h1,,h2/m":                      "a host is missing",
		"redis+sentinel://h:0/m":                         `"h:0" is not host:port`,
		"redis+cluster://a,b/3":                          "no database but 0",
		"redis+cluster://a?pass=s3cret":                  "takes no parameters",
		"redis+sentinel://a/m?pass=s3cret":               `it takes the parameters sentinel_username and sentinel_password, but has "pass"`,
		"redis+sentinel://a/m?sentinel_password=s3cret%": "cannot be read",
		"redis+cluster://u:s3cret%zz@a":                  "begins no escape",
	} {
		_, err := parseAddress(in)
		if err == nil {
			t.Errorf("%s was accepted", in)
			continue
		}
		if !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "redis+cluster://[user:password@]") {
			t.Errorf("%s: the error says neither %q nor the forms:\n%v", in, why, err)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error shows the password:\n%v", in, err)
		}
		if exitCode(err) != exitUsage {
			t.Errorf("%s: exit code %d; want %d", in, exitCode(err), exitUsage)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"redis://localhost:6379/1":               "redis://localhost:6379/1",
		"redis://:pw@h/1":                        "redis://:xxxxx@h/1",
		"redis://u:pw@h/1?db=2":                  "redis://u:xxxxx@h/1?db=2",
		"redis://u:p@w@h":                        "redis://u:xxxxx@h",
		"redis://u:p/w?x@h":                      "redis://u:xxxxx@h",
		"redis://u@h":                            "redis://u@h",
		"unix://u:pw@/run/r.sock?db=1":           "unix://u:xxxxx@/run/r.sock?db=1",
		"redis+sentinel://u:pw@a:1,b:2/m":        "redis+sentinel://u:xxxxx@a:1,b:2/m",
		"redis://h?password=pw&db=1":             "redis://h?password=xxxxx&db=1",
		"u:pw@h":                                 "u:xxxxx@h",
		"redis+sentinel://a/m?sentinel_PASS=pw2": "redis+sentinel://a/m?sentinel_PASS=xxxxx",
	} {
		if got := redact(in); got != want {
			t.Errorf("redact(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestExitCodeOfWrappedErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{usagef("x"), 2},
		{told{errTaskFailed}, 4},
		{errors.Join(errors.New("x"), errInterrupted), 130},
	} {
		if got := exitCode(c.err); got != c.code {
			t.Errorf("exitCode(%v) = %d; want %d", c.err, got, c.code)
		}
	}
}
