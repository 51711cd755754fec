package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cenote-go/cenote/internal/store"
	"github.com/cenote-go/cenote/queue"
)

type aclFlags struct {
	roles    []string
	queues   []string
	version  string
	prefix   string
	file     bool
	password bool
	sentinel bool
}

func (p *program) aclCommand() *cobra.Command {
	var f aclFlags
	c := &cobra.Command{
		Use:   "acl",
		Short: "Print the Redis users that Cenote needs, with the least rights",
		Long: `acl prints one line for each role: what a Redis user needs to do what
the role does, and nothing else.

  producer   submits tasks, waits for outcomes, cancels; it cannot claim a task
  consumer   runs tasks
  dashboard  "cenote queue ls" and "cenote task get"; it cannot write
  admin      the same, declares and cancels, drops queues

The lines are for redis-cli, or with --file for the server's aclfile. Without
--password-stdin the users have no password, and nobody can log in as one of them
until you give it one: ACL SETUSER NAME >PASSWORD. The version of the server is
asked for if there is an address, since a server refuses a line with a command
that it does not know.

The lines are the same for a single server, for a master and its replicas, and for
the nodes of a cluster: give them to every one of them. With --sentinel it prints
the one user that all programs need at the Sentinels, to learn who the master is.`,
		Example: `  cenote acl --redis-version 7.0 --queue mail --queue default
  cenote acl --role consumer --redis redis://localhost:6379 | redis-cli
  cenote acl --file --password-stdin < secret >> /etc/redis/users.acl
  cenote acl --sentinel --file --password-stdin < secret >> /etc/redis/sentinel.conf`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.acl(c.Context(), f) },
	}
	fs := c.Flags()
	fs.StringArrayVar(&f.roles, "role", nil, "only this `ROLE`; may be repeated (default all)")
	fs.StringArrayVarP(&f.queues, "queue", "q", nil, "only the keys of this `QUEUE`; may be repeated (default all queues)")
	fs.StringVar(&f.version, "redis-version", "", "the server's `VERSION` (default: ask the server, else 7.0)")
	fs.StringVar(&f.prefix, "user-prefix", "cenote-", "what the users' names begin with")
	fs.BoolVar(&f.file, "file", false, "print lines for an aclfile")
	fs.BoolVar(&f.sentinel, "sentinel", false, "print the user for the Sentinels instead")
	fs.BoolVar(&f.password, "password-stdin", false, "read the users' password from stdin and print its hash")
	return c
}

func (p *program) acl(ctx context.Context, f aclFlags) error {
	if f.sentinel && len(f.roles)+len(f.queues) > 0 {
		return usagef("--sentinel prints one user for all roles and queues; leave --role and --queue away")
	}
	roles := store.Roles
	if len(f.roles) > 0 {
		roles = nil
		for _, r := range f.roles {
			roles = append(roles, store.Role(r))
		}
	}
	if f.prefix != "" {
		if err := queue.CheckName("prefix of users", f.prefix); err != nil {
			return err
		}
	}
	if f.version == "" {
		f.version = "7.0"
		l, err := p.connect(ctx)
		if err != nil && !errors.Is(err, errNoAddress) {
			return err
		}
		if err == nil {
			defer func() { _ = l.close() }()
			if f.version, err = l.store.Version(ctx); err != nil {
				return fmt.Errorf("%w with --redis-version", err)
			}
		}
	}
	secret := ""
	if f.password {
		data, err := io.ReadAll(io.LimitReader(os.Stdin, 4096))
		if err != nil {
			return err
		}
		word := strings.TrimRight(string(data), "\r\n")
		if word == "" {
			return usagef("--password-stdin: stdin has no password")
		}
		secret = fmt.Sprintf("#%x", sha256.Sum256([]byte(word)))
	}
	verb := "ACL SETUSER"
	if f.file {
		verb = "user"
	}
	line := func(name string, words []string, err error) error {
		if err != nil {
			return err
		}
		if secret != "" {
			words = slices.Insert(words, 2, secret) // after "reset on"
		}
		if f.file {
			words = words[1:] // a user of a file begins with nothing
		}
		_, err = fmt.Printf("%s %s%s %s\n", verb, f.prefix, name, strings.Join(words, " "))
		return err
	}
	if f.sentinel {
		roles = nil
		words, err := store.SentinelRights(f.version)
		if err := line("sentinel", words, err); err != nil {
			return err
		}
	}
	for _, r := range roles {
		words, err := store.Rights(r, f.queues, f.version)
		if err := line(string(r), words, err); err != nil {
			return err
		}
	}
	if secret == "" {
		fmt.Fprintln(os.Stderr, "the users have no password yet: nobody can log in as one of them")
	}
	return nil
}
