package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cenote-go/cenote/queue"
)

// fromJSON reads JSON into values that keep their meaning in msgpack: whole
// numbers stay whole.
func fromJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the argument is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the argument is not one JSON value: something follows it")
	}
	return numbers(v)
}

func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if i, bad := v.Int64(); bad == nil {
			return i, nil
		}
		var u uint64
		if json.Unmarshal([]byte(v), &u) == nil {
			return u, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = numbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// toJSON writes what a codec has encoded as JSON, for people. What cannot be
// written so is given as its bytes.
func toJSON(codec string, data []byte) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("null")
	}
	if codec == queue.JSON.Name() && json.Valid(data) {
		return data
	}
	if codec == queue.Msgpack.Name() {
		var v any
		if queue.Msgpack.Unmarshal(data, &v) == nil {
			if out, err := valueJSON(v); err == nil {
				return out
			}
		}
	}
	out, _ := json.Marshal(map[string]any{"codec": codec, "bytes": data}) // of a string and bytes: cannot fail
	return out
}

func valueJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := printJSON(&b, v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
