package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// addressForms lists the addresses that parseAddress takes, for help and errors.
const addressForms = `  redis://[user:password@]host[:6379][/db]
  rediss://[user:password@]host[:6379][/db]             over TLS
  unix://[user:password@]/path/to/redis.sock[?db=n]
  redis+sentinel://[user:password@]host[:26379][,host...]/master-name[/db][?sentinel_username=u&sentinel_password=p]
  redis+cluster://[user:password@]host[:6379][,host...]
  rediss+sentinel:// and rediss+cluster:// are the same over TLS.
`

// address says how to reach a Redis.
type address struct {
	single *redis.Options          // one server
	many   *redis.UniversalOptions // Sentinel or Cluster
}

// dial makes a client; it does not connect yet.
func (a address) dial() redis.UniversalClient {
	if a.single != nil {
		return redis.NewClient(a.single)
	}
	return redis.NewUniversalClient(a.many)
}

// parseAddress reads an address. Its errors never contain a password.
func parseAddress(s string) (address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return address{}, badAddress(s, errors.New("it has no scheme"))
	}
	switch scheme {
	case "redis", "rediss", "unix":
		opt, err := redis.ParseURL(s)
		if err != nil {
			return address{}, badAddress(s, err)
		}
		return address{single: opt}, nil
	case "redis+sentinel", "rediss+sentinel":
		return parseMany(s, rest, "26379", strings.HasPrefix(scheme, "rediss"), sentinelPath)
	case "redis+cluster", "rediss+cluster":
		return parseMany(s, rest, "6379", strings.HasPrefix(scheme, "rediss"), clusterPath)
	}
	return address{}, badAddress(s, fmt.Errorf("the scheme %q is unknown", scheme))
}

// parseMany reads what follows the scheme of an address with several hosts, which
// package net/url does not take.
func parseMany(s, rest, port string, secure bool, path func(o *redis.UniversalOptions, path string) error) (address, error) {
	o := &redis.UniversalOptions{}
	scheme, _, _ := strings.Cut(s, "://")
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, tail, _ := strings.Cut(rest, "/")
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		var err1, err2 error
		o.Username, err1 = url.PathUnescape(user)
		o.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return address{}, badAddress(s, errors.New("the user or password has a % that begins no escape; write it as %25"))
		}
		authority = authority[at+1:]
	}
	for host := range strings.SplitSeq(authority, ",") {
		hp, err := hostPort(host, port)
		if err != nil {
			return address{}, badAddress(s, err)
		}
		o.Addrs = append(o.Addrs, hp)
	}
	if secure {
		name, _, _ := net.SplitHostPort(o.Addrs[0])
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	}
	if hasQuery {
		if err := sentinelUser(o, scheme, query); err != nil {
			return address{}, badAddress(s, err)
		}
	}
	if err := path(o, strings.TrimSuffix(tail, "/")); err != nil {
		return address{}, badAddress(s, err)
	}
	return address{many: o}, nil
}

func sentinelPath(o *redis.UniversalOptions, path string) error {
	name, db, hasDB := strings.Cut(path, "/")
	if name == "" {
		return errors.New("the name of the master is missing; add it as /master-name")
	}
	o.MasterName = name
	if !hasDB {
		return nil
	}
	n, err := strconv.Atoi(db)
	if err != nil || n < 0 {
		return fmt.Errorf("the database %q is not a number of at least 0", db)
	}
	o.DB = n
	return nil
}

// sentinelUser reads the parameters of an address: by whose name the Sentinels are asked,
// who have users of their own.
func sentinelUser(o *redis.UniversalOptions, scheme, query string) error {
	if !strings.HasSuffix(scheme, "+sentinel") {
		return fmt.Errorf("it takes no parameters, but has %q", queryNames(query))
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("its parameters cannot be read; write % as %25, & as %26 and ; as %3B")
	}
	for name := range values {
		switch name {
		case "sentinel_username":
			o.SentinelUsername = values.Get(name)
		case "sentinel_password":
			o.SentinelPassword = values.Get(name)
		default:
			return fmt.Errorf("it takes the parameters sentinel_username and sentinel_password, but has %q", queryNames(query))
		}
	}
	return nil
}

func clusterPath(o *redis.UniversalOptions, path string) error {
	if path != "" && path != "0" {
		return fmt.Errorf("a cluster has no database but 0, the address asks for %q", path)
	}
	o.IsClusterMode = true // also with a single host to ask
	return nil
}

func hostPort(s, port string) (string, error) {
	if s == "" {
		return "", errors.New("a host is missing")
	}
	host, p, err := net.SplitHostPort(s)
	if err != nil { // no port
		host, p = strings.Trim(s, "[]"), port
	}
	if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 || host == "" {
		return "", fmt.Errorf("%q is not host:port", s)
	}
	return net.JoinHostPort(host, p), nil
}

func queryNames(query string) string {
	var names []string
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func badAddress(s string, err error) error {
	// The errors of net/url quote the address with its password.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return usagef("the Redis address %q makes no sense: %w; it has one of these forms:\n%s", redact(s), err, strings.TrimRight(addressForms, "\n"))
}

// redact returns an address without its password. It also works on an address
// that makes no sense, and hides too much rather than too little.
func redact(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	} else {
		scheme += "://"
	}
	rest, query, hasQuery := cutLast(rest, "?")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, hasPassword := strings.Cut(rest[:at], ":")
		if hasPassword {
			user += ":xxxxx"
		}
		rest = user + rest[at:]
	}
	if !hasQuery {
		return scheme + rest
	}
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, _, _ := strings.Cut(pair, "="); strings.Contains(strings.ToLower(name), "pass") {
			pairs[i] = name + "=xxxxx"
		}
	}
	return scheme + rest + "?" + strings.Join(pairs, "&")
}

// cutLast cuts at the last separator that no @ follows, so that a question mark
// in a password does not end it.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 || strings.Contains(s[i:], "@") {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
