package main

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{
		"0": 0, "1": 1, "7b": 7, "3k": 3 << 10, "512MiB": 512 << 20, "512 mb": 512 << 20, "2G": 2 << 30, " 1GiB ": 1 << 30,
	} {
		var s byteSize
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q: %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1.5G", "1T", "9999999999G", "1 2"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}
