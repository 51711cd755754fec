package main

import (
	"context"
	"image"
	"image/png"
	"os"
)

// edge is the longer edge of a thumbnail.
const edge = 64

// shrink is the task's handler, as it would be on goroutines.
func shrink(_ context.Context, job Job) (Size, error) {
	f, err := os.Open(job.From)
	if err != nil {
		return Size{}, err
	}
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	if err != nil {
		return Size{}, err
	}
	size := Size{img.Bounds().Dx(), img.Bounds().Dy()}
	out, err := os.Create(job.To)
	if err != nil {
		return size, err
	}
	if err := png.Encode(out, small(img)); err != nil {
		_ = out.Close()
		return size, err
	}
	return size, out.Close()
}

// small takes one pixel of many.
func small(img image.Image) image.Image {
	b := img.Bounds()
	step := max(1, (max(b.Dx(), b.Dy())+edge-1)/edge)
	to := image.NewRGBA(image.Rect(0, 0, (b.Dx()+step-1)/step, (b.Dy()+step-1)/step))
	for y := range to.Rect.Dy() {
		for x := range to.Rect.Dx() {
			to.Set(x, y, img.At(b.Min.X+x*step, b.Min.Y+y*step))
		}
	}
	return to
}
