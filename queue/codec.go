package queue

import (
	"encoding/json"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
)

// Codec turns arguments and values into bytes and back. Its methods are called
// concurrently.
type Codec interface {
	// Name travels with the message, so that the other side picks the same codec.
	Name() string
	Marshal(v any) ([]byte, error)
	// Unmarshal stores what data holds into v, a pointer. data comes from the
	// wire and is not to be trusted or kept.
	Unmarshal(data []byte, v any) error
}

// The codecs that come with the package.
var (
	// Msgpack is the default codec. It refuses to decode what [Guard] refuses.
	Msgpack Codec = msgpackCodec{}
	// JSON is for payloads that people or other programs read.
	JSON Codec = jsonCodec{}
)

type msgpackCodec struct{}

func (msgpackCodec) Name() string { return "" } // the default takes no byte on the wire

func (msgpackCodec) Marshal(v any) ([]byte, error) { return msgpack.Marshal(v) }

func (msgpackCodec) Unmarshal(data []byte, v any) error {
	if err := Guard(data); err != nil {
		return err
	}
	return msgpack.Unmarshal(data, v)
}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// encode is Marshal with a panic in a user's encoder turned into an error, and
// with the error naming what could not be encoded.
func encode(c Codec, what string, v any) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			data, err = nil, fmt.Errorf("%w: %s of type %T: panic: %v", ErrEncode, what, v, p)
		}
	}()
	if _, none := v.(struct{}); none { // a task without an argument or a value
		return nil, nil
	}
	data, err = c.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %s of type %T: %w; export its fields or choose another type", ErrEncode, what, v, err)
	}
	return data, nil
}

// decode is Unmarshal with a panic in a user's decoder turned into an error.
func decode(c Codec, what string, data []byte, v any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s into %T: panic: %v", ErrDecode, what, v, p)
		}
	}()
	if _, none := v.(*struct{}); none && len(data) == 0 {
		return nil
	}
	if err := c.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %s into %T: %w", ErrDecode, what, v, err)
	}
	return nil
}
