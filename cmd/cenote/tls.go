package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/cenote-go/cenote/queue"
)

// tlsFlags are what a connection over TLS may need besides the address.
type tlsFlags struct {
	ca, cert, key, name string
}

// tlsFlag is one of them: a flag, and the variable that stands in for it.
type tlsFlag struct {
	flag, variable, usage string
	to                    *string
}

func (f *tlsFlags) all() []tlsFlag {
	return []tlsFlag{
		{"tls-ca", "CENOTE_TLS_CA", "the certificates that Redis's may be signed by, a `FILE` in PEM (default: those of the system)", &f.ca},
		{"tls-cert", "CENOTE_TLS_CERT", "the certificate to show to Redis, a `FILE` in PEM", &f.cert},
		{"tls-key", "CENOTE_TLS_KEY", "its key, a `FILE` in PEM", &f.key},
		{"tls-server-name", "CENOTE_TLS_SERVER_NAME", "the `NAME` that Redis's certificate is for (default: the host of the address)", &f.name},
	}
}

func (f *tlsFlags) register(fs *pflag.FlagSet) {
	for _, n := range f.all() {
		fs.StringVar(n.to, n.flag, "", n.usage+"; or $"+n.variable)
	}
}

// environ are the variables that hand f to another process of this program.
func (f tlsFlags) environ() []string {
	var env []string
	for _, n := range f.all() {
		if *n.to != "" {
			env = append(env, n.variable+"="+*n.to)
		}
	}
	return env
}

// apply makes a use f.
func (f tlsFlags) apply(a *address) error {
	flagged := ""
	for _, n := range f.all() {
		if *n.to != "" && flagged == "" {
			flagged = "--" + n.flag
		}
	}
	var cfg *tls.Config
	if a.single != nil {
		cfg = a.single.TLSConfig
	} else {
		cfg = a.many.TLSConfig
	}
	if cfg == nil {
		if flagged != "" {
			return usagef("%s is for a connection over TLS, and the Redis address is not one; write it with rediss://", flagged)
		}
		return nil
	}
	if cfg.InsecureSkipVerify {
		return usagef("skip_verify would let anybody pass for Redis; name the server's CA with --tls-ca, or its name with --tls-server-name")
	}
	// Variables that are set for all programs do not bother one that needs no TLS.
	for _, n := range f.all() {
		if *n.to == "" {
			*n.to = os.Getenv(n.variable)
		}
	}
	cfg.MinVersion = tls.VersionTLS12
	if f.name != "" {
		cfg.ServerName = f.name
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return usagef("--tls-ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return usagef("--tls-ca: %s has no certificate in PEM", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return usagef("--tls-cert and --tls-key go together; give both")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return usagef("--tls-cert, --tls-key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// exposed returns the host to which a connection goes over the network as it is, if
// it does.
func (a address) exposed() string {
	var addrs []string
	switch {
	case a.single != nil && a.single.TLSConfig == nil && a.single.Network != "unix":
		addrs = []string{a.single.Addr}
	case a.many != nil && a.many.TLSConfig == nil:
		addrs = a.many.Addrs
	}
	for _, addr := range addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || host == "" || host == "localhost" {
			continue
		}
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
			continue
		}
		return host
	}
	return ""
}

// greet shakes hands with a server over TLS. A Redis that speaks none at this port would
// say nothing, and the client would try for long.
func greet(ctx context.Context, a address) error {
	if a.single == nil || a.single.TLSConfig == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	d := tls.Dialer{Config: a.single.TLSConfig}
	conn, err := d.DialContext(ctx, a.single.Network, a.single.Addr)
	if err == nil {
		_ = conn.Close() // the server may have hung up, for want of a certificate: Ping tells
		return nil
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = errSilent
	}
	if told := explainTLS(a, err); told != err { //nolint:errorlint // the very same
		return told
	}
	return fmt.Errorf("%w: is Redis running at this address, and may this machine connect to it?: %w", queue.ErrUnavailable, err)
}

var errSilent = errors.New("no answer in TLS in 5 s; if Redis speaks none at this port, use redis://, or its tls-port")

// explainTLS says what to do about an error of a connection.
func explainTLS(a address, err error) error {
	secure := a.single != nil && a.single.TLSConfig != nil || a.many != nil && a.many.TLSConfig != nil
	say := func(text string) error { return fmt.Errorf("%w: %s: %w", queue.ErrUnavailable, text, err) }
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	if err == nil {
		return nil
	}
	msg := err.Error()
	switch {
	case errors.As(err, &unknown):
		return say("Redis's certificate is signed by nobody known here; name its CA with --tls-ca")
	case errors.As(err, &host):
		return say("Redis's certificate is for another name; say which with --tls-server-name")
	case strings.Contains(msg, "tls: certificate required"), strings.Contains(msg, "tls: bad certificate"), strings.Contains(msg, "tls: unknown certificate"),
		strings.Contains(msg, "tls: handshake failure"):
		return say("Redis wants a certificate that it knows; give one with --tls-cert and --tls-key")
	case errors.As(err, &record):
		return say("no TLS is spoken at this port; use redis://, or the server's tls-port")
	case !secure && errors.Is(err, queue.ErrUnavailable) && (errors.Is(err, io.EOF) || strings.Contains(msg, "connection reset")):
		return say("the server hung up; if it speaks TLS at this port, write the address with rediss://")
	}
	return err
}
