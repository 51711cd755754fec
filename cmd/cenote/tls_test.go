package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenote-go/cenote/internal/redistest"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (a *authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// sign makes name.pem and name.key.
func (a *authority) sign(name string, tmpl *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tmpl.SerialNumber, tmpl.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	tmpl.NotBefore, tmpl.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if a.cert == nil { // itself
		a.key, a.cert = key, tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == tmpl {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "EC PRIVATE KEY", private)
}

func newAuthority(t *testing.T, dir, name string) *authority {
	a := &authority{t: t, dir: dir}
	a.sign(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// startTLS starts a redis-server that wants certificates of its clients, and returns
// where it listens and where the certificates are: ca, server, client; other, which
// signed none of these, and stranger, which other signed.
func startTLS(t *testing.T) (addr, certs string) {
	t.Helper()
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other")
	ca.sign("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"redis.test"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	client := func() *x509.Certificate {
		return &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	}
	ca.sign("client", client())
	other.sign("stranger", client())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	redistest.Start(t, "--tls-port", fmt.Sprint(port), "--tls-cert-file", dir+"/server.pem", "--tls-key-file", dir+"/server.key",
		"--tls-ca-cert-file", dir+"/ca.pem", "--tls-auth-clients", "yes")
	return fmt.Sprintf("127.0.0.1:%d", port), dir
}

func TestExposedAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"redis://localhost:6379":              "",
		"redis://127.0.0.1":                   "",
		"redis://[::1]:6379":                  "",
		"unix:///run/redis.sock":              "",
		"rediss://redis.example":              "",
		"rediss+cluster://a,b":                "",
		"redis://redis.example":               "redis.example",
		"redis://u:p@10.0.0.1:7000":           "10.0.0.1",
		"redis+sentinel://localhost,h2/main":  "h2",
		"redis+cluster://127.0.0.1,10.0.0.2/": "10.0.0.2",
	} {
		a, err := parseAddress(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.exposed(); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Whatever fails, no password is in what the program prints.
func TestAFailingProgramShowsNoPassword(t *testing.T) {
	locked := redistest.Start(t, "--requirepass", "sesame")
	const secret = "hunter2"
	addresses := []string{
		"redis://:%s@" + locked.Addr(), "redis://u:%s@" + locked.Addr() + "/1", "redis://u:%s@127.0.0.1:1", "rediss://u:%s@127.0.0.1:1", "rediss://u:%s@" + locked.Addr(),
		"redis://u:%s@127.0.0.1:port", "redis://u:%s@127.0.0.1/x", "redis://u:%s%%zz@127.0.0.1:1", "redis://u:%s@127.0.0.1:1?x=y", "redis://u:x/%s@127.0.0.1:1",
		"redis://127.0.0.1:1?password=%s", "unix://u:%s@/nowhere.sock", "redis+sentinel://u:%s@127.0.0.1:1",
		"redis+cluster://u:%s@127.0.0.1:1", "redis+cluster://u:%s@127.0.0.1:1/3", "rediss+cluster://u:%s@127.0.0.1:1?x=1", "http://u:%s@127.0.0.1", "u:%s@127.0.0.1",
		"redis://u:%s@127.0.0.1:1 ", "redis://u:%s\x01@127.0.0.1:1",
	}
	verbs := [][]string{{"queue", "ls"}, {"worker", "--log-level", "debug"}, {"worker", "--log-format", "json", "--log-level", "debug"}, {"enqueue", "t", "1"}, {"map", "--", "echo"}, {"demo"},
		{"task", "get", "00000000000000000000000004"}, {"acl"}, {"worker", "--nonsense"}}
	for i, form := range addresses {
		address := fmt.Sprintf(form, secret)
		for k, verb := range verbs {
			if i%len(verbs) != k && i > 1 { // all verbs with the first, then in turn
				continue
			}
			t.Run(fmt.Sprintf("%s %d", verb[0], i), func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				inArgs := append([]string{}, verb...)
				if k%2 == 0 {
					inArgs = append(inArgs, "--redis", address)
					if verb[0] == "map" {
						inArgs = []string{"map", "--redis", address, "--", "echo"}
					}
				}
				cmd, stderr := prepare(t, "", inArgs...)
				if k%2 == 1 && !strings.Contains(address, "\x00") {
					cmd.Env = append(os.Environ(), "CENOTE_REDIS_URL="+address)
				}
				cmd.Stdout = &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if code := wait(t, cmd); code == 0 {
					t.Errorf("%v with %q: no failure", verb, address)
				}
				if all := out.String() + stderr.String(); strings.Contains(all, secret) || all == "" {
					t.Errorf("%v with %q: it prints\n%s", verb, address, all)
				}
			})
		}
	}
}
