package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cenote-go/cenote/queue"
)

// The first byte of a seal.
const (
	encrypted  = 1 << iota // AES-256-GCM; a nonce ends the seal
	signed                 // HMAC-SHA256; the tag ends the seal
	compressed             // deflate, with the length before it
)

const (
	nonceLen = 24 // twelve bytes that make the message's own key, twelve for GCM
	tagLen   = sha256.Size
)

// subKeys are what is derived from one Key, for one use each.
type subKeys struct {
	name    string
	encrypt []byte // makes the keys of messages
	sign    []byte
	nonce   []byte // makes nonces out of what is sealed
}

// ring is the keys by which something may be sealed. They are behind a function for
// the same reason as in Key.
type ring struct {
	keys func() (first *subKeys, all map[string]*subKeys) // first is nil without keys
}

func newRing(keys []Key) (ring, error) {
	var first *subKeys
	all := map[string]*subKeys{}
	r := ring{keys: func() (*subKeys, map[string]*subKeys) { return first, all }}
	for _, k := range keys {
		if k.secret == nil {
			return r, fmt.Errorf("%w: a key is empty; make it with seal.NewKey or seal.ParseKeys", queue.ErrOption)
		}
		if all[k.name] != nil {
			return r, fmt.Errorf("%w: two keys are called %q; a new secret needs a new name", queue.ErrOption, k.name)
		}
		s := &subKeys{name: k.name}
		for _, d := range []struct {
			info string
			to   *[]byte
		}{{"encrypt", &s.encrypt}, {"sign", &s.sign}, {"nonce", &s.nonce}} {
			key, err := hkdf.Key(sha256.New, k.secret(), nil, "cenote 2 "+d.info, sha256.Size)
			if err != nil {
				return r, err
			}
			*d.to = key
		}
		all[k.name] = s
		if first == nil {
			first = s
		}
	}
	return r, nil
}

// place is what something is sealed for. It is authenticated along with it.
type place struct {
	what  string
	queue string
	id    queue.TaskID
	clear []byte // what goes with it in the clear
}

// context is what is authenticated besides the contents: [what, queue, id, how] as
// strings with their length before them, and the rest.
func (p *place) context(how []byte) []byte {
	b := make([]byte, 0, 8+len(p.what)+len(p.queue)+len(p.id)+len(how)+len(p.clear))
	for _, s := range [...]string{p.what, p.queue, string(p.id[:]), string(how)} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...) //nolint:gosec // names, at most 128 bytes
	}
	return append(b, p.clear...)
}

// close seals body for p. Without a key the seal only says whether body is compressed. The
// nonce is random unless synthetic is set, of which it is made then.
func (s *Seal) close(r *ring, p place, body, synthetic []byte) (sealed, head []byte) {
	flags, name := byte(0), ""
	if packed := s.deflate(body); packed != nil {
		body, flags = packed, compressed
	}
	k, _ := r.keys()
	if k != nil {
		name = k.name
		if s.cfg.SignOnly {
			flags |= signed
		} else {
			flags |= encrypted
		}
	}
	how := append([]byte{flags, byte(len(name))}, name...) //nolint:gosec // a name has at most 128 bytes
	context := p.context(how)
	switch {
	case k == nil:
		return body, how
	case s.cfg.SignOnly:
		return body, append(how, sign(k, context, body)...)
	}
	nonce := make([]byte, nonceLen)
	if synthetic == nil {
		_, _ = rand.Read(nonce) // never fails
	} else {
		copy(nonce, mac(k.nonce, context, body))
	}
	out := make([]byte, 0, len(body)+16)
	return k.aead(nonce).Seal(out, nonce[nonceLen/2:], body, context), append(how, nonce...)
}

// open is the inverse of close. Nothing of body is looked at before it is known to be
// good. What it returns may be a part of body.
func (s *Seal) open(r *ring, p place, head, body []byte) ([]byte, error) {
	if len(head) < 2 || len(head) < 2+int(head[1]) {
		return nil, fmt.Errorf("%w: the seal is cut off", queue.ErrUnauthenticated)
	}
	how, rest := head[:2+int(head[1])], head[2+int(head[1]):]
	flags, name := how[0], string(how[2:])
	_, keys := r.keys()
	switch flags &^ compressed {
	case 0:
		if len(keys) > 0 && !s.cfg.AllowPlain {
			return nil, s.plain("it", true)
		}
		if len(rest) > 0 || name != "" {
			return nil, fmt.Errorf("%w: a seal of no kind", queue.ErrUnauthenticated)
		}
	case signed, encrypted:
		k := keys[name]
		if k == nil {
			return nil, fmt.Errorf("%w: it is sealed with the key %q, which this program does not have; add it to seal.Config", queue.ErrUnauthenticated, name)
		}
		context := p.context(how)
		if flags&signed != 0 {
			if len(rest) != tagLen || !hmac.Equal(rest, sign(k, context, body)) {
				return nil, forged(name)
			}
			break
		}
		if len(rest) != nonceLen {
			return nil, forged(name)
		}
		plain, err := k.aead(rest).Open(nil, rest[nonceLen/2:], body, context)
		if err != nil {
			return nil, forged(name)
		}
		body = plain
	default:
		return nil, fmt.Errorf("%w: a seal of kind %d, which this program does not know; upgrade it", queue.ErrUnauthenticated, flags)
	}
	if flags&compressed != 0 {
		return s.inflate(body)
	}
	return body, nil
}

func forged(name string) error {
	return fmt.Errorf("%w: the seal by key %q is not of this task, or something was changed", queue.ErrUnauthenticated, name)
}

func sign(k *subKeys, context, body []byte) []byte { return mac(k.sign, context, body) }

// mac is HMAC-SHA256 of the context, with its length before it, and the body.
func mac(key, context, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(context))))
	h.Write(context)
	h.Write(body)
	return h.Sum(nil)
}

// aead is the cipher of one message. Each has a key of its own, made of the first half
// of its nonce, so that random nonces may be used for any number of messages.
func (k *subKeys) aead(nonce []byte) cipher.AEAD {
	h := hmac.New(sha256.New, k.encrypt)
	h.Write(nonce[:nonceLen/2])
	block, err := aes.NewCipher(h.Sum(nil))
	if err == nil {
		var c cipher.AEAD
		if c, err = cipher.NewGCM(block); err == nil {
			return c
		}
	}
	panic(err) // the key has the right length
}

// Describe says how something is sealed, for people: "encrypted", "signed" or
// "compressed", and the name of the key. It needs no keys and proves nothing.
func Describe(head []byte) (how, key string) {
	if len(head) < 2 || len(head) < 2+int(head[1]) {
		return "damaged", ""
	}
	names := slices.DeleteFunc([]string{"encrypted", "signed", "compressed"}, func(n string) bool {
		return head[0]&map[string]byte{"encrypted": encrypted, "signed": signed, "compressed": compressed}[n] == 0
	})
	for i, n := range names {
		if i > 0 {
			how += ", "
		}
		how += n
	}
	return how, string(head[2 : 2+int(head[1])])
}
