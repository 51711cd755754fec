package queue

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// TestPlainIsTheCodecs holds what is written and read by hand against the codec.
func TestPlainIsTheCodecs(t *testing.T) {
	for _, v := range []int{
		0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
		-1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64,
	} {
		same(t, v)
	}
	for _, v := range []float64{0, 1.5, -2, math.Inf(1), math.MaxFloat64} {
		same(t, v)
	}
	same(t, true)
	same(t, false)
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		same(t, strings.Repeat("x", n))
		same(t, bytes.Repeat([]byte{0x81}, n))
	}
	same[[]byte](t, nil)
}

// TestNothingIsNoBytes: struct{} is written as nothing by encode, whatever the codec
// would make of it.
func TestNothingIsNoBytes(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("x")} {
		got, err := encodeOf(b, Msgpack, "value", &struct{}{})
		if err != nil || !reflect.DeepEqual(got, b) {
			t.Errorf("nothing makes %q of %q: %v", got, b, err)
		}
	}
	asCodec[struct{}](t, nil)
	asCodec[struct{}](t, []byte{0x80})
	asCodec[struct{}](t, []byte{0xc0})
	asCodec[struct{}](t, []byte{1})
}

// TestBytesAreACopy: a handler may keep and change its argument.
func TestBytesAreACopy(t *testing.T) {
	data := []byte{0xc4, 1, 'x'}
	got, err := decodeOf[[]byte](Msgpack, "value", data)
	data[2] = 'y'
	if err != nil || string(got) != "x" {
		t.Errorf("%q, %v", got, err)
	}
}

func same[T any](t *testing.T, v T) {
	t.Helper()
	want, err := msgpack.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := appendPlain(nil, &v)
	if !ok || !bytes.Equal(got, want) {
		t.Errorf("%.20v (%T) is written as %.20x, the codec writes %.20x", v, v, got, want)
	}
	back, err := decodeOf[T](Msgpack, "value", got)
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Errorf("%.20v (%T) comes back as %.20v: %v", v, v, back, err)
	}
}

// TestPlainReadsWhatTheCodecReads: whatever is read by hand, the codec reads alike,
// and what is refused by the codec is refused.
func TestPlainReadsWhatTheCodecReads(t *testing.T) {
	for c := range 256 {
		for n := range 10 {
			data := append([]byte{byte(c)}, bytes.Repeat([]byte{0x81}, n)...)
			asCodec[int](t, data)
			asCodec[float64](t, data)
			asCodec[bool](t, data)
			asCodec[string](t, data)
			asCodec[[]byte](t, data)
		}
	}
	asCodec[int](t, nil)
	asCodec[string](t, []byte{0xd9, 1, 'x'})
	asCodec[string](t, []byte{0xdb, 0xff, 0xff, 0xff, 0xff, 'x'})
}

func asCodec[T any](t *testing.T, data []byte) {
	t.Helper()
	var want T
	wantErr := decode(Msgpack, "value", data, &want)
	got, err := decodeOf[T](Msgpack, "value", data)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("%x as %T: %v, %v; the codec says %v, %v", data, want, got, err, want, wantErr)
	}
}
